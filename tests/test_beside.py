"""One environment with the package openretina 1.1.1 and this one, installed in both orders.

The environment takes torch, Lightning and the like from that of `make bench`, so that only two wheels are installed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
from environment import NoReferenceError, reference_python  # type: ignore[import-not-found]  # noqa: E402

THEIRS = "openretina==1.1.1"
ORDERS = {"ours_last": ("openretina-1", "openretina_cli-"), "theirs_last": ("openretina_cli-", "openretina-1")}
"""Beginnings of the wheels' names, in the order in which they are installed."""

Answer = tuple[int, str, str]


def done(command: Sequence[str | Path], cwd: Path) -> Answer:
    """Exit code, standard output and standard error of a command."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    environment.pop("PYTHONPATH", None)
    words = list(map(str, command))
    found = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    return found.returncode, found.stdout, found.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    try:
        pip = [reference_python(), "-m", "pip", "--disable-pip-version-check"]
    except NoReferenceError as error:
        pytest.skip(f"the package openretina cannot be installed: {error}")
    code, _, said = done([*pip, "wheel", "--quiet", "--no-deps", "-w", folder, THEIRS, ROOT], folder)
    if code:
        pytest.skip(f"PyPI cannot be reached: {(said.strip().splitlines() or ['no reason was given'])[-1]}")
    return folder


class Place:
    """An environment with both packages.

    Args:
        folder: where to make it.
        wheels: the folder of their wheels.
        order: beginnings of the wheels' names.
    """

    def __init__(self, folder: Path, wheels: Path, order: Sequence[str]) -> None:
        self.folder, self.wheels = folder, wheels
        self.bin = folder / "env" / "bin"
        assert done([sys.executable, "-m", "venv", "--without-pip", folder / "env"], folder)[0] == 0
        site = next((folder / "env" / "lib").glob("python*")) / "site-packages"
        shared = done([reference_python(), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder)[1]
        own = [path for path in sys.path if path.endswith("site-packages")]
        (site / "shared.pth").write_text("\n".join([shared.strip(), *own]))
        for name in order:
            self.install(name)

    def install(self, name: str) -> None:
        """Install the wheel whose name begins so."""
        wheel = next(self.wheels.glob(f"{name}*.whl"))
        pip = [reference_python(), "-m", "pip", "--disable-pip-version-check", "--python", self.bin / "python"]
        code, _, error = done(
            [*pip, "install", "-q", "--no-index", "--no-deps", "-I", "--force-reinstall", wheel], self.folder
        )
        assert code == 0, error

    def run(self, *command: str | Path) -> Answer:
        """Run a command of the environment in an empty folder."""
        return done([self.bin / command[0], *command[1:]], self.folder)

    def python(self, code: str) -> Answer:
        """Run Python of the environment, with `DATA` known."""
        return self.run("python", "-c", f"DATA = {str(DATA)!r}\n{code}")


@pytest.fixture(scope="module")
def places(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Place]:
    return {name: Place(tmp_path_factory.mktemp(name), wheels, order) for name, order in ORDERS.items()}


@pytest.fixture(params=ORDERS)
def place(request: pytest.FixtureRequest, places: Mapping[str, Place]) -> Place:
    return places[request.param]


OURS = [("openretina-cli",), ("python", "-m", "openretina_cli")]


def commands_of_ours(place: Place) -> Iterator[tuple[str, ...]]:
    yield from OURS
    if place.folder.name.startswith("ours_last"):
        yield ("openretina",)


def test_optimize_runs_in_either_order(place: Place) -> None:
    for number, command in enumerate(commands_of_ours(place)):
        words = ["optimize", "neuron=3", "device=cpu", "output=minimal", f"out=run{number}"]
        code, out, error = place.run(*command, *words)
        assert (code, error) == (0, ""), error
        assert "objective" in out
        assert (place.folder / f"run{number}" / "result.json").is_file()


def test_help_lists_the_verbs_of_both_without_importing_the_other(place: Place) -> None:
    code = "from openretina_cli.main import main; import sys; main(['--help']); print(*sys.modules, file=sys.stderr)"
    _, text, modules = place.python(code)
    section = text.partition("Of the package openretina, which is installed as well:\n")[2]
    assert [line.split()[1] for line in section.splitlines()[:4]] == ["train", "eval", "create-data", "visualize"]
    assert "Train a model" in section
    assert "openretina optimize" in text
    assert not {"openretina", "importlib.metadata", "torch", "hydra"} & set(modules.split())


def test_visualize_says_what_replaces_it(place: Place) -> None:
    for command in commands_of_ours(place):
        code, text, _ = place.run(*command, "visualize", "--help")
        assert code == 0
        assert "openretina optimize -m model=core_readout model.path=FILE.ckpt" in text
    code, _, error = place.run("openretina-cli", "visualize", "--model-path", "a b.ckpt", "--save-folder=out")
    repair = "openretina optimize -m model=core_readout model.path='a b.ckpt' out=out session=all neuron=all"
    assert (code, error.count("\n")) == (2, 1)
    assert error.strip().endswith(f"Try: {repair}")


WORDS = (
    ["train", "--help"],
    ["train", "--config-path", "nowhere", "seed=1"],
    ["create-data"],
    ["create-data", "--clip-length", "wide", "data"],
)
"""Words of the other package's verbs: help, mistakes, an exception."""


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_verb_of_the_other_package_answers_as_its_own_command_does(
    words: list[str], places: Mapping[str, Place]
) -> None:
    place = places["theirs_last"]
    theirs, ours = place.run("openretina", *words), place.run("openretina-cli", *words)
    assert theirs[:2] == ours[:2]
    # a traceback names the files of the two scripts
    assert theirs[2].splitlines()[-1:] == ours[2].splitlines()[-1:]
    assert (words == ["train", "--help"]) <= ("usage: openretina train" in ours[1])


