"""The page of a report in a real browser: opened from a disk, sorted, filtered, played, opened, compared."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from devtools import Page, browser
from report_runs import ERROR, FINISHED, NAMES

from openretina_cli.report import write_report
from openretina_cli.report.findings import finding
from openretina_cli.report.page import as_script_data, page_html
from openretina_cli.report.pictures import look_at
from openretina_cli.report.run import read_run
from openretina_cli.report.seeds import Cell

TITLES = "[...document.querySelectorAll('.card')].map((card) => card.querySelector('h2').textContent)"
FOLDERS = "[...document.querySelectorAll('.card')].map((card) => card.title)"
PLAYING = "[...document.querySelectorAll('.card video')].filter((video) => video.currentTime > 0).length"
DETAIL = "document.querySelector('#detail').open && document.querySelector('#detail-title')?.textContent"


@pytest.fixture(scope="module")
def shared_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(shared_page: Page) -> Iterator[Page]:
    """The browser; a test passes only if the page threw nothing and said nothing on the console."""
    shared_page.resize(1400, 1200)
    shared_page.complaints.clear()
    yield shared_page
    shared_page.value("1")  # whatever was said has arrived by now
    assert shared_page.complaints == []


def choose(page: Page, field: str, value: str) -> None:
    """Set a control as a user does."""
    page.value(f"""(() => {{
      const field = document.getElementById({json.dumps(field)});
      field.value = {json.dumps(value)};
      for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, {{bubbles: true}}));
    }})()""")


def results(sweep: Path) -> dict[str, dict[str, Any]]:
    return {name: json.loads((sweep / name / "result.json").read_text()) for name in FINISHED}


def test_it_opens_from_a_disk_and_shows_every_run(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html")
    assert page.value("document.querySelector('#count').textContent") == f"{len(NAMES)} runs"
    assert page.value(FOLDERS) == NAMES
    assert page.value(TITLES)[-1] == "neuron 10"
    assert ERROR in page.value("document.querySelector('.card.failed').textContent")


def test_it_sorts_by_the_objective_in_both_directions(sweep: Path, page: Page) -> None:
    finals = {name: result["objective"]["final"] for name, result in results(sweep).items()}
    falling = sorted(finals, key=finals.__getitem__, reverse=True)
    page.open(sweep / "index.html")
    choose(page, "sort", "final")
    assert [name for name in page.value(FOLDERS) if name in FINISHED] == falling
    page.value("document.getElementById('direction').click()")
    assert [name for name in page.value(FOLDERS) if name in FINISHED] == falling[::-1]
    assert page.value(FOLDERS)[-2:] == ["half", "neuron=5"]  # what has no objective stays at the end


def test_it_sorts_by_what_the_stimuli_are_like(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html")
    keys = page.value("[...document.querySelectorAll('#sort option')].map((option) => option.value)")
    assert {"gain", "neuron", "variance green", "variance uv", "frequency green", "frequency uv"} <= set(keys)
    for key in keys:
        choose(page, "sort", key)
        assert sorted(page.value(FOLDERS)) == sorted(NAMES)


@pytest.mark.parametrize(
    ("field", "value", "left"),
    [
        ("query", "neuron=10", ["neuron=10"]),
        ("query", "STIMULUS.NORM=20", ["broken", "neuron=2"]),
        ("query", "finite iteration", ["neuron=5"]),
        ("query", "nothing like it", []),
        ("session", "simulated_ventral", ["neuron=3,objective=mdi"]),
        ("objective", "mdi", ["neuron=3,objective=mdi"]),
        ("status", "failed", ["neuron=5"]),
        ("max", "0", ["neuron=3,objective=mdi"]),
    ],
)
def test_a_filter_leaves_what_it_names_and_a_link_shows_the_same(
    field: str, value: str, left: list[str], sweep: Path, page: Page
) -> None:
    page.open(sweep / "index.html")
    choose(page, field, value)
    assert page.value(FOLDERS) == left
    assert page.value("document.querySelector('#count').textContent") == f"{len(left)} of {len(NAMES)} runs"
    address = page.value("location.hash")
    page.open(sweep / "index.html", address)
    assert page.value(FOLDERS) == left
    assert page.value(f"document.getElementById('{field}').value") == value


def test_videos_play_while_they_are_seen_and_pause_on_demand(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html")
    page.until(f"{PLAYING} === 3")  # the fourth run has none
    assert page.value(
        "[...document.querySelectorAll('.card video')].every((v) => v.readyState >= 2 && v.loop && v.muted)"
    )
    page.press("p")
    assert page.value("[...document.querySelectorAll('.card video')].every((video) => video.paused)")
    page.press("p")
    page.until("[...document.querySelectorAll('.card video')].every((video) => !video.paused)")


def test_cards_without_a_video_are_drawn(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html", "#query=neuron%3D4")
    colors = page.value("""[...document.querySelectorAll('.card canvas')].map((canvas) => {
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      const seen = new Set();
      for (let place = 0; place < data.length; place += 4) seen.add(data.slice(place, place + 3).join());
      return seen.size;
    })""")
    assert len(colors) == 2
    assert min(colors) > 10


def test_keys_lead_through_the_cards_into_a_run_and_back(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html")
    focused = "document.activeElement.closest('.card')?.title"
    page.press("ArrowRight")
    assert page.value(focused) == NAMES[0]
    for _ in range(2):
        page.press("ArrowRight")
    assert page.value(focused) == NAMES[2]
    page.press("Enter")
    assert page.until(DETAIL) == "neuron 2"
    assert "run=neuron%3D2" in page.value("location.hash")
    page.press("ArrowRight")
    assert page.until(f"({DETAIL}) === 'neuron 3' && 'neuron 3'") == "neuron 3"
    page.press("Escape")
    page.until("!document.querySelector('#detail').open")
    page.press("/")
    assert page.value("document.activeElement.id") == "query"
    page.press("Escape")
    page.press("?")
    assert page.value("document.querySelector('#keys').open")


def test_the_details_have_figure_settings_results_and_links(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html", "#run=neuron%3D2")
    page.until("document.querySelector('#detail .figure img')?.naturalWidth > 500")
    page.until("document.querySelector('#detail video')?.readyState >= 2")
    text = page.value("document.querySelector('#detail').textContent")
    result = results(sweep)["neuron=2"]
    assert result["objective"]["text"] in text
    assert "stimulus.norm" in text
    assert result["constraints"][0] in text
    links = page.value("[...document.querySelectorAll('#detail .files a')].map((link) => link.href)")
    assert f"{(sweep / 'neuron=2' / 'result.json').resolve().as_uri().replace('=', '%3D')}" in links
    for warning in result["warnings"]:
        assert " ".join(warning.split()) in text


def test_a_run_without_figure_is_drawn_with_axes_and_values_under_the_pointer(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html", "#run=neuron%3D4")
    page.until("document.querySelector('#detail canvas.hover')")
    box = page.value("document.querySelector('#detail canvas.hover').getBoundingClientRect().toJSON()")
    page.ask("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + 0.9 * box["width"], y=box["y"] + 50)
    words = page.until(
        "/ s /.test(document.querySelector('.readout').textContent) && document.querySelector('.readout').textContent"
    )
    assert re.search(r"frame 4\d.*green .* s\.d\..*uv .* s\.d\..*neuron 4", words)


def test_two_marked_runs_are_compared_on_the_same_scales(sweep: Path, page: Page) -> None:
    page.open(sweep / "index.html", "#status=completed")
    for _ in range(2):
        page.press("ArrowRight")
        page.press("c")
    assert page.value("document.querySelectorAll('#tray .marked').length") == 2
    page.press("x")
    page.until("document.querySelector('#compare').open")
    assert page.value("document.querySelectorAll('#compare canvas').length") == 4
    page.until("[...document.querySelectorAll('#compare video')].every((video) => video.currentTime > 0)")
    bold = page.value("[...document.querySelectorAll('#compare .differs th')].map((cell) => cell.textContent)")
    assert {"objective", "session", "setting stimulus.norm"} <= set(bold)
    box = page.value("document.querySelector('#compare canvas.hover').getBoundingClientRect().toJSON()")
    page.ask("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] + 0.8 * box["width"], y=box["y"] + 50)
    page.until("[...document.querySelectorAll('#compare .readout')].every((words) => / s /.test(words.textContent))")
    address = page.value("location.hash")
    page.open(sweep / "index.html", address)
    assert page.value("document.querySelector('#compare').open")
    page.press("Escape")
    page.until("!document.querySelector('#compare').open")


def test_the_page_of_one_run_opens_with_its_details(finished: Path, page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "neuron=2"
    shutil.copytree(finished / "neuron=2", folder)
    write_report(folder)
    page.open(folder / "index.html")
    assert page.until(DETAIL) == "neuron 2"
    page.until("document.querySelector('#detail .figure img')?.naturalWidth > 500")


def test_a_page_that_left_its_folders_draws_by_itself(sweep: Path, page: Page, tmp_path: Path) -> None:
    shutil.copy(sweep / "index.html", tmp_path)
    page.open(tmp_path / "index.html", "#run=neuron%3D2")
    page.until("document.querySelectorAll('#detail canvas').length === 2")
    page.open(tmp_path / "index.html", "#query=nothing")  # nothing is loaded any more, so nothing more is missing
    page.complaints[:] = [text for text in page.complaints if "ERR_FILE_NOT_FOUND" not in text]


HOSTILE = [
    "</script><script>window.hacked = 1",
    "<img src=x onerror=window.hacked=1>",
    "a'b\"c`${window.hacked=1}",
    "50% #1?x&y=z",
    "javascript:window.hacked=1",
    "-->",
    "<!--",
    "back\\slash",
    "new\nline",
    "\u202ereversed \u2028 \U0001f42d",
    "__proto__",
    "%2e%2e",
]


def test_hostile_names_are_only_names(finished: Path, page: Page, tmp_path: Path) -> None:
    for name in HOSTILE:
        folder = tmp_path / name.replace("/", "\u2215")
        shutil.copytree(finished / "neuron=2", folder)
        result = json.loads((folder / "result.json").read_text())
        result |= {"session": name, "warnings": [name], "cell_types": [name]}
        result["objective"]["text"] = name
        (folder / "result.json").write_text(json.dumps(result))
    os.mkdir(os.fsencode(tmp_path) + b"/not \xff text")
    (tmp_path / os.fsdecode(b"not \xff text") / "failure.json").write_text('{"error": "</script>"}')
    write_report(tmp_path)
    page.open(tmp_path / "index.html")
    assert page.value("document.querySelector('#count').textContent") == f"{len(HOSTILE) + 1} runs"
    for name in page.value(FOLDERS):
        page.open(tmp_path / "index.html", f"#run={quote(name)}")
        assert page.until(DETAIL)
        if "text" not in name:
            page.until("document.querySelector('#detail .figure img')?.naturalWidth > 500")
    page.value("document.querySelectorAll('a').forEach((link) => link.protocol === 'javascript:' && link.click())")
    assert page.value("window.hacked") is None
    assert page.value("document.scripts.length") == 2


def test_data_in_a_script_element_cannot_end_it() -> None:
    text = as_script_data({"name": "</script><!--<script>"})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!--<script>"}


def test_ten_thousand_runs_open_with_few_elements(finished: Path, page: Page, tmp_path: Path) -> None:
    run, pictures = look_at(read_run(finished / "neuron=10", finished))
    run = replace(run, files=())
    many = [replace(run, name=f"neuron={i}", neurons=(i,), final=float(i % 997), href="./x/") for i in range(10_000)]
    (tmp_path / "index.html").write_text(page_html("many", many, [pictures] * len(many), False), encoding="utf-8")
    assert (tmp_path / "index.html").stat().st_size < 2_000 * len(many)
    page.open(tmp_path / "index.html")
    assert page.value("document.querySelector('#count').textContent") == "10000 runs"
    elements = "document.querySelectorAll('*').length"
    assert page.value(elements) < 700
    page.press("End")
    assert page.until("document.activeElement.closest('.card')?.title") == "neuron=9999"
    assert page.value(elements) < 700
    choose(page, "sort", "final")
    choose(page, "query", "neuron=99")
    assert page.value(FOLDERS)[0] == "neuron=996"


@pytest.fixture
def seeds(finished: Path, tmp_path: Path) -> Path:
    """A page of 1000 runs, five seeds for each of 200 cells; the best of cell i is seed i modulo 5."""
    run, pictures = look_at(read_run(finished / "neuron=10", finished))
    many, cells = [], []
    for cell in range(200):
        order = [5 * cell + (cell + step) % 5 for step in range(5)]
        for seed in range(5):
            final = 10.0 * cell - order.index(5 * cell + seed)
            name = f"neuron={cell},seed={seed}"
            facts = {"neurons": (cell,), "seed": seed, "final": final, "cell": cell, "files": (), "href": "./x/"}
            many.append(replace(run, name=name, cosine=1 - 0.1 * order.index(5 * cell + seed), **facts))
        cells.append(Cell(tuple(order), 10.0 * cell - 2, 1.58, 0.8 + 0.001 * cell, pictures))
    text = page_html("seeds", many, [pictures] * len(many), False, cells)
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    return tmp_path / "index.html"


def test_a_cell_has_one_card_with_its_seeds_and_the_best_in_front(seeds: Path, page: Page) -> None:
    page.open(seeds)
    assert page.value("document.querySelector('#count').textContent") == "1000 runs, 200 cards"
    assert page.value(FOLDERS)[:3] == ["neuron=0,seed=0", "neuron=1,seed=1", "neuron=2,seed=2"]
    thumbs = "[...document.querySelectorAll('.card')].map((card) => card.querySelectorAll('.seed canvas').length)"
    assert set(page.value(thumbs)) == {5}
    assert re.search("5 seeds · .2 ± 1.6 · cosine 0.8", page.value("document.querySelector('.card').textContent"))
    choose(page, "sort", "alike")
    assert page.value(FOLDERS)[0] == "neuron=199,seed=4"
    choose(page, "query", "seed=3")
    assert page.value("document.querySelector('#count').textContent") == "200 of 1000 runs"
    assert page.value(FOLDERS)[0] == "neuron=199,seed=3"


def test_seeds_open_from_their_card_and_apart(seeds: Path, page: Page) -> None:
    page.open(seeds)
    page.value("document.querySelectorAll('.card .seed')[7].click()")
    page.until(DETAIL)
    assert "run=neuron%3D1%2Cseed%3D3" in page.value("location.hash")
    assert page.value("document.querySelectorAll('#detail table.seeds tbody tr').length") == 5
    assert page.value("document.querySelector('#detail canvas.mean').width") > 100
    page.press("ArrowRight")  # to the next card, from whichever seed of this one
    page.until("location.hash.includes('neuron%3D2%2Cseed%3D2')")
    page.press("Escape")
    page.value("document.getElementById('seeds').click()")
    assert page.value("document.querySelector('#count').textContent") == "1000 runs"
    address = page.value("location.hash")
    page.open(seeds, address)
    assert page.value(FOLDERS)[:2] == ["neuron=0,seed=0", "neuron=0,seed=1"]


def test_a_thousand_runs_in_seeds_have_few_elements_and_draw_few_pictures(seeds: Path, page: Page) -> None:
    page.open(seeds)
    elements = "document.querySelectorAll('*').length"
    assert page.value(elements) < 800
    page.press("End")
    assert page.until("document.activeElement.closest('.card')?.title") == "neuron=199,seed=4"
    assert page.value(elements) < 800
    assert page.value("document.querySelectorAll('canvas').length") < 200


def test_findings_of_the_folder_and_of_a_run_are_shown(finished: Path, page: Page, tmp_path: Path) -> None:
    shutil.copytree(finished / "neuron=10", tmp_path / "run")
    picture = (finished / "neuron=2" / "composition.png").read_bytes()
    for folder in (tmp_path, tmp_path / "run"):
        (folder / "mine.png").write_bytes(picture)
        table = [["type", "number"], ["</script>", "7"]]
        (folder / "mine.finding.json").write_text(json.dumps(finding("Asked", "answered.", "mine.png", [], table)))
    write_report(tmp_path)
    page.open(tmp_path / "index.html")
    page.value("document.querySelector('#findings details').open = true")
    assert page.until("document.querySelector('#findings img')?.naturalWidth") > 500
    assert page.value("document.querySelector('#findings td').textContent") == "7"
    page.open(tmp_path / "index.html", "#run=run")
    page.until("document.querySelector('#detail details.finding img')?.naturalWidth > 500")


def test_a_dot_of_the_overview_leads_to_its_run(finished: Path, page: Page, tmp_path: Path) -> None:
    run, pictures = look_at(read_run(finished / "neuron=10", finished))
    many = [replace(run, name=f"neuron={i}", neurons=(i,), final=float(i), files=()) for i in range(200)]
    (tmp_path / "index.html").write_text(page_html("many", many, [pictures] * len(many), False), encoding="utf-8")
    page.open(tmp_path / "index.html", "#sort=final")
    label = page.value("document.getElementById('overview').ariaLabel")
    assert label == "objective after of 200 runs in their order, 0 to 199"
    box = page.value("document.getElementById('overview').getBoundingClientRect().toJSON()")
    place = {"x": box["x"] + box["width"] - 7, "y": box["y"] + 40, "button": "left", "clickCount": 1}
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        page.ask("Input.dispatchMouseEvent", type=kind, **place)
    assert page.until("document.activeElement.closest('.card')?.title") == "neuron=0"


def test_light_and_dark_follow_the_system_and_the_button(sweep: Path, page: Page) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    seen = {}
    for scheme in ("dark", "light"):
        page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.open(sweep / "index.html")
        seen[scheme] = page.value(background)
    assert seen["dark"] != seen["light"]
    page.press("t")
    assert page.value(background) == seen["dark"]
    page.press("t")
    assert page.value(background) == seen["light"]


def test_paper_shows_every_run_and_no_controls(sweep: Path, page: Page) -> None:
    page.resize(700, 400)
    page.open(sweep / "index.html")
    assert page.value("document.querySelectorAll('.card').length") < len(NAMES)
    page.value("dispatchEvent(new Event('beforeprint'))")
    page.ask("Emulation.setEmulatedMedia", media="print")
    assert page.value("document.querySelectorAll('.card').length") == len(NAMES)
    assert page.value("getComputedStyle(document.getElementById('controls')).display") == "none"
    page.ask("Emulation.setEmulatedMedia", media="")
    page.value("dispatchEvent(new Event('afterprint'))")


def test_a_narrow_screen_needs_no_sideways_scrolling(sweep: Path, page: Page) -> None:
    page.resize(360, 700)
    for address in ("", "#run=neuron%3D2", "#run=neuron%3D4", "#view=compare&compare=neuron%3D2&compare=neuron%3D4"):
        page.open(sweep / "index.html", address)
        assert page.value("document.documentElement.scrollWidth") <= 360
        assert page.value("document.querySelector('dialog[open]')?.scrollWidth ?? 0") <= 360


def test_everything_that_can_be_pressed_has_a_name(sweep: Path, page: Page) -> None:
    for address in ("", "#run=neuron%3D2", "#view=compare&compare=neuron%3D2&compare=neuron%3D4"):
        page.open(sweep / "index.html", address)
        nameless = page.value("""[...document.querySelectorAll('button, a[href], input, select, canvas, video, img')]
          .filter((e) => e.checkVisibility() && !(e.textContent.trim() || e.labels?.length))
          .filter((e) => !(e.ariaLabel || e.alt || e.querySelector('[alt]')))
          .map((e) => e.outerHTML.slice(0, 100))""")
        assert nameless == []
