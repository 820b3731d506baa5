"""The example notebook, run cell by cell in a kernel; what it shows is looked at in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from devtools import browser
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
MEDIA = "[...document.querySelectorAll('img')].map((image) => [image.naturalWidth, image.alt])"
FILMS = "[...document.querySelectorAll('video')].every((film) => film.readyState > 0)"


class Listener(NotebookClient):
    """Runs a notebook and keeps all that a reader sees on the way."""

    seen: list[str]

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        data = msg["content"].get("data", {})
        self.seen.append(data.get("text/html", ""))
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[str]]:
    """The notebook with its outputs, and the HTML that was shown while it ran."""
    found = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    place = str(tmp_path_factory.mktemp("notebook"))
    client = Listener(found, timeout=600, kernel_name="python3", resources={"metadata": {"path": place}})
    client.seen = []
    client.execute()
    return found, client.seen


def outputs(found: Any) -> Iterator[Any]:
    return (output for cell in found.cells if cell.cell_type == "code" for output in cell.outputs)


def shown(found: Any) -> list[str]:
    """The HTML that stays, in order."""
    return [html for output in outputs(found) if (html := output.get("data", {}).get("text/html"))]


def test_every_cell_runs_and_says_nothing_on_standard_error(notebook: tuple[Any, list[str]]) -> None:
    found, _ = notebook
    assert not [output for output in outputs(found) if output.get("name") == "stderr"]
    printed = "".join(output.text for output in outputs(found) if output.get("name") == "stdout")
    assert "torch.Size([1, 2, 50, 18, 16]) (20, 1) 30" in printed
    assert "(8, 2, 50, 18, 16)" in printed
    assert "loss of response" in printed  # of the export


def test_the_notebook_in_the_repository_holds_no_output() -> None:
    found = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    assert not [*outputs(found)]


def test_a_bar_moves_while_a_cell_runs_and_is_gone_when_it_ends(notebook: tuple[Any, list[str]]) -> None:
    found, seen = notebook
    bars = [html for html in seen if "<progress" in html]
    assert any("iteration 10 of 10" in html for html in bars)
    assert not [html for html in shown(found) if "<progress" in html]


def test_chromium_shows_pictures_films_and_tables(notebook: tuple[Any, list[str]], tmp_path: Path) -> None:
    found, _ = notebook
    page = tmp_path / "page.html"
    body = "<hr>".join(shown(found))
    page.write_text(f"<!doctype html><html lang=en><meta charset=utf-8><title>x</title><p id=count>all</p>{body}")
    with browser(tmp_path) as chromium:
        chromium.open(page)
        pictures = chromium.value(MEDIA)
        assert chromium.until(FILMS)
        (tmp_path / "page.png").write_bytes(chromium.picture())
        rows = chromium.value("document.querySelectorAll('figure table tr').length")
        assert not chromium.complaints
    assert [width for width, _ in pictures] == [1000] * 4
    assert "increase neuron 84" in pictures[0][1]
    assert rows >= 5 * len(pictures)
