"""Fonts for names in any script: the next font that has a character, and what is shown of one that no font has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openretina_cli.output.view import RunView

OWN = "DejaVu Sans"
"""The font that matplotlib brings: Latin, Greek, Cyrillic, Arabic and Hebrew, but no Chinese, Japanese or Korean."""

FALLBACKS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC", "Droid Sans Fallback"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAGothic", "NanumGothic"),  # Linux
    *("PingFang SC", "Hiragino Sans", "Hiragino Sans GB", "Apple SD Gothic Neo", "Arial Unicode MS"),  # macOS
    *("Microsoft YaHei", "SimHei", "Yu Gothic", "MS Gothic", "Malgun Gothic", "Nirmala UI"),  # Windows
    *("Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans"),
)
"""Fonts of the usual systems, which are tried where they are installed."""

UNKNOWN = "?"
"""Stands for a character that cannot be drawn."""


@lru_cache
def families() -> list[str]:
    """The fonts that are tried for each character, in their order."""
    from matplotlib.font_manager import fontManager

    installed = {*fontManager.get_font_names()}
    return [OWN, *(name for name in FALLBACKS if name in installed)]


@lru_cache
def _known(family: str) -> frozenset[int]:
    """The characters of a font."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(family)).get_charmap())


@lru_cache
def _draws_from_the_right() -> bool:
    """Whether matplotlib puts letters of a script from right to left in their order, as it does from 3.11 on."""
    from matplotlib import ft2font

    return hasattr(ft2font, "__libraqm_version__")


@lru_cache(maxsize=4096)
def is_drawn(character: str) -> bool:
    """Whether a character is drawn as it is."""
    if unicodedata.bidirectional(character) in ("R", "AL", "AN") and not _draws_from_the_right():
        return False
    return character == "\n" or any(ord(character) in _known(family) for family in families())


def lost(texts: Iterable[str]) -> str:
    """The characters of texts that cannot be drawn, each once, in their order."""
    found = dict.fromkeys(character for text in texts for character in text if not character.isascii())
    return "".join(character for character in found if not is_drawn(character))


def drawable(view: RunView) -> tuple[RunView, str]:
    """A run whose names can be drawn, and the characters of its names that cannot, in whose place `?` is shown."""
    missing = lost((view.title, *view.channels, *view.trace_names))
    if not missing:
        return view, ""
    table = str.maketrans(dict.fromkeys(missing, UNKNOWN))
    channels, traces = ([text.translate(table) for text in texts] for texts in (view.channels, view.trace_names))
    shown = replace(view, title=view.title.translate(table), channels=tuple(channels), trace_names=tuple(traces))
    return shown, missing
