"""An extension is one file and one YAML in a copy of the package, which is edited nowhere else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from openretina_cli.store.package import PACKAGE, config_directory

PYTHON = {
    "objective/mine.py": """
from openretina_cli.objective.base import AbstractObjective

class Largest(AbstractObjective):
    def __init__(self, model, data_key, response_reducer, neuron: int, size: float = 1.0) -> None:
        super().__init__(model, data_key)
        self.reducer, self.neuron, self.size = response_reducer, neuron, size
    def score(self, response):
        return self.size * self.reducer.forward(response[:, self.neuron])
    def neurons(self):
        return (self.neuron,)
""",
    "reducer_mine.py": """
from openretina_cli.reducer import ResponseReducer

class Sum(ResponseReducer):
    def __init__(self, size: int) -> None:
        super().__init__(0, 0, size)
    def reduce(self, responses):
        return responses.sum(dim=0)
""",
    "constraint/mine.py": """
from openretina_cli.constraint.base import Constraint

class Box(Constraint):
    pure = True
    def __init__(self, size: float) -> None:
        self.size = size
    def process(self, x):
        return x.clamp(-self.size, self.size)
""",
    "gradient/mine.py": """
from openretina_cli.gradient.base import GradientStep

class Sign(GradientStep):
    pure = True
    def __init__(self, size: float) -> None:
        self.size = size
    def process(self, gradient):
        return self.size * gradient.sign()
""",
    "penalty_mine.py": """
from openretina_cli.penalty import Penalty

class Energy(Penalty):
    def __init__(self, size: float) -> None:
        self.size = size
    def forward(self, stimulus):
        return self.size * stimulus.square().flatten(1).sum(1)
""",
    "stopper_mine.py": """
from openretina_cli.stopper import OptimizationStopper

class Twice(OptimizationStopper):
    def __init__(self, size: int) -> None:
        super().__init__(2 * size)
""",
    "stimulus/mine.py": """
import torch
from openretina_cli.stimulus.base import Parameters

class Held(Parameters):
    def __init__(self, facts, seed, frames: int, size: int, norm: float) -> None:
        self.shape, self.seed, self.size = (len(facts.channels), frames, facts.height, facts.width), seed, size
    def initial(self, constrain):
        return constrain(torch.randn(self.shape, generator=torch.Generator().manual_seed(self.seed)))
    def decode(self, parameters):
        return parameters.repeat_interleave(self.size, dim=2)
    def encode(self, stimuli):
        return stimuli.unflatten(2, (-1, self.size)).mean(dim=3)
    def grouping(self):
        return Held, self.size
""",
    "models/mine.py": """
import torch
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina

class Rectifier(Retina):
    def __init__(self, size: int, stimulus_range=None) -> None:
        super().__init__()
        weights = torch.randn(3, size, size, generator=torch.Generator().manual_seed(7))
        self.register_buffer("weights", weights)
        self.facts = ModelFacts("rectifier", {"only": 3}, ("grey",), size, size, lag=0, frame_rate=30.0)
        self.freeze()
    def forward(self, stimulus, data_key=None):
        return torch.einsum("bcthw,nhw->btn", stimulus, self.weights).relu()
""",
    "output/mine.py": """
from openretina_cli.output.base import Picture

class Caption(Picture):
    names = ("caption.txt",)
    def __init__(self, size: float) -> None:
        self.size = size
    def draw(self, name, view, kept):
        return f"{self.size} of {view.trace_names[0]}".encode()
""",
    "format/mine.py": """
from openretina_cli.format.base import Format
import numpy as np

class Flat(Format):
    def __init__(self, size: int) -> None:
        self.size = size
    def write(self, folder, show):
        for index, clip in enumerate(show.clips):
            (folder / f"{clip.name}.raw").write_bytes(bytes(self.size) + show.whole_film(index).tobytes())
    def read(self, folder, show, index):
        clip = show.clips[index]
        film = np.fromfile(folder / f"{clip.name}.raw", np.uint8, offset=self.size)
        return film.reshape(clip.length, *show.size, len(show.channels))
    def place(self, show, index, frame):
        return f"{show.clips[index].name}.raw", frame
""",
    "probe/mine.py": """
import numpy as np
from openretina_cli.probe.base import Answer, Probe

class Step(Probe):
    headline = {"change": "step"}
    def __init__(self, size: float) -> None:
        self.size = size
    def trials(self, scene):
        return 1
    def frames(self, scene):
        return scene.frames(0.5)
    def contrast(self, scene, trials, frames):
        return self.size * (frames >= 0)[:, None, None]
    def measure(self, scene, played):
        return Answer({"change": played.change[0, -1]})
