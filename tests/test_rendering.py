"""Pictures are the same wherever, whenever and after whatever they are drawn; nobody waits for them in vain."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openretina_cli.config.compose import compose_settings
from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.output.composition.axis_tools import MINUS, Ticks
from openretina_cli.output.composition.composer import KEPT_PAGES, Composer
from openretina_cli.output.composition.layout import Layout
from openretina_cli.output.drawing.draw import Drawn, draw_pictures
from openretina_cli.output.drawing.later import absent, own_pictures
from openretina_cli.output.drawing.renderer import TRIES, Renderer
from openretina_cli.output.figure import Figure
from openretina_cli.output.tables import responses
from openretina_cli.output.tensor import tensor_bytes
from openretina_cli.output.video import Video
from openretina_cli.output.view import RunView, read_view
from openretina_cli.store.json_file import json_bytes
from openretina_cli.text import csv_text
from openretina_cli.verbs.render import Request, read_arguments
from openretina_cli.verbs.render import run as render

FIGURE = {"composition.png": Figure(["png"], dpi=50)}
VIDEO = {"stimulus.mp4": Video()}
PICTURES = {**VIDEO, **FIGURE}


def view_of(
    seed: int = 0, *, amplitude: float = 1.0, frames: int = 8, neuron: int = 42, title: str = "a run"
) -> RunView:
    random = np.random.default_rng(seed)
    stimulus = amplitude * random.normal(size=(2, frames, 5, 4)).astype(np.float32)
    response = amplitude * random.normal(size=(max(frames - 2, 1), 1)).astype(np.float32)
    return RunView(stimulus, ("green", "uv"), response, (f"neuron {neuron}",), 2, (1, 4), 30.0, 50.0, title)


class Outcomes(list[Drawn]):
    """Collects what `done` is called with, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def __call__(self, drawn: Drawn) -> None:
        self.append(drawn)
        self.threads.add(threading.get_ident())


def folder_of(path: Path) -> Path:
    path.mkdir()
    return path


# --- the same bytes --------------------------------------------------------------------------------------------------

runs = st.builds(
    view_of,
    st.integers(0, 9),
    amplitude=st.sampled_from([0.0, 1e-7, 0.03, 1.0, 99.0, 4e5]),
    frames=st.sampled_from([3, 8, 11]),
    neuron=st.sampled_from([1, 7, 123456]),
    title=st.sampled_from(["a run", "gypsy", "a title " * 20, "it costs $5 or $6"]),
)


@pytest.fixture(scope="module")
def used() -> Composer:
    """A composer that has drawn all sorts of runs, and goes on to do so."""
    return Composer()


@settings(max_examples=8)
@given(view=runs)
def test_a_figure_does_not_depend_on_what_was_drawn_before(used: Composer, view: RunView) -> None:
    assert used.encode(view, "png", 50) == Composer().encode(view, "png", 50)


def test_runs_that_differ_in_content_only_share_a_page() -> None:
    layouts = {Layout(view_of(seed, amplitude=10.0**seed, title=f"run {seed}"), 50).key for seed in range(5)}
    assert len(layouts) == 1
    assert len({Composer().encode(view_of(seed), "png", 50) for seed in range(2)}) == 2


def test_a_composer_does_not_grow_with_the_kinds_of_runs_it_draws(used: Composer) -> None:
    for frames in range(3, 3 + KEPT_PAGES + 2):
        used.encode(view_of(frames=frames), "png", 30)
    assert len(used._pages) == KEPT_PAGES


DRAW = """
import hashlib, sys
sys.path.insert(0, {tests!r})
from test_rendering import PICTURES, view_of
from openretina_cli.output.drawing.draw import draw_pictures
for content in draw_pictures(view_of(3), PICTURES).files.values():
    print(hashlib.sha256(content).hexdigest())
"""


def test_pictures_are_the_same_in_this_process_in_another_and_in_workers() -> None:
    here = draw_pictures(view_of(3), PICTURES).files
    code = DRAW.format(tests=str(Path(__file__).parent))
    other = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert other == [hashlib.sha256(content).hexdigest() for content in here.values()]
    drawn: dict[int, Drawn] = {}
    with Renderer(2) as renderer:
        for number in range(4):
            renderer.submit(view_of(number), PICTURES, partial(drawn.__setitem__, number))
    assert drawn[3].files == here
    assert tuple(here) == tuple(PICTURES)
    assert all(drawn[2].files[name] != here[name] for name in PICTURES)