def test_a_verb_of_the_other_package_gets_its_arguments(place: Place) -> None:
    words = ["--num-sessions", "1", "--num-stimuli", "1", "--clip-length", "1", "--num-colors", "2"]
    for number, command in enumerate(commands_of_ours(place)):
        assert place.run(*command, "create-data", f"data{number}", *words)[0] == 0
        names = [path.name for path in (place.folder / f"data{number}").iterdir()]
        assert sorted(names) == ["session_0.hdf5", "stimuli"]


def test_ctrl_c_ends_a_verb_of_the_other_package_as_its_own_command(places: Mapping[str, Place]) -> None:
    place, ends = places["theirs_last"], []
    for command in ("openretina", "openretina-cli"):
        words = [str(place.bin / command), "create-data", command, "--clip-length", "200", "--num-sessions", "500"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        with subprocess.Popen(words, cwd=place.folder, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Wrote the following files")
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        ends.append((process.returncode, error.splitlines()[-1]))
    assert ends[0] == ends[1]
    assert (ends[0][0] == 0, ends[0][1]) == (False, "KeyboardInterrupt")


def test_models_says_how_to_get_the_name_back(places: Mapping[str, Place], wheels: Path, tmp_path: Path) -> None:
    lost = "pip install --force-reinstall --no-deps openretina-cli"
    assert lost in " ".join(places["theirs_last"].run("openretina-cli", "models")[1].split())
    assert lost not in " ".join(places["ours_last"].run("openretina-cli", "models")[1].split())
    place = Place(tmp_path, wheels, ORDERS["theirs_last"])
    assert "visualize" in place.run("openretina", "--help")[1]
    place.install("openretina_cli-")  # what the line says
    assert "openretina optimize" in place.run("openretina", "--help")[1]


OBJECTS = """
import warnings; warnings.simplefilter("ignore")
import torch, openretina_cli
from openretina_cli import optimize
from openretina.models.core_readout import load_core_readout_model
from openretina.utils.nnfabrik_model_loading import load_ensemble_retina_model_from_directory
quick = ("stopper.max_iterations=2", "device=cpu", "constraint=[norm]", "model.stimulus_range=null")
for path, theirs in ((CHECKPOINT, load_core_readout_model(CHECKPOINT, "cpu")),
                     (DATA + "/ensemble", load_ensemble_retina_model_from_directory(DATA + "/ensemble", "cpu")[1])):
    words = quick[:3]
    more = () if path == CHECKPOINT else ("model.height=18", "model.width=16", "model.channels=[green,uv]")
    theirs.train()
    one, other = optimize(*words, *more, model=theirs, neuron=1), optimize(*words, model=path, neuron=1)
    assert theirs.training and any(weights.requires_grad for weights in theirs.parameters())
    difference = float((one.stimulus - other.stimulus).abs().max() / other.stimulus.abs().max())
    print(one.numbers["settings"]["model"].get("of") or one.numbers["settings"]["model"]["module"]["of"], difference)
    assert difference < 1e-3, difference
"""


def test_objects_of_the_other_package_are_models(places: Mapping[str, Place], tmp_path: Path) -> None:
    with tarfile.open(DATA / "core_readout.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    checkpoint = next(tmp_path.rglob("low_res.ckpt"))
    code, out, error = places["ours_last"].python(f"CHECKPOINT = {str(checkpoint)!r}\n{OBJECTS}")
    assert code == 0, error
    assert [line.split()[0].rpartition(".")[2] for line in out.splitlines()][-2:] == [
        "UnifiedCoreReadout",
        "EnsembleModel",
    ]