""",
    "output/rows.py": """
from openretina_cli.output.base import Numbers

class Rows(Numbers):
    names = ("rows.txt",)
    def content(self, name, view, steps):
        return str(len(steps)).encode()
""",
    "verbs/census.py": '''"""Count the files of a folder."""
import os
from openretina_cli.completion import paths
from openretina_cli.errors import SettingError
from openretina_cli.terminal.streams import write_text

def help_text(argv):
    return "usage: openretina census DIR\\n"
def complete(before, word):
    return paths(word, folders_only=True)
def run(argv):
    if len(argv) != 1:
        raise SettingError(f"census takes one folder, not {len(argv)}", repair="openretina census configs")
    write_text(f"{len(os.listdir(argv[0]))} files\\n")
''',
}
"""What is dropped into the package: an extension of each group, and a verb."""


@dataclass(frozen=True)
class Extension:
    """An option of a group, and a value of its setting `size` that fits."""

    group: str
    target: str
    size: str
    more: str = ""

    @property
    def several(self) -> bool:
        return self.group in ("constraint", "gradient", "penalty", "output")

    @property
    def prefix(self) -> str:
        return f"{self.group}.mine." if self.several else f"{self.group}."

    @property
    def choice(self) -> str:
        others = "minimal,rows," if self.group == "output" else ""
        return f"{self.group}=[{others}mine]" if self.several else f"{self.group}=mine"

    @property
    def yaml(self) -> str:
        lines = [f"_target_: openretina_cli.{self.target}", f"size: {self.size}  # my size", *self.more.splitlines()]
        body = ["mine:", *(f"  {line}" for line in lines)] if self.several else lines
        return "\n".join([f"# My own {self.group}.", *body, ""])


EXTENSIONS = [
    Extension("objective", "objective.mine.Largest", "2.0", "neuron: ${neuron}  # whose response"),
    Extension("reducer", "reducer_mine.Sum", "5"),
    Extension("constraint", "constraint.mine.Box", "0.5"),
    Extension("gradient", "gradient.mine.Sign", "0.25"),
    Extension("penalty", "penalty_mine.Energy", "0.01"),
    Extension("stopper", "stopper_mine.Twice", "3"),
    Extension("stimulus", "stimulus.mine.Held", "2", "frames: 10  # length\nnorm: 1.0  # for constraints"),
    Extension("output", "output.mine.Caption", "2.5"),
    Extension("model", "models.mine.Rectifier", "4", "stimulus_range: null  # for constraints"),
]
BY_GROUP = {extension.group: extension for extension in EXTENSIONS}
SWEEP = ["optimize", "-m", "neuron=0,1", "device=cpu", "out=sweep", "optimizer.lr=1"]

MANY = """
import contextlib, io, json, os, sys
from openretina_cli.main import main
answers = []
for line, *words in json.load(sys.stdin):
    os.environ.update(COMP_LINE=line, COMP_POINT=str(len(line)), COMP_TYPE="9")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    answers.append([code, out.getvalue(), err.getvalue()])
json.dump([answers, "torch" in sys.modules], sys.stdout)
"""
"""Runs commands one after another in one process, each after the line that a shell is to complete."""

VERB = {
    "verbs": ["--help"],
    "verb help": ["census", "--help"],
    "verb misspelt": ["cencus", "conf"],
    "verb mistaken": ["census"],
    "verb run": ["census", "empty"],
}
LINES = {
    "openretina optimize objective=mi": "objective=mine",
    "openretina optimize output=mi": "output=mine",
    "openretina render sweep output=mi": "output=mine",
    "openretina cen": "census",
    "openretina census conf": "configs/",
}
"""Lines to complete, each with a candidate for its last word."""
COMPLETE = ["-sc", "query=bash"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the extensions in it."""
    folder = tmp_path_factory.mktemp("house")
    unneeded = shutil.ignore_patterns("__pycache__", "simulated_retina")
    shutil.copytree(PACKAGE, folder / "openretina_cli", ignore=unneeded)
    shutil.copytree(config_directory(), folder / "configs", dirs_exist_ok=True)
    for name, text in PYTHON.items():
        (folder / "openretina_cli" / name).write_text(text)
    for extension in EXTENSIONS:
        (folder / "configs" / extension.group).mkdir(exist_ok=True)
        (folder / "configs" / extension.group / "mine.yaml").write_text(extension.yaml)
    rows = "# Rows.\nrows:\n  _target_: openretina_cli.output.rows.Rows\n"
    (folder / "configs" / "output" / "rows.yaml").write_text(rows)
    flat = "# Flat.\n_target_: openretina_cli.format.mine.Flat\nsize: 16  # my size\n"
    (folder / "configs" / "format" / "mine.yaml").write_text(flat)
    step = "# A step of light.\nmine:\n  _target_: openretina_cli.probe.mine.Step\n  size: 0.5  # my size\n"
    (folder / "configs" / "probe" / "mine.yaml").write_text(step)
    return folder