def test_only_what_is_wanted_and_absent_is_drawn(tmp_path: Path) -> None:
    assert Figure([]).names == ()
    assert Figure(["pdf", "svg", "pdf"]).names == ("composition.pdf", "composition.svg")
    assert tuple(draw_pictures(view_of(), VIDEO).files) == ("stimulus.mp4",)
    (tmp_path / "stimulus.mp4").touch()
    assert absent(PICTURES, tmp_path) == FIGURE


# --- ticks -----------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0), st.integers(-20, 20), st.integers(5, 8), st.sampled_from([-1, 0, 1]))
def test_ticks_are_where_they_say_and_their_labels_are_short(
    below: float, above: float, decade: int, most: int, sides: int
) -> None:
    low, high = -below * (sides <= 0) * 10.0**decade, above * (sides >= 0) * 10.0**decade
    ticks = Ticks.between(low, high, most)
    assert 2 <= len(ticks.values) <= most
    assert 0.0 in ticks.values
    for value, label in zip(ticks.values, ticks.labels, strict=True):
        assert low - 1e-6 * abs(low) <= value <= high + 1e-6 * abs(high)
        assert float(label.replace(MINUS, "-")) * 10.0**ticks.exponent == pytest.approx(value)
        assert len(label) <= 5
    assert len(set(ticks.labels)) == len(ticks.labels)


def test_very_small_and_very_large_numbers_lend_their_power_of_ten_to_the_label() -> None:
    assert Ticks.between(-0.5, 0.5, 5).unit("s.d.") == "s.d."
    assert Ticks.between(-3e-7, 3e-7, 5).unit("s.d.") == "10⁻⁷ s.d."
    assert Ticks.between(0.0, 3e5, 5).unit("") == "10⁵"


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_the_caller_gets_the_pictures_of_every_run_in_its_own_thread(workers: int) -> None:
    drawn = Outcomes()
    flat = replace(view_of(), stimulus=np.zeros((2, 3), np.float32))
    with Renderer(workers, limit=1) as renderer:
        for view in (view_of(), flat, view_of()):
            renderer.submit(view, VIDEO, drawn)
        renderer.drain()
        assert [len(one.files) for one in drawn] == [1, 0, 1]
    assert drawn.threads == {threading.get_ident()}
    assert "channel, time, height, width" in drawn[1].problems["stimulus.mp4"]


def test_a_picture_that_cannot_be_drawn_does_not_keep_the_other() -> None:
    drawn = draw_pictures(replace(view_of(), channels=("green",)), PICTURES)
    assert tuple(drawn.files) == ("stimulus.mp4",)
    assert drawn.problems.keys() == {"composition.png"}


class Ending:
    """Ends the process that unpickles it, as often as there is a token left in a folder."""

    def __init__(self, tokens: Path) -> None:
        self.tokens = tokens

    CODE = "import os; left = os.listdir({0!r}); left and (os.remove({0!r} + '/' + left[0]), os._exit(7))"

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.CODE.format(str(self.tokens)),)


@pytest.mark.parametrize(("deaths", "pictures"), [(TRIES - 1, 1), (TRIES, 0)])
def test_a_worker_that_dies_is_replaced_and_its_run_is_drawn_again(tmp_path: Path, deaths: int, pictures: int) -> None:
    for number in range(deaths):
        (tmp_path / str(number)).touch()
    drawn: dict[int, Drawn] = {}
    with Renderer(1) as renderer:
        for number, window in enumerate([None, Ending(tmp_path), None, None]):
            renderer.submit(replace(view_of(), window=window), VIDEO, partial(drawn.__setitem__, number))
    assert [len(drawn[number].files) for number in range(4)] == [1, pictures, 1, 1]
    assert ("code 7" in drawn[1].problems.get("stimulus.mp4", "")) == (pictures == 0)


def test_a_picture_that_cannot_be_sent_to_a_worker_is_a_problem_of_its_own_and_the_worker_goes_on(
    tmp_path: Path,
) -> None:
    unsendable = Video()
    unsendable.scale = (number for number in range(3))  # type: ignore[assignment]
    drawn: dict[int, Drawn] = {}
    with Renderer(1) as renderer:
        for number in range(2):
            naming = replace(view_of(), window=Naming(tmp_path / str(number)))
            renderer.submit(naming, VIDEO, Outcomes())
            renderer.submit(view_of(), {"stimulus.mp4": unsendable}, partial(drawn.__setitem__, number))
    assert all("cannot pickle" in drawn[number].problems["stimulus.mp4"] for number in range(2))
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text()  # one process


