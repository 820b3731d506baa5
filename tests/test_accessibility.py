"""The page of a report and the documentation for those who see little, hear their screen or have no mouse.

axe-core (WCAG 2 A and AA, and its own best practices) judges the pages in a real browser; nothing serious may remain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_core_python.base import AXE_SCRIPT
from devtools import Page, browser
from real_parts import missing

DOCS = Path(__file__).parent.parent / "build" / "docs" / "html"
PAGES = ["index.html", "start/tutorial.html", "concepts/norm_and_range.html", "notebooks/notebook.html"]
PAGES += ["reference/generated/options/objective.html"]
AXE = """axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations
  .filter((rule) => ["serious", "critical"].includes(rule.impact))
  .flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary}`)))"""
CONTROLS = "a[href], button, input, select, [tabindex='0']"
SEEN = "(part) => part.tabIndex >= 0 && part.checkVisibility()"
MARKED = """getComputedStyle(document.activeElement).outlineStyle !== "none"
  || document.activeElement.matches(".card h2 a")  // whose card has a ring"""
VIEWS = {
    "gallery": "",
    "run": "#run=neuron%3D2",
    "comparison": "#view=compare&compare=neuron%3D2&compare=neuron%3D10",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical in the page as it is."""
    page.value(f"{AXE_SCRIPT};0")
    found = page.value(AXE)
    assert isinstance(found, list)
    return found


def documentation(name: str) -> Path:
    path = DOCS / name
    if not path.is_file():
        missing("the built documentation", "make docs")
    return path


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious_in_the_documentation(name: str, theme: str, width: int, page: Page) -> None:
    page.resize(width, 900)
    page.open(documentation(name), ready="document.body")
    page.value(f"document.body.dataset.theme = {json.dumps(theme)}")
    assert violations(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_documentation_does_not_scroll_sideways_on_a_phone(name: str, page: Page) -> None:
    page.resize(390, 844)
    page.open(documentation(name), ready="document.body")
    assert page.value("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious_in_a_report(view: str, theme: str, sweep: Path, page: Page) -> None:
    page.resize(1280, 900)
    page.open(sweep / "index.html", VIEWS[view])
    if page.value("document.documentElement.dataset.theme") != theme:
        page.press("t")
    assert page.value("document.documentElement.dataset.theme") == theme
    assert violations(page) == []


def test_the_keyboard_skips_to_the_runs(sweep: Path, page: Page) -> None:
    page.resize(1280, 900)
    page.open(sweep / "index.html")
    page.press("Tab")
    assert page.value("document.activeElement.textContent") == "Skip to the runs"
    page.press("Enter")
    assert page.until("document.activeElement.id") == "gallery"


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(sweep: Path, page: Page) -> None:
    page.resize(1280, 900)
    page.open(sweep / "index.html")
    count = page.value(f"[...document.querySelectorAll({json.dumps(CONTROLS)})].filter({SEEN}).length")
    reached = set()
    for _ in range(count):
        page.press("Tab")
        assert page.value(MARKED)
        reached.add(page.value("document.activeElement.outerHTML"))
    assert len(reached) == count
