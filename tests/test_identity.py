"""A finished run is served again exactly if its numbers would be the same; a run is known by what it is."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from openretina_cli.config.compose import compose_settings
from openretina_cli.config.folder_name import short
from openretina_cli.main import main
from openretina_cli.run.solver import Solved, solve
from openretina_cli.store.identity import recorded_key

MODULES = {
    "nets.py": """
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self, own=None):
        super().__init__()
        self.conv = nn.Conv3d(1, 4, (5, 8, 6))
        self.own = torch.load(own or "own.pt", weights_only=True)  # neither a parameter nor a buffer

    def forward(self, x):
        return F.softplus(self.conv(x))[..., 0, 0].transpose(1, 2) * self.own
""",
    "ideas.py": """
from pathlib import Path

from helper import FACTOR
from openretina_cli import AbstractObjective

class Idea(AbstractObjective):
    def __init__(self, model, data_key, response_reducer, neuron, table):
        super().__init__(model, data_key)
        self.reducer, self.neuron = response_reducer, neuron
        self.offset = float(Path(table).read_text())

    def score(self, response):
        return FACTOR * self.reducer.forward(response)[self.neuron] ** 2 + self.offset
""",
    "helper.py": "FACTOR = 2.0\n",
    "table.txt": "0.5",
}
BASE = (
    *("optimize", "model=torch_module", "model.module._target_=nets.Net", "model.weights=net.pt", "device=cpu"),
    *("model.height=8", "model.width=6", "model.channels=[grey]", "stimulus.frames=12", "stimulus.file=start.npy"),
    *("reducer=mean", "output=minimal", "stopper.max_iterations=2", "objective=custom", "optimizer.lr=1"),
    *("objective._target_=ideas.Idea", "+objective.neuron=${neuron}", "+objective.table=table.txt"),
)
KINDS: Mapping[str, tuple[str, ...]] = {
    "single": ("neuron=1",),
    "sweep": ("-m", "neuron=1,2"),
    "launcher of Hydra's": ("-m", "neuron=1", "hydra/launcher=basic"),
}


def net(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return nn.ModuleDict({"conv": nn.Conv3d(1, 4, (5, 8, 6))}).state_dict()


def write_workplace(folder: Path) -> None:
    for name, text in MODULES.items():
        (folder / name).write_text(text)
    torch.save(net(0), folder / "net.pt")
    torch.save(torch.tensor(1.0), folder / "own.pt")
    np.save(folder / "start.npy", np.random.default_rng(0).normal(size=(1, 12, 8, 6)).astype(np.float32))


@contextmanager
def new_process(folder: Path) -> Iterator[None]:
    """What a command finds that is started in a folder: no module of the user's is imported yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.chdir(folder)
        for name in ("nets", "ideas", "helper"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        yield


def command(folder: Path, kind: str, *overrides: str, out: str = "out") -> int:
    with new_process(folder):
        return main([*BASE, *KINDS[kind], f"out={out}", *overrides])


def stamps(folder: Path) -> Mapping[str, tuple[int, int]]:
    """What tells a stimulus that was written anew from the one before."""
    found = {path: path.stat() for path in sorted(folder.rglob("stimulus.pt"))}
    return {str(path.relative_to(folder)): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def stimuli(folder: Path) -> Mapping[str, torch.Tensor]:
    """The stimulus of each run, by the key of its settings."""
    return {
        recorded_key(json.loads((path.parent / "result.json").read_text())): torch.load(path, weights_only=True)
        for path in folder.rglob("stimulus.pt")
    }


@pytest.fixture(scope="module")
def workplaces(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """For each kind of command, a folder in which it has run."""
    made = {}
    for number, kind in enumerate(KINDS):
        made[kind] = tmp_path_factory.mktemp(f"workplace{number}")
        write_workplace(made[kind])
        assert command(made[kind], kind) == 0
    return made


Change = Callable[[Path], "list[str]"]


def override(*texts: str) -> Change:
    return lambda folder: [*texts]


def edit(name: str, before: str, after: str) -> Change:
    def change(folder: Path) -> list[str]:
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after))
        return []

    return change


def save(name: str, value: object) -> Change:
    def change(folder: Path) -> list[str]:
        torch.save(value, folder / name)
        return []

    return change


def other_start(folder: Path) -> list[str]:
    np.save(folder / "start.npy", np.full((1, 12, 8, 6), 0.25, np.float32))
    return []


SHAPING: Mapping[str, Change] = {
    "a setting": override("optimizer.lr=2"),
    "a rule": override("constraint=[norm]"),
    "the seed": override("seed=5"),
    "weights": save("net.pt", net(1)),
    "what the module loads itself": save("own.pt", torch.tensor(3.0)),
    "the start": other_start,
    "a class": edit("ideas.py", "** 2", "** 3"),
    "what a class imports": edit("helper.py", "2.0", "5.0"),
    "the class of the module": edit("nets.py", "softplus", "elu"),
    "a file that a class reads": edit("table.txt", "0.5", "0.75"),
}
UNSHAPING: Mapping[str, Change] = {
    "nothing": lambda folder: [],
    "a note": override("model.note=hello"),
    "how pictures look": override("output=full", "output.figure.dpi=30"),
    "a device": override("device=auto"),
    "what follows a failure": override("fail_fast=true"),
    "how a number is spelt": override("optimizer.lr=1.0"),
    "a comment": edit("ideas.py", "class Idea", "# a comment\n\n\nclass Idea"),
    "the same weights, saved again": save("net.pt", {"conv.bias": net(0)["conv.bias"], **net(0)}),
    "a file that nothing names": save("other.pt", net(2)),
}


@settings(max_examples=20, phases=(Phase.generate,))  # an example names what differs, so that nothing needs to shrink
@given(kind=st.sampled_from(sorted(KINDS)), what=st.sampled_from(sorted({**SHAPING, **UNSHAPING})))
def test_a_second_command_computes_exactly_if_the_numbers_could_differ(
    workplaces: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory, kind: str, what: str
) -> None:
    # Hydra's own launchers name folders by the text of all overrides
    assume(not (kind == "launcher of Hydra's" and what == "how a number is spelt"))
    folder = tmp_path_factory.mktemp("copy") / "workplace"
    shutil.copytree(workplaces[kind], folder)
    before = stamps(folder / "out")
    overrides = {**SHAPING, **UNSHAPING}[what](folder)
    code = command(folder, kind, *overrides)
    after = stamps(folder / "out")
    if kind == "single" and what in SHAPING:  # a single run is asked for by name, and says what changed
        assert (code, after) == (2, before)
        code = command(folder, kind, *overrides, "overwrite=true")
        after = stamps(folder / "out")
    assert code == 0
    anew = {name for name in after if before.get(name) != after[name]}  # other settings go beside, or into the place
    assert len(anew) == (len(before) if what in SHAPING else 0)
    assert command(folder, "single", *overrides, out="fresh") == 0
    served, fresh = stimuli(folder / "out"), stimuli(folder / "fresh")
    for key, stimulus in fresh.items():
        torch.testing.assert_close(served[key], stimulus, rtol=1e-4, atol=1e-5)  # a stack sums in another order
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("a setting", "optimizer.lr changed"),
        ("weights", "the weights of the model changed"),
        ("what a class imports", "helper.py changed"),
        ("the start", "stimulus.file changed"),
        ("a file that a class reads", "objective.table changed"),
    ],
)
def test_a_difference_is_named(
    workplaces: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, named: str
) -> None:
    for kind, code in [("single", 2)] if what == "a setting" else [("single", 2), ("sweep", 0)]:
        folder = tmp_path / kind
        shutil.copytree(workplaces[kind], folder)
        overrides = SHAPING[what](folder)
        capsys.readouterr()
        assert command(folder, kind, *overrides) == code
        assert named in " ".join("".join(capsys.readouterr()).split())