class Telling:
    """Writes into a file what the process that unpickles it is like."""

    CODE = (
        "import json, os, signal, sys; json.dump({{'modules': [name for name in sys.modules if '.' not in name],"
        " 'nice': os.nice(0), 'ignores': signal.getsignal(signal.SIGINT) == signal.SIG_IGN,"
        " 'threads': os.environ['OMP_NUM_THREADS'], 'main': getattr(sys.modules['__main__'], '__file__', None)}},"
        " open({path!r}, 'w'))"
    )

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.CODE.format(path=str(self.path)),)


def test_a_worker_is_polite_and_never_sees_torch_or_the_users_script(tmp_path: Path) -> None:
    before = dict(os.environ)
    with Renderer(1) as renderer:
        renderer.submit(view_of(), PICTURES, Outcomes())
        renderer.submit(replace(view_of(), window=Telling(tmp_path / "facts.json")), VIDEO, Outcomes())
        assert dict(os.environ) == before
    facts = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    assert {"matplotlib", "av"} <= set(facts["modules"])
    assert not {"torch", "pytest", "hydra", "omegaconf"} & set(facts["modules"])
    assert facts["nice"] >= min(os.nice(0) + 10, 19)
    assert facts["ignores"]
    assert facts["threads"] == "1"
    assert facts["main"] is None


def test_leaving_with_an_error_cancels_what_waits_and_hands_over_what_was_drawn() -> None:
    drawn = Outcomes()

    def stop(one: Drawn) -> None:
        drawn(one)
        raise KeyboardInterrupt

    def leave() -> None:
        with Renderer(1) as renderer:
            renderer.submit(view_of(), VIDEO, stop)
            for _ in range(20):
                renderer.submit(view_of(), PICTURES, drawn)
            renderer.drain()

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert 1 <= len(drawn) < 21
    assert all(one.files and not one.problems for one in drawn)


def test_what_done_raises_comes_out_and_hides_nothing() -> None:
    def refuse(_: Drawn) -> None:
        raise ValueError("the sweep is to stop")

    def leave() -> None:
        with Renderer(0) as renderer:
            renderer.submit(view_of(), VIDEO, refuse)

    with pytest.raises(ValueError, match="the sweep is to stop"):
        leave()


@pytest.mark.parametrize("program", ["/no/such/python", "/bin/false"])
def test_where_no_process_can_be_started_pictures_are_drawn_anyway(
    program: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    drawn = Outcomes()
    with Renderer(2) as renderer:
        for _ in range(3):
            renderer.submit(view_of(), VIDEO, drawn)
    assert [len(one.files) for one in drawn] == [1] * 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]


class Naming:
    """Writes the number of the process that unpickles it into a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"import os; open({str(self.path)!r}, 'w').write(str(os.getpid()))",)


PARENT = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_rendering import VIDEO, Naming, view_of
from dataclasses import replace
from openretina_cli.output.drawing.later import absent, own_pictures
from openretina_cli.output.drawing.renderer import Renderer
with Renderer(1) as renderer:
    renderer.submit(replace(view_of(), window=Naming(Path({folder!r}) / "pid")), VIDEO, lambda drawn: None)
    renderer.drain()
    print((Path({folder!r}) / "pid").read_text(), flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to wait for a process of someone else")
@pytest.mark.parametrize("how", ["-c", "-"])
def test_no_worker_outlives_a_parent_that_is_killed(tmp_path: Path, how: str) -> None:
    code = PARENT.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    if how == "-":  # the program itself comes through standard input
        code = code.replace("sys.stdin.read()", "import signal; signal.pause()")
    arguments = ["-c", code] if how == "-c" else ["-"]
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, *arguments], stdin=pipe, stdout=pipe, text=True) as parent:
        if how == "-":
            parent.stdin.write(code)
            parent.stdin.close()
        worker = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    try:
        ended, _, _ = select.select([worker], [], [], 60)  # readable once the process has ended
        assert ended == [worker]
    finally:
        os.close(worker)


# --- the verb --------------------------------------------------------------------------------------------------------


def save(view: RunView, folder: Path, **changed: Any) -> Path:
    """A finished run's folder, with the files that its pictures are drawn from."""
    folder.mkdir(parents=True)
    (folder / "stimulus.pt").write_bytes(tensor_bytes(view.stimulus))
    (folder / "response.csv").write_text(csv_text(responses(view)))
    facts = {
        "title": view.title,
        "channels": list(view.channels),
        "neurons": [int(name.split()[1]) for name in view.trace_names],
        "lag_frames": view.lag,
        "window_response_frames": None if view.window is None else list(view.window),
        "frame_rate_hz": view.frame_rate,
        "pixel_size_um": view.pixel_size,
        "settings": {"output": {"figure": {"dpi": 50}, "video": {"scale": "joint"}}},
    }
    (folder / "result.json").write_bytes(json_bytes({**facts, **changed}))
    return folder