def python(house: Path, *words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Python in the copy, which comes before the installed package."""
    environment = {**os.environ, "PYTHONPATH": str(house), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=house, env=environment, capture_output=True, text=True, timeout=300, check=False, **how
    )


Answer = list[Any]
"""Exit code, standard output and standard error."""


@pytest.fixture(scope="module")
def answers(house: Path) -> Mapping[str, Answer]:
    """Help, candidates, and what a misspelt setting, an added one and one of another type are answered."""
    (house / "empty").mkdir()
    commands = {"help": ["optimize", "--help"], **VERB, **dict.fromkeys(LINES, COMPLETE)}
    for extension in EXTENSIONS:
        group, choice, prefix = extension.group, extension.choice, extension.prefix
        commands[f"{group} misspelt"] = ["optimize", choice, f"{prefix}siez=3"]
        commands[f"{group} added"] = ["optimize", choice, f"+{prefix}siez=3"]
        commands[f"{group} text"] = ["optimize", choice, f"{prefix}size=wide"]
    done = python(house, "-c", MANY, input=json.dumps([[line, *words] for line, words in commands.items()]))
    assert done.returncode == 0, done.stderr
    found, torch_was_imported = json.loads(done.stdout)
    assert not torch_was_imported
    return dict(zip(commands, found, strict=True))


@pytest.fixture(scope="module")
def results(house: Path) -> list[Mapping[str, Any]]:
    """What the runs of a sweep with all extensions say of themselves."""
    done = python(house, "-m", "openretina_cli", *SWEEP, *(extension.choice for extension in EXTENSIONS))
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted((house / "sweep").glob("*/result.json"))]


@pytest.mark.parametrize("group", BY_GROUP)
def test_help_lists_a_dropped_option(group: str, answers: Mapping[str, Answer]) -> None:
    code, text, _ = answers["help"]
    section = text[text.index(f"\n{group}=") :].split("\n\n")[0]
    assert code == 0
    assert re.search(rf"^  mine +My own {group}\.$", section, flags=re.MULTILINE)


@pytest.mark.parametrize("mistake", ["misspelt", "added", "text"])
@pytest.mark.parametrize("group", BY_GROUP)
def test_a_mistake_in_a_dropped_option_is_one_line(group: str, mistake: str, answers: Mapping[str, Answer]) -> None:
    code, _, error = answers[f"{group} {mistake}"]
    prefix = BY_GROUP[group].prefix
    number = "a whole number" if group in ("reducer", "stopper", "stimulus", "model") else "a number"
    assert code == 2
    assert error.count("\n") == 1
    if mistake == "text":
        assert f"{prefix}size=wide; expected {number}" in error
    else:
        assert f"{prefix}siez is no setting; expected size" in error


@pytest.mark.parametrize("group", BY_GROUP)
def test_a_sweep_stacks_a_dropped_option_and_its_result_holds_it(group: str, results: list[Mapping[str, Any]]) -> None:
    assert [result["runs_in_batch"] for result in results] == [2, 2]
    for result in results:
        node = result["settings"][group]
        node = node["mine"] if BY_GROUP[group].several else node
        assert node["_target_"] == f"openretina_cli.{BY_GROUP[group].target}"
        assert float(node["size"]) == float(BY_GROUP[group].size)


def test_every_dropped_option_has_its_say(house: Path, results: list[Mapping[str, Any]]) -> None:
    for result in results:
        assert result["objective"]["text"] == "Largest"
        assert result["window_response_frames"] is None  # the objective states none
        assert result["iterations"] == 6  # of the stopper: twice its size
        assert result["objective"]["penalty"] > 0
        assert result["model"]["name"] == "rectifier"
    for path in (house / "sweep").glob("*/stimulus.pt"):
        stimulus = torch.load(path, weights_only=True)
        assert torch.equal(stimulus[:, :, 0::2], stimulus[:, :, 1::2])  # of the parameterisation: frames in pairs
        # of the gradient step: a quarter up or down in each iteration, and of the constraint: half at most
        assert float(stimulus.abs().max()) == 0.5


def captions(house: Path) -> list[str]:
    return [path.read_text() for path in sorted((house / "sweep").glob("*/caption.txt"))]


def test_a_dropped_output_is_in_every_run_and_is_drawn_again_from_its_folder(
    house: Path, results: list[Mapping[str, Any]]
) -> None:
    own = ["2.5 of neuron 0", "2.5 of neuron 1"]
    assert [result["files"][-2:] for result in results] == [["rows.txt", "caption.txt"]] * 2
    assert captions(house) == own
    assert "caption.txt" in (house / "sweep" / "index.html").read_text()
    assert [path.read_text() for path in (house / "sweep").glob("*/rows.txt")] == ["7", "7"]  # steps 0 to 6
    for words, drawn in ((["output.mine.size=7", "overwrite=true"], ["7.0 of neuron 0", "7.0 of neuron 1"]),
                         (["output.mine.size=2.5", "overwrite=true"], own), ([], own)):  # fmt: skip
        if not words:  # the size is then the one that the run states
            next((house / "sweep").glob("*/caption.txt")).unlink()
        done = python(house, "-m", "openretina_cli", "render", "sweep", "output=[mine]", *words)
        assert (done.returncode, captions(house)) == (0, drawn), done.stderr


@pytest.mark.parametrize("line", LINES)
def test_completion_lists_a_dropped_option_and_a_dropped_verb(line: str, answers: Mapping[str, Answer]) -> None:
    assert LINES[line] in answers[line][1].split()


def test_a_dropped_verb_runs(answers: Mapping[str, Answer]) -> None:
    assert answers["verb run"] == [0, "0 files\n", ""]
    assert answers["verb help"] == [0, "usage: openretina census DIR\n", ""]


def test_help_lists_a_dropped_verb_with_the_first_line_of_its_docstring(answers: Mapping[str, Answer]) -> None:
    code, text, _ = answers["verbs"]
    assert code == 0
    assert re.search(r"^  openretina census +Count the files of a folder\.$", text, flags=re.MULTILINE)


def test_a_mistake_about_a_dropped_verb_is_one_line(answers: Mapping[str, Answer]) -> None:
    misspelt = "openretina: error: there is no verb cencus; expected census (did you mean that?), or one of census, "
    mistaken = "openretina: error: census takes one folder, not 0. Try: openretina census configs\n"
    code, _, error = answers["verb misspelt"]
    assert (code, error.startswith(misspelt), error.count("\n")) == (2, True, 1)
    assert answers["verb mistaken"] == [2, "", mistaken]


def test_a_dropped_format_exports_what_dropped_options_made(house: Path, results: list[Mapping[str, Any]]) -> None:
    words = ["sweep", "format=mine", "format.size=8", "out=rig", "export.grey.mean=100", "export.grey.sd=20"]
    done = python(house, "-m", "openretina_cli", "export", *words, "device=cpu", "export.preview=false")
    assert done.returncode == 0, done.stderr
    assert "loss of response" in done.stdout
    frames, height, width = 10, 4, 4
    assert [path.stat().st_size for path in (house / "rig").glob("*.raw")] == [8 + frames * height * width] * 2


def test_a_dropped_probe_is_shown_to_a_dropped_model(house: Path) -> None:
    words = ["probe", "model=mine", "probe=[mine]", "probe.mine.size=2", "neuron=all", "amplitude=1", "out=probed"]
    done = python(house, "-m", "openretina_cli", *words, "device=cpu")
    assert done.returncode == 0, done.stderr
    assert "step" in done.stdout
    header, *rows = (house / "probed" / "probe.csv").read_text().splitlines()
    assert header == "session,neuron,type,mine_change"
    weights = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(7))
    wanted = (2 * weights.sum((1, 2))).relu()
    # seven digits of float32 sums
    assert [float(row.split(",")[-1]) for row in rows] == pytest.approx(wanted.tolist(), rel=1e-5)
    assert len([*(house / "probed").glob("neuron_*.png")]) == 3
    help_text = python(house, "-m", "openretina_cli", "probe", "--help").stdout
    assert re.search(r"^  mine +A step of light\.$", help_text, flags=re.MULTILINE)
