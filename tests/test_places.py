"""Wherever a run is written, a place that will not do is refused first, files of others stay, and no result is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Thread

import pytest
from tiny_runs import optimize, result

from openretina_cli.errors import SettingError
from openretina_cli.store.aside import aside, locked, write_whole
from openretina_cli.store.folder import RunFolder

NUMBERS = {"stimulus.pt", "history.csv", "response.csv", "result.json", "optimize.log", ".hydra"}

Captured = pytest.CaptureFixture[str]


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


# --- the place of a single run


def test_a_run_goes_through_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert optimize(tmp_path / "link") == 0
    assert names(tmp_path / "real") == NUMBERS
    assert names(tmp_path) == {"real", "link"}


def test_a_run_goes_onto_a_disk_that_is_mounted_there(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(2000)
    assert optimize(disk) == 0
    assert names(disk) == NUMBERS


@pytest.mark.parametrize("place", ["link", "link/run"])
def test_a_link_that_leads_nowhere_is_refused_before_anything_is_computed(
    tmp_path: Path, place: str, capsys: Captured
) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    assert optimize(tmp_path / place) == 2
    told = capsys.readouterr()
    assert "is a link to a place that is not there" in told.err
    assert "optimizing" not in told.out


def test_a_run_in_place_of_another_takes_its_pictures_away(tmp_path: Path) -> None:
    assert optimize(tmp_path / "run") == 0
    (tmp_path / "run" / "composition.png").write_bytes(b"of the run before")
    (tmp_path / "run" / "notes.txt").write_bytes(b"mine")
    assert optimize(tmp_path / "run", "seed=3", "overwrite=true") == 0
    assert names(tmp_path / "run") == {*NUMBERS, "notes.txt"}


# --- two runs in one place


def test_a_run_where_another_is_on_its_way_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: Captured
) -> None:
    with RunFolder(tmp_path / "run").stage():
        assert optimize(tmp_path / "run") == 2
        assert optimize(tmp_path / "other run") == 0
    told = capsys.readouterr()
    assert f"another command is making a run in out={tmp_path / 'run'}" in told.err
    assert names(tmp_path) == {"other run"}


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_another_command_finished_meanwhile_stays(tmp_path: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "run").mkdir()
    folder = RunFolder(tmp_path / "run")
    with folder.stage() as place:
        (place / "result.json").write_text('{"seed": 1}')
        folder.path.mkdir(exist_ok=True)
        write_whole(folder.path, {"result.json": b'{"seed": 2}'})
        with pytest.raises(SettingError, match=r"has finished a run in .* meanwhile"):
            folder.publish(place, before=None)
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == {"seed": 2}
    assert names(tmp_path / "run") == {"result.json"}


def test_two_commands_that_publish_into_one_folder_take_turns(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_whole(tmp_path / "run", {"result.json": b"{}"})
    folder = RunFolder(tmp_path / "run")
    before, outcomes = folder.stamp, list[BaseException]()

    def publish(place: Path) -> None:
        try:
            folder.publish(place, before)
        except SettingError as error:
            outcomes.append(error)

    with aside(tmp_path, "mine") as place:
        (place / "result.json").write_text('{"seed": 1}')
        thread = Thread(target=publish, args=[place])
        with locked(tmp_path):
            thread.start()  # which waits until the other has published, and then sees what came of it
            write_whole(folder.path, {"result.json": b'{"seed": 2}'})
        thread.join()
    assert [type(error).__name__ for error in outcomes] == ["FinishedMeanwhileError"]
    assert json.loads((folder.path / "result.json").read_text()) == {"seed": 2}


def test_of_commands_that_begin_in_one_folder_at_once_exactly_one_goes_on(tmp_path: Path) -> None:
    count = 6
    begin, tried = Barrier(count), Barrier(count)

    def attempt(folder: RunFolder) -> bool:
        begin.wait()
        with ExitStack() as stack:
            try:
                stack.enter_context(folder.stage())
            except SettingError:
                return False
            finally:
                tried.wait()
            return True

    with ThreadPoolExecutor(count) as pool:
        for attempts in range(20):  # without turns, several see each other and all are refused
            folder = RunFolder(tmp_path / str(attempts) / "run")
            assert sum(pool.map(attempt, [folder] * count)) == 1


# --- links of others


def test_a_file_that_is_written_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("failure.json", ".failure.json", "failure.json.part"):
        (folder / name).symlink_to(tmp_path / "victim")
    write_whole(folder, {"failure.json": b"{}"})
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (folder / "failure.json").is_symlink()


def test_a_sweep_replaces_links_in_its_folder(tmp_path: Path) -> None:
    sweep, victim = tmp_path / "sweep", tmp_path / "victim"
    sweep.mkdir()
    victim.write_text("mine")
    for name in ("multirun.yaml", "summary.csv", "index.html", "stimuli.npz"):
        (sweep / name).symlink_to(victim)
    assert optimize(sweep, "-m", "neuron=1") == 0
    assert victim.read_text() == "mine"
    assert "neuron: 1" in (sweep / "multirun.yaml").read_text()


def test_a_runs_folder_in_a_sweep_that_is_a_link_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: Captured
) -> None:
    sweep, other = tmp_path / "sweep", tmp_path / "other"
    sweep.mkdir()
    other.mkdir()
    (other / "failure.json").write_text("mine")
    (sweep / "n9999").symlink_to(other)
    assert optimize(sweep, "-m", "neuron=1,9999", "hydra.sweep.subdir=n${neuron}") == 2
    assert f"{sweep / 'n9999'} is a link" in capsys.readouterr().err
    assert (other / "failure.json").read_text() == "mine"
    assert names(sweep) == {"n9999"}


# --- what is left of processes that are gone

HOLD = """
import sys
from pathlib import Path
from openretina_cli.store.aside import aside
with aside(Path(sys.argv[1]), "run") as place:
    (place / "stimulus.pt").touch()
    print(place, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_is_cleared_by_the_next_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with aside(tmp_path, "another run"):
            assert names(theirs) == {"stimulus.pt"}
        process.kill()
    assert theirs.exists()
    assert optimize(tmp_path / "run") == 0
    assert names(tmp_path) == {"run"}
    assert result(tmp_path / "run")["status"] == "completed"