def test_a_finished_run_is_recognised_without_torch(tmp_path: Path) -> None:
    run = ["optimize", "model.members=[0]", "stopper.max_iterations=0", "output=minimal", f"out={tmp_path}"]
    assert main(run) == 0
    code = f"import sys; from openretina_cli.main import main; sys.exit(main({run!r}) or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "finished already" in done.stdout


# --- pictures


@pytest.mark.parametrize("kind", KINDS)
def test_more_pictures_of_finished_runs_are_drawn_and_nothing_is_computed(
    workplaces: Mapping[str, Path], tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "workplace"
    shutil.copytree(workplaces[kind], folder)
    before = stamps(folder / "out")
    workers = ["hydra.launcher.workers=0"] if kind == "sweep" else []
    drawn = []
    for scale in ("symmetric", "joint", "symmetric"):
        assert command(folder, kind, "output=[tensor,tables,video]", f"output.video.scale={scale}", *workers) == 0
        drawn.append([path.read_bytes() for path in sorted((folder / "out").rglob("stimulus.mp4"))])
    assert len(drawn[0]) == len(before)
    assert drawn[0] == drawn[2] != drawn[1]
    assert stamps(folder / "out") == before


def test_a_figure_of_other_sharpness_is_drawn_from_the_folder(workplaces: Mapping[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "workplace"
    shutil.copytree(workplaces["single"], folder)
    before, sizes = stamps(folder / "out"), []
    for dpi in (40, 60, 60):
        assert command(folder, "single", "output=[tensor,tables,figure]", f"output.dpi={dpi}") == 0
        path = folder / "out" / "composition.png"
        sizes.append((path.stat().st_ino, path.read_bytes()[16:24]))  # width and height
    assert sizes[0][1] != sizes[1][1]
    assert sizes[1] == sizes[2]
    assert stamps(folder / "out") == before


# --- results of other versions


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    for path in folder.rglob("result.json"):
        result = json.loads(path.read_text())
        change(result)
        path.write_text(json.dumps(result))


def as_version_1(result: dict[str, Any]) -> None:
    del result["schema"], result["identity"]
    result["settings_key"] = "0" * 64  # of a rule that took notes and pictures for settings


def test_results_of_an_earlier_version_are_read_by_what_they_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["optimize", "-m", "model.members=[0]", "stopper.max_iterations=0", "output=minimal", f"out={tmp_path}"]
    assert main([*sweep, "neuron=4,5"]) == 0
    before = stamps(tmp_path)
    rewritten(tmp_path, as_version_1)
    assert main([*sweep, "neuron=4,5", "model.note=hello"]) == 0
    assert stamps(tmp_path) == before
    rewritten(tmp_path, lambda result: result["model"].update(sha256="0" * 64))
    capsys.readouterr()
    assert main([*sweep, "neuron=4,5"]) == 0
    assert "2 made again, as the weights of the model changed" in capsys.readouterr().out


def test_an_earlier_version_did_not_record_user_classes(
    workplaces: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "workplace"
    shutil.copytree(workplaces["single"], folder)
    rewritten(folder, as_version_1)
    assert command(folder, "single") == 2
    assert "an earlier version made it, which did not record" in " ".join(capsys.readouterr().err.split())


def as_before_targets(result: dict[str, Any]) -> None:
    """As 0.1.0 wrote settings: an option was named by a word."""
    as_version_1(result)
    for option in result["settings"].values():
        if isinstance(option, dict) and "_target_" in option:
            option["kind"] = option.pop("_target_").split(".")[-1].lower()


def test_settings_of_an_earlier_version_are_named_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["optimize", "model.members=[0]", "stopper.max_iterations=0", "output=minimal", "neuron=4"]
    assert main([*run, f"out={tmp_path / 'run'}"]) == 0
    rewritten(tmp_path, as_before_targets)
    assert main([*run, f"out={tmp_path / 'run'}"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "an earlier version made it, whose settings are spelt differently" in error
    assert "_target_" not in error
    assert "overwrite=true" in error


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_a_later_version_is_refused_and_never_written_over_unasked(
    kind: str, workplaces: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "workplace"
    shutil.copytree(workplaces[kind], folder)

    def as_later(result: dict[str, Any]) -> None:
        result.update(schema=99)
        for name in ("warnings", "objective", "stimulus"):  # which that version may have given other names
            del result[name]

    rewritten(folder / "out", as_later)
    before = {path: path.read_bytes() for path in folder.rglob("result.json")}
    assert command(folder, kind) == 2
    assert "schema 99 of a later version; expected at most 2" in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in folder.rglob("result.json")} == before
    assert command(folder, kind, "overwrite=true") == 0
    assert {path: path.read_bytes() for path in folder.rglob("result.json")} != before


# --- one model per stack

CHEAP = ("optimize", "stopper.max_iterations=2", "output=minimal", "device=cpu")


def finals(folder: Path) -> Mapping[str, float]:
    return {
        path.parent.name: json.loads(path.read_text())["objective"]["final"]
        for path in sorted(folder.rglob("result.json"))
    }


@pytest.mark.parametrize("follows", ["model.members=[${seed}]", "model.path=member_${seed}"])
def test_runs_whose_model_follows_what_varies_have_it_and_resume(
    tmp_path: Path, follows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        for path in (DATA / "ensemble").glob(f"*{1000 * seed:05d}*"):
            (tmp_path / f"member_{seed}").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / f"member_{seed}")
    own = ["model=ensemble_directory", f"model.path={DATA / 'ensemble'}"]
    with new_process(tmp_path):
        assert main([*CHEAP, "-m", *own, "neuron=3,4", "seed=0,1", "out=sweep", follows]) == 0
        for seed in (0, 1):
            assert main([*CHEAP, *own, f"model.members=[{seed}]", f"seed={seed}", "neuron=3", f"out=alone/{seed}"]) == 0
        capsys.readouterr()
        assert main([*CHEAP, "-m", *own, "neuron=3,4", "seed=0,1", "out=sweep", follows]) == 0
    assert "4 of them finished before" in capsys.readouterr().out
    together, alone = finals(tmp_path / "sweep"), finals(tmp_path / "alone")
    assert [together[f"neuron=3,seed={seed}"] for seed in (0, 1)] == pytest.approx([alone["0"], alone["1"]], rel=1e-5)


class Silent:
    """Receives the progress of runs, and shows nothing."""

    def download(self, *_: object) -> None: ...
    def begin(self, *_: object) -> None: ...
    def step(self, *_: object) -> None: ...
    def write(self) -> None: ...


def test_two_models_in_one_call_of_the_solver_are_each_run_on_their_own() -> None:
    chosen = [compose_settings([*CHEAP[1:], f"model.members=[{m}]", f"seed={s}"]) for s in (0, 1) for m in (0, 1, 1)]
    together = solve(chosen, Silent())
    alone: list[Solved] = [solve([setting], Silent())[0] for setting in chosen]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.outcome.stimulus, other.outcome.stimulus, rtol=1e-5, atol=1e-6)
        assert one.identity == other.identity


# --- one owner of the neuron


def test_the_objectives_neuron_is_the_runs_neuron(tmp_path: Path) -> None:
    owned = compose_settings(["objective.neuron=3"])
    assert (owned.neuron, owned.values["neuron"], owned.key) == (3, 3, compose_settings(["neuron=3"]).key)
    assert main([*CHEAP, "-m", "model.members=[0]", "objective.neuron=3,500", f"out={tmp_path}"]) == 1
    (failure,) = tmp_path.rglob("failure.json")
    assert json.loads(failure.read_text())["neuron"] == 500
    assert main([*CHEAP, "-m", "objective=sparse", "session=absent", "neuron=3", f"out={tmp_path / 'sparse'}"]) == 1
    (failure,) = (tmp_path / "sparse").rglob("failure.json")
    assert json.loads(failure.read_text())["neuron"] is None


# --- one folder, and a folder for each run


def test_a_sweeps_folder_that_differs_from_run_to_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with new_process(tmp_path):
        assert main([*CHEAP, "-m", "neuron=1,2", "out=runs/n_${neuron}"]) == 2
        assert "out=runs 'hydra.sweep.subdir=n_${neuron}'" in " ".join(capsys.readouterr().err.split())
        assert main([*CHEAP, "-m", "neuron=1,2", "out=runs/n_${neuron}", "hydra/launcher=basic"]) == 2
        assert "hydra.sweep.subdir" in capsys.readouterr().err
        repaired = ("out=runs", "hydra.sweep.subdir=n_${neuron}")
        assert main([*CHEAP, "-m", "model.members=[0]", "neuron=1,2", *repaired]) == 0
    assert sorted(finals(tmp_path / "runs")) == ["n_1", "n_2"]


def test_a_session_called_all_is_one_of_all_sessions(workplaces: Mapping[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "workplace"
    shutil.copytree(workplaces["single"], folder)
    (folder / "nets.py").write_text(MODULES["nets.py"].replace("forward(self, x)", "forward(self, x, data_key)"))
    with new_process(folder):
        assert main([*BASE, "-m", "model.sessions=[a,all]", "session=all", "neuron=all", "out=all"]) == 0
    assert len(finals(folder / "all")) == 8


def test_a_list_whose_settings_come_out_the_same_is_one_run(tmp_path: Path) -> None:
    twice = ["neuron=4,5,4", "stimulus.norm=5,5.0", "model.note=a,b", "model.members=[0]"]
    assert main([*CHEAP, "-m", *twice, f"out={tmp_path}"]) == 0
    assert len(finals(tmp_path)) == 2


# --- names


def names(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.rglob("result.json")}


def test_names_hold_what_differs_and_enlarged_sweeps_find_what_is_finished(tmp_path: Path) -> None:
    def sweep(*overrides: str) -> None:
        assert main([*CHEAP, "-m", "model.members=[0]", f"out={tmp_path}", *overrides]) == 0

    sweep("neuron=4,5")
    assert names(tmp_path) == {"neuron=4", "neuron=5"}
    before = stamps(tmp_path)
    sweep("neuron=4..6")
    sweep("neuron=4,5", "seed=0,1")
    after = stamps(tmp_path)
    assert before.items() <= after.items()
    assert names(tmp_path) == {"neuron=4", "neuron=5", "neuron=6", "neuron=4,seed=1", "neuron=5,seed=1"}
    sweep("neuron=4,5", "seed=7")  # another command, whose runs have the same short names
    sweep("neuron=4,5", "seed=7")
    assert after.items() <= stamps(tmp_path).items()
    assert len(names(tmp_path)) == 7
    assert {recorded_key(json.loads(path.read_text())) for path in tmp_path.rglob("result.json")} == {
        compose_settings([*CHEAP[1:], "model.members=[0]", f"neuron={neuron}", f"seed={seed}"]).key
        for neuron, seed in ((4, 0), (5, 0), (6, 0), (4, 1), (5, 1), (4, 7), (5, 7))
    }


WINDOWS = set('<>:"/\\|?*') | {chr(code) for code in (*range(32), 127)}


@given(st.text(max_size=60) | st.sampled_from(["CON", "nul.txt", "com1", "a. ", "seed=..", "LPT9.x.y", "a\x07b"]))
def test_names_are_allowed_on_every_file_system(text: str) -> None:
    name = short(text)
    assert not set(name) & WINDOWS
    assert name == name.rstrip(". ")
    assert name.split(".")[0].lower() not in {"con", "nul", "com1", "lpt9", "", "aux", "prn"}
    assert len(name.encode()) <= 255


def test_names_that_differ_in_case_only_are_told_apart(workplaces: Mapping[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "workplace"
    shutil.copytree(workplaces["single"], folder)
    (folder / "nets.py").write_text(MODULES["nets.py"].replace("forward(self, x)", "forward(self, x, data_key)"))
    with new_process(folder):
        assert main([*BASE, "-m", "model.sessions=[a,A]", "session=all", "neuron=1", "out=all"]) == 0
    assert len({name.casefold() for name in names(folder / "all")}) == 2