SAVED = [
    view_of(),
    replace(view_of(), frame_rate=None, pixel_size=None, window=None),
    replace(view_of(frames=1), response=np.ones((1, 3), np.float32), trace_names=("neuron 1", "neuron 2", "neuron 3")),
    replace(view_of(), response=np.asfortranarray(np.random.default_rng(0).random((6, 30), np.float32)),
            trace_names=tuple(f"neuron {index}" for index in range(30))),
]  # fmt: skip


VERSION_1 = {"video": True, "figure": [], "dpi": 50, "video_scale": "joint"}


@pytest.mark.parametrize("view", SAVED, ids=["film", "facts unknown", "still", "many responses"])
@pytest.mark.parametrize("changed", [{}, {"settings": {"output": VERSION_1}}], ids=["now", "before"])
def test_pictures_made_later_are_those_made_at_once(view: RunView, changed: dict[str, Any], tmp_path: Path) -> None:
    at_once = draw_pictures(view, {"stimulus.mp4": Video("joint"), **FIGURE})
    folder = save(view, tmp_path / "later", **changed)
    again = read_view(folder)
    np.testing.assert_array_equal(again.stimulus, view.stimulus)
    np.testing.assert_array_equal(again.response, view.response)
    for name in ("channels", "trace_names", "lag", "window", "frame_rate", "pixel_size", "title"):
        assert getattr(again, name) == getattr(view, name)
    render([str(folder)])  # takes scale and dpi from the run's own settings
    for name in PICTURES:
        assert (folder / name).read_bytes() == at_once.files[name]


def test_all_runs_below_a_folder_get_what_they_lack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [save(view_of(seed), tmp_path / "a sweep" / f"neuron={seed}") for seed in range(3)]
    save(view_of(), tmp_path / "a sweep" / ".staged" / "half done")
    (folders[0] / "stimulus.mp4").write_bytes(b"mine")
    render([str(tmp_path), str(folders[1]), "workers=1"])
    assert (folders[0] / "stimulus.mp4").read_bytes() == b"mine"
    for folder in folders:
        assert (folder / "composition.png").is_file()
        assert [path for path in folder.iterdir() if path.is_dir()] == []  # nothing is left aside
    assert not (tmp_path / "a sweep" / ".staged" / "half done" / "composition.png").exists()
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["drawing the pictures of 3 runs", "5 pictures made, 1 was there already, 0 could not be made"]
    render([str(folders[0]), "overwrite=true", "figure=[]"])
    assert (folders[0] / "stimulus.mp4").read_bytes() != b"mine"
    assert "1 picture made, 0 were there already, 0 could not" in capsys.readouterr().out


