"""Completes what Sphinx leaves out for those who hear a page: the level of captions that are marked as headings."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

CAPTION = 'class="caption" role="heading"'


def complete_captions(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give the captions in text and navigation a level."""
    del app, name, template, doctree
    for part in ("body", "furo_navigation_tree"):
        context[part] = (context.get(part) or "").replace(CAPTION, f'{CAPTION} aria-level="2"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx call `complete_captions` after the theme has made its navigation."""
    app.connect("html-page-context", complete_captions, priority=900)
    return {"parallel_read_safe": True}