def test_a_run_that_cannot_be_drawn_does_not_keep_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = save(view_of(), tmp_path / "good")
    broken = save(view_of(), tmp_path / "broken")
    (broken / "result.json").write_text("{")
    shutil.copy(good / "stimulus.pt", broken / "stimulus.pt")
    with pytest.raises(ArtifactError, match="2 of 4 pictures could not be made"):
        render([str(tmp_path), "workers=0"])
    assert (good / "composition.png").is_file()
    out = capsys.readouterr().out
    assert "2 pictures made, 0 were there already, 2 could not be made" in out
    assert str(broken / "result.json") in out.replace("\n", "")


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(view_of(), tmp_path / "run")
    (folder / "stimulus.mp4").write_bytes(b"old")

    def refuse(*_: object, **__: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("openretina_cli.output.film.mp4.encode_video", refuse)
    with pytest.raises(ArtifactError):
        render([str(folder), "overwrite=true", "dpi=30"])
    assert (folder / "stimulus.mp4").read_bytes() == b"old"
    files = {"stimulus.mp4", "composition.png", "stimulus.pt", "response.csv", "result.json"}
    assert {path.name for path in folder.iterdir()} == files


def damage(folder: Path, name: str) -> None:
    (folder / name).unlink()


BROKEN = {
    "no title": (lambda folder: save(view_of(), folder, title=None), "title"),
    "a negative lag": (lambda folder: save(view_of(), folder, lag_frames=-1), "lag_frames"),
    "a window of one": (lambda folder: save(view_of(), folder, window_response_frames=[1]), "window"),
    "a rate of zero": (lambda folder: save(view_of(), folder, frame_rate_hz=0), "frame_rate"),
    "a channel too many": (lambda folder: save(view_of(), folder, channels=["a", "b", "c"]), "2 channels"),
    "neurons that are no numbers": (lambda folder: save(view_of(), folder, neurons=["a"]), "neurons"),
    "no stimulus": (lambda folder: damage(save(view_of(), folder), "stimulus.pt"), "stimulus.pt"),
    "no response": (lambda folder: damage(save(view_of(), folder), "response.csv"), "response.csv"),
    "too many neurons": (lambda folder: save(view_of(), folder, neurons=list(range(9))), "response.csv"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run_is_one_line(name: str, tmp_path: Path) -> None:
    make, words = BROKEN[name]
    make(tmp_path / "run")
    with pytest.raises(ArtifactError, match=words) as caught:
        read_view(tmp_path / "run")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


MISTAKES = {
    "no such folder": (["nowhere"], "nowhere is no folder"),
    "no folder": (["dpi=100"], "needs a folder"),
    "no run": (["."], "no finished run"),
    "no such setting": ([".", "colour=red"], "no setting colour.*expected one of output"),
    "an option": ([".", "--all"], "no setting --all"),
    "no number": ([".", "dpi=abc"], r"output\.figure\.dpi=abc.*a whole number"),
    "too fine": ([".", "dpi=5000"], "dpi=5000.*20 to 1200"),
    "no truth": ([".", "video=yes"], "video=yes.*true, false"),
    "no format": ([".", "figure=[png,gif]"], "formats=gif.*png, pdf, svg"),
    "no scale": ([".", "video_scale=log"], r"video\.scale=log.*symmetric, joint"),
    "workers below 0": ([".", "workers=-1"], "workers=-1.*0 to 256"),
    "a number's output": ([".", "output=[video,tensor]"], "output=tensor.*only a run writes"),
    "two choices": ([".", "output=[video]", "video=false"], "video=false.*no other choice beside output=.video."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words, message = MISTAKES[name]
    with pytest.raises(SettingError, match=message):
        render(words)


def test_words_are_folders_or_overrides_of_the_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of(tmp_path / "neuron=4")  # a folder, though it looks like a setting
    folders, request = read_arguments(["neuron=4", "figure=[pdf, svg,pdf]", "video=false", "dpi=100", "workers=3"])
    assert folders == [Path("neuron=4")]
    assert request == Request(("output=[figure]", "output.figure=[pdf, svg,pdf]", "output.dpi=100"), 3)
    assert read_arguments(["neuron=4", "figure=svg"])[1] == Request(("output=[video,figure]", "output.figure=[svg]"))
    words = ("output=[video]", "output.video.scale=joint")
    assert read_arguments([*words, "neuron=4", "overwrite=true"])[1] == Request(words, None, overwrite=True)


def test_given_looks_hold_for_all_runs_and_others_are_those_of_each_run_within_limits(tmp_path: Path) -> None:
    stated = {"figure": {"dpi": 1200, "formats": ["pdf"]}, "video": {"scale": "joint", "_target_": "os.system"}}
    folder = save(view_of(), tmp_path / "run", settings={"output": stated})
    words = ["output=[video,figure]"]
    own = own_pictures(compose_settings(words), words)(folder)
    assert (own["composition.png"].dpi, own["stimulus.mp4"].scale) == (300, "joint")
    words += ["output.figure.dpi=700", "output.video_scale=symmetric"]
    given = own_pictures(compose_settings(words), words)(folder)
    assert (given["composition.png"].dpi, given["stimulus.mp4"].scale) == (700, "symmetric")
    for broken in ({"dpi": "wide"}, {"dpi": True}, {"dpi": 3}, 5):
        other = save(view_of(), tmp_path / str(broken), settings={"output": {"figure": broken}})
        assert own_pictures(compose_settings(words[:1]), words[:1])(other)["composition.png"].dpi == 160


def test_help_and_mistakes_do_not_wait_for_what_draws() -> None:
    code = "import sys, openretina_cli.verbs.render; print(sorted({'matplotlib', 'av', 'torch'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
