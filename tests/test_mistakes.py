"""Every mistake ends in one line that says what is wrong and what would be right; nothing is left behind."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DATA

from openretina_cli.main import main

Given = Callable[[Path], None]
"""Puts what a mistake is made with into the working directory."""

ENSEMBLE = shlex.quote(str(DATA / "ensemble"))
CHEAP = "model.members=[0] stopper.max_iterations=1 output=minimal out=run"
RUN = f"optimize model=ensemble_directory model.path={ENSEMBLE} {CHEAP}"
OWN_CHECKPOINT = f"optimize model=ensemble_directory model.path=own {CHEAP}"
OWN_MODULE = "optimize model=torch_module model.height=2 model.width=2 model.channels=[grey] neuron=0 out=run"
SUM = f"{RUN} objective=weighted_sum +objective@objective.terms.a=mei"
OWN_CONFIGS = "optimize --config-dir configs"
ABSENT_DEVICE = f"cuda:{torch.cuda.device_count()}" if torch.cuda.is_available() else "cuda"


@dataclass(frozen=True)
class Mistake:
    """A command that is wrong, and what it must answer.

    Attributes:
        command: what follows `openretina`, as typed into a shell.
        says: parts of the one line on standard error.
        code: exit code; 2 is the user's mistake, 1 a run that failed.
        given: see `Given`.
    """

    command: str
    says: tuple[str, ...]
    code: int
    given: Given | None


def mistake(name: str, command: str, *says: str, code: int = 2, given: Given | None = None) -> object:
    return pytest.param(Mistake(command, says, code, given), id=name)


# --- what mistakes are made with


def file(name: str, content: str | bytes) -> Given:
    def give(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return give


def array(content: object) -> Given:
    def give(folder: Path) -> None:
        np.save(folder / "start.npy", np.asarray(content, dtype=np.float32))

    return give


def checkpoint(change: Callable[[Path], object]) -> Given:
    """A copy of one member of the ensemble, with something changed."""

    def give(folder: Path) -> None:
        own = folder / "own"
        own.mkdir()
        for name in (CONFIG, DATA_INFO, STATE_DICT):
            shutil.copy(DATA / "ensemble" / name, own / name)
        change(own)

    return give


CONFIG, DATA_INFO, STATE_DICT = "config_00000.yaml", "data_info_00000.pkl", "state_dict_00000.pth.tar"


def replaced(name: str, old: str, new: str) -> Given:
    def change(own: Path) -> None:
        text = (own / name).read_text()
        assert old in text
        (own / name).write_text(text.replace(old, new))

    return checkpoint(change)


def cut(name: str) -> Given:
    return checkpoint(lambda own: (own / name).write_bytes((own / name).read_bytes()[:-1000]))


def rewritten(name: str, content: bytes) -> Given:
    return checkpoint(lambda own: (own / name).write_bytes(content))


def other_weights(own: Path) -> None:
    weights = torch.load(own / STATE_DICT, weights_only=True)
    name = next(iter(weights))
    torch.save({**weights, name: torch.zeros(3, 3)}, own / STATE_DICT)


class Payload:
    """Runs a shell command when it is unpickled, which leaves a file behind."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch it_ran",)


HOSTILE = pickle.dumps({"session": Payload()})
HOSTILE_TAG = "!!python/object/apply:os.system ['touch it_ran']"

MODULES = """
from torch import nn

class Fine(nn.Module):
    def forward(self, stimulus):
        return stimulus.mean(dim=(1, 3, 4))[:, :, None]

class AnswersNaN(Fine):
    def forward(self, stimulus):
        return super().forward(stimulus) * float("nan")

class Raises(Fine):
    def forward(self, stimulus):
        raise RuntimeError("two\\nlines")

class WrongShape(Fine):
    def forward(self, stimulus):
        return super().forward(stimulus)[None]

class Pair(Fine):
    def forward(self, stimulus):
        return super().forward(stimulus), 3

class Detached(Fine):
    def forward(self, stimulus):
        return super().forward(stimulus.detach())

class NoModule:
    pass
"""

OBJECTIVES = """
from openretina_cli import AbstractObjective

class Fine(AbstractObjective):
    def __init__(self, model, data_key, width=1):
        super().__init__(model, data_key)

    def score(self, response):
        return response.mean()

class RaisesAtConstruction(Fine):
    def __init__(self):
        raise ValueError("two\\nlines")

class RaisesInScore(Fine):
    def score(self, response):
        raise ZeroDivisionError("nothing to divide")

class ManyNumbers(Fine):
    def score(self, response):
        return response.mean(dim=0)

class NoTensor(Fine):
    def score(self, response):
        return 3

class ManyNumbersForward(Fine):
    def forward(self, stimulus):
        return stimulus.mean(dim=(0, 1, 2))

class NaN(Fine):
    def score(self, response):
        return response.mean() * float("nan")

class NeedsWidth(Fine):
    def __init__(self, model, data_key, width):
        super().__init__(model, data_key)

class Neither(AbstractObjective):
    pass

class InheritsNothing:
    def score(self, response):
        return response.mean()
"""

module = file("mine.py", MODULES)
objective = file("mine.py", OBJECTIVES)
CUSTOM = f"{RUN} objective=custom objective._target_="
MODULE = f"{OWN_MODULE} model.module._target_="

# --- the table: a name, the command, words of the answer

# fmt: off
SETTINGS = [
    mistake("typo in a setting", "optimize neurn=42", "neurn is no setting", "neuron (did you mean that?)"),
    mistake("typo in a nested setting", "optimize reducer.strat=1", "reducer.strat is no setting", "start (did you"),
    mistake("log elsewhere", "optimize hydra/job_logging=stdout", "hydra/job_logging=stdout", "expected default"),
    mistake("log on the terminal", "optimize hydra.job_logging.root.handlers=[console]", "[console]; expected default",
            "hydra.verbose=true"),
    mistake("typo in an argument", "optimize optimizer.lrr=1", "optimizer.lrr is no setting", "expected lr"),
    mistake("setting of nothing", "optimize seed.x=3", "seed.x is no setting"),
    mistake("new setting", "optimize +unknown=1", "unknown is no setting", "one of session, neuron"),
    mistake("new nested setting", "optimize +objective.foo=3", "foo is no setting", "expected one of neuron, group"),
    mistake("new setting in a list", "optimize +constraint.norm_then_range.nrom=3", "nrom is no setting", "norm (did"),
    mistake("unknown group", "optimize modle=mine", "modle is no setting", "model (did you mean that?)"),
    mistake("unknown objective", "optimize objective=mie", "objective=mie is no option", "mei (did you mean that?)"),
    mistake("unknown stopper", "optimize stopper=erly", "stopper=erly is no option", "early (did you mean that?)"),
    mistake("unknown constraint", "optimize constraint=[nrom]", "constraint=nrom is no option", "norm (did you mean"),
    mistake("unknown experiment", "optimize experiment=mine", "experiment=mine is no option", "one of hoefling_2024"),
    mistake("nothing chosen", "optimize penalty.range.factor=1", "no penalty is chosen", "penalty=[OPTION]"),
    mistake("option null", "optimize objective=null", "objective=null chooses no option", "objective=NAME"),
    mistake("list null", "optimize constraint=null", "constraint=null chooses no option", "constraint=[]"),
    mistake("option is a number", "optimize model=2024", "model=2024 chooses no option"),
    mistake("several options", "optimize objective=[mei,mdi]", "objective=[mei,mdi] chooses no option"),
    mistake("deleted setting", "optimize ~seed", "seed is missing", "seed=1"),
    mistake("setting without its group", "optimize norm=30", "norm is no setting", "Try: stimulus.norm"),
    mistake("setting of another option", "optimize model.path=mine.ckpt", "model.path is no setting",
            "Try: model=core_readout, which has path"),
    mistake("checkpoint as a model's name", "optimize model=../mine.ckpt", "model=../mine.ckpt is a path, no option",
            "Try: model=core_readout model.path=../mine.ckpt"),
    mistake("blanks around =", "optimize neuron = 3", "cannot read neuron", "Try: neuron=VALUE, without blanks"),
    mistake("kind, of version 0.1", "optimize model.kind=mine", "model.kind is no setting", "one of name, members"),
    mistake("class of another option", "optimize reducer._target_=openretina_cli.penalty.RangePenalty",
            "reducer.start is no setting", "one of range, norm, factor"),
    mistake("typo in a class", "optimize objective._target_=openretina_cli.objective.mei.MostExcitingInptu",
            "openretina_cli.objective.mei has no class MostExcitingInptu", "MostExcitingInput (did you mean that?)"),
    mistake("typo in a module", "optimize objective._target_=openretina_cli.objective.mie.MostExcitingInput",
            "there is no module openretina_cli.objective.mie"),
    mistake("class that is no name", "optimize objective._target_=mei", "objective._target_=mei",
            "a module and a class, such as my_module.MyClass"),
    mistake("seed is text", "optimize seed=abc", "seed=abc", "a whole number"),
    mistake("seed is null", "optimize seed=null", "seed=null", "a whole number"),
    mistake("negative seed", "optimize seed=-1", "seed=-1", "a whole number from 0"),
    mistake("fraction of a frame", "optimize reducer.start=1.5", "reducer.start=1.5", "a whole number"),
    mistake("members are text", "optimize model=ensemble_directory model.path=x model.members=[a]",
            "model.members=[a]", "a list of whole numbers or null"),
    mistake("no members", "optimize model=ensemble_directory model.path=x model.members=[]", "model.members=[]"),
    mistake("negative neuron", "optimize neuron=-1", "neuron=-1", "a number from 0, a list such as [1,5,9]"),
    mistake("neuron is text", "optimize neuron=abc", "neuron=abc", "a number from 0"),
    mistake("no neuron", "optimize neuron=[]", "neuron=[]", "different whole numbers from 0"),
    mistake("neuron named twice", "optimize neuron=[1,1]", "neuron=[1,1]", "different whole numbers"),
    mistake("span backwards", "optimize neuron=9..1", "neuron=9..1", "a span 0..9"),
    mistake("group of one", "optimize objective=group_mei neuron=1", "objective.neuron=1", "several neurons"),
    mistake("two runs in one", "optimize neuron=1,2", "neuron=1,2 means several runs", "-m neuron=1,2"),
    mistake("sweep without -m", "optimize 'neuron=range(0,3)'", "means several runs", "-m 'neuron=range(0,3)'"),
    mistake("negative window", "optimize reducer.start=-1", "reducer.start=-1", "0 or more"),
    mistake("empty window", "optimize reducer.length=0", "reducer.length=0", "1 or more"),
    mistake("norm 0", "optimize stimulus.norm=0", "stimulus.norm=0", "a positive number"),
    mistake("negative norm", "optimize stimulus.norm=-5", "stimulus.norm=-5", "a positive number"),
    mistake("norm is no number", "optimize stimulus.norm=nan", "stimulus.norm=nan", "a positive number"),
    mistake("norm is text", "optimize stimulus.norm=abc", "stimulus.norm=abc", "a number"),
    mistake("minimum above maximum", "optimize 'model.stimulus_range=[[1,-1],[0,1]]'",
            "model.stimulus_range=[[1,-1],[0,1]]", "minimum <= maximum"),
    mistake("range of three", "optimize model.stimulus_range=[1,2,3]", "a pair [minimum, maximum] per channel"),
    mistake("no frames", "optimize stimulus.frames=0", "stimulus.frames=0", "1 or more"),
    mistake("negative iterations", "optimize stopper.max_iterations=-1", "stopper.max_iterations=-1", "0 or more"),
    mistake("unknown picture", "optimize output.figure=[gif]", "output.figure.formats=gif", "one of png, pdf, svg"),
    mistake("figure too fine", "optimize output.figure.dpi=5000", "output.figure.dpi=5000", "20 to 1200"),
    mistake("unknown output", "optimize output=[vidoe]", "output=vidoe is no option", "video (did you mean that?)"),
    mistake("output that is not chosen", "optimize output=minimal output.dpi=100",
            "output.figure is not chosen", "output=[tensor,tables,figure]"),
    mistake("picture of no numbers", "optimize output=[video]", "made from tensor, tables",
            "output=[tensor,tables,video]"),
    mistake("picture switched off", "optimize output.video=false", "output.video=false chooses nothing",
            "output=[tensor,tables,figure]"),
    mistake("unknown rule", "optimize keep=worst", "keep=worst", "one of last, best"),
    mistake("unknown device", "optimize device=gpu", "device=gpu", "auto, cpu, cuda"),
    mistake("no clusters", "optimize objective=discriminative", "objective.on is missing", "objective.on=[0,1,2,3]"),
    mistake("flat clusters", "optimize objective=discriminative objective.on=[1] objective.off=[2,3]",
            "objective.off=[2,3]", "a list of lists of whole numbers"),
    mistake("no path", "optimize model=ensemble_directory", "model.path is missing", "model.path=FOLDER"),
    mistake("no class", "optimize objective=custom", "objective._target_ is missing", "my_module.MyClass"),
    mistake("no folder", "optimize out=", "out=; expected a folder"),
    mistake("missing interpolation", "optimize 'stimulus.norm=${nope}'", "'nope' not found"),
    mistake("open bracket", "optimize 'neuron=[1,2'", "cannot read neuron=[1,2", "every bracket and quote closed"),
    mistake("no value", "optimize seed", "cannot read seed", "KEY=VALUE"),
    mistake("no key", "optimize =5", "cannot read =5", "KEY=VALUE"),
    mistake("setting as a flag", "optimize --neuron 3", "unrecognized arguments: --neuron", "Try: neuron=VALUE"),
    mistake("unknown flag", "optimize --fast", "--fast", "openretina optimize --help"),
    mistake("flags that exclude each other", "optimize -m --cfg job", "Only one of --run, --multirun, --cfg"),
    mistake("unknown verb", "optimise neuron=3", "there is no verb optimise",
            "optimize (did you mean that?), or one of export, models, optimize"),
    mistake("unknown model", "models nope", "there is no model nope", "one of core_readout, ensemble_directory"),
    mistake("checkpoint that is not there", "models mine.ckpt", "mine.ckpt does not exist", "or a model's name"),
    mistake("model without files", "models fetch ensemble_directory", "ensemble_directory has no published files"),
    mistake("fetch nothing", "models fetch", "takes one model, not 0", "openretina models fetch hoefling_2024"),
    mistake("model without its path", "models ensemble_directory", "model.path is missing"),
    mistake("out is a file", "optimize out=taken", "out=", "taken is a file", given=file("taken", "")),
    mistake("out below a file", "optimize out=taken/run", "cannot be made", "taken is a file", given=file("taken", "")),
    mistake("out is no place", "optimize out=/proc/nope", "out=/proc/nope cannot be written", "out=FOLDER"),
    mistake("out is too long", f"optimize out={'x' * 300}", "cannot be written: File name too long"),
    mistake("out is taken", "optimize out=run", "holds a finished run of other settings", "overwrite=true",
            given=file("run/result.json", json.dumps({"settings_key": "another"}))),
]

EARLY, MEI, MAX = (f"_target_: openretina_cli.{name}" for name in (
    "stopper.EarlyStopper", "objective.mei.MostExcitingInput", "reducer.MaxReducer"))
CONFIGS = [
    mistake("objective of version 0.1", f"{OWN_CONFIGS} objective=mine",
            "objective.kind=mei is of version 0.1, and was replaced by _target_", MEI,
            given=file("configs/objective/mine.yaml", "kind: mei\nneuron: 3\n")),
    mistake("constraint of version 0.1", f"{OWN_CONFIGS} constraint=[mine]",
            "constraint.mine.kind=norm is of version 0.1, and was replaced by _target_",
            "_target_: openretina_cli.constraint.norm.ChangeNorm",
            given=file("configs/constraint/mine.yaml", "mine:\n  kind: norm\n  norm: 3\n")),
    mistake("model of version 0.1", f"{OWN_CONFIGS} model=mine", "model.kind=ensemble_directory is of version 0.1",
            "_target_: openretina_cli.models.ensemble.ensemble",
            given=file("configs/model/mine.yaml", "kind: ensemble_directory\npath: x\nstimulus_range: null\n")),
    mistake("gradient step that is none", f"{OWN_CONFIGS} gradient=[mine] {CHEAP}",
            "gradient.mine._target_: openretina_cli.penalty.RangePenalty is no GradientStep",
            given=file("configs/gradient/mine.yaml", "mine:\n  _target_: openretina_cli.penalty.RangePenalty\n")),
    mistake("config folder is not there", "optimize --config-dir nodir", "--config-dir nodir is no folder"),
    mistake("broken YAML", f"{OWN_CONFIGS} objective=mine", "mine.yaml, line 1", "expected YAML",
            given=file("configs/objective/mine.yaml", "_target_: [mei")),
    mistake("tab in YAML", f"{OWN_CONFIGS} reducer=mine", "mine.yaml, line 2", "'\\t'",
            given=file("configs/reducer/mine.yaml", "length: 3\n\tstart: 1")),
    mistake("YAML that is text", f"{OWN_CONFIGS} reducer=mine", "mine.yaml cannot be read", "lines of KEY: VALUE",
            given=file("configs/reducer/mine.yaml", "3")),
    mistake("YAML that is binary", f"{OWN_CONFIGS} reducer=mine", "mine.yaml cannot be read",
            given=file("configs/reducer/mine.yaml", b"\xff\xfe\x00")),
    mistake("empty YAML", f"{OWN_CONFIGS} reducer=mine", "reducer", "_target_",
            given=file("configs/reducer/mine.yaml", "")),
    mistake("typo in YAML", f"{OWN_CONFIGS} stopper=mine", "stopper.max_iteratoins is no setting",
            "max_iterations (did you mean that?)",
            given=file("configs/stopper/mine.yaml", f"{EARLY}\nmax_iteratoins: 3\n")),
    mistake("unknown key in YAML", f"{OWN_CONFIGS} objective=mine", "objective.weight is no setting",
            given=file("configs/objective/mine.yaml", f"{MEI}\nneuron: 3\nweight: 2\n")),
    mistake("wrong type in YAML", f"{OWN_CONFIGS} reducer=mine", "reducer.start=1.5", "a whole number",
            given=file("configs/reducer/mine.yaml", f"{MAX}\nstart: 1.5\n")),
    mistake("hostile tag in YAML", f"{OWN_CONFIGS} reducer=mine", "mine.yaml, line 2", "os.system",
            given=file("configs/reducer/mine.yaml", f"{MAX}\nstart: {HOSTILE_TAG}")),
]

PROBLEMS = [
    mistake("neuron off the end", f"{RUN} neuron=999", "neuron=999 is not in session", "113 neurons", "0 to 112"),
    mistake("unknown session", f"{RUN} session=nope", "session=nope is not in ensemble", "one of 3_ventral1_20201021"),
    mistake("window off the end", f"{RUN} reducer.start=15", "the window [15, 25)", "20 frames", "reducer.start=0"),
    mistake("stimulus too short", f"{RUN} stimulus.frames=30", "too short", "stimulus.frames=50"),
    mistake("stimulus too long", f"{RUN} stimulus.frames=1000000000000", "failed on a stimulus of 1000000000000"),
    mistake("three ranges, two channels", f"{RUN} 'model.stimulus_range=[[0,1],[0,1],[0,1]]'",
            "3 ranges were given", "2 channels"),
    mistake("three names, two channels", f"{RUN} model.channels=[a,b,c]", "names 3 channels", "model.channels=[c0,c1]"),
    mistake("range without zero", f"{RUN} constraint=[norm_and_range] model.stimulus_range=[1,2]",
            "[1, 2] leaves out 0"),
    mistake("member off the end", f"{RUN} model.members=[7]", "names member 7", "0 to 4"),
    mistake("learning rate is text", f"{RUN} optimizer.lr=abc", "torch.optim.SGD does not take lr=abc"),
    mistake("negative learning rate", f"{RUN} optimizer.lr=-1", "torch.optim.SGD does not take lr=-1"),
    mistake("huge learning rate", f"{RUN} optimizer.lr=1e300", "torch.optim.SGD does not take lr=1e+300", "overflow"),
    mistake("unknown argument", f"{RUN} +optimizer.momntum=1", "does not take", "'momntum'"),
    mistake("unknown optimizer", f"{RUN} optimizer._target_=torch.optim.SDG", "has no class SDG", "SGD (did you mean"),
    mistake("optimizer that is none", f"{RUN} optimizer._target_=torch.nn.Linear", "torch.nn.Linear is no Optimizer"),
    mistake("optimizer that measures", f"{RUN} optimizer._target_=torch.optim.LBFGS", "measures the objective itself"),
    mistake("sum without weights", f"{SUM}", "objective.weights is missing", "objective.weights={up:1}"),
    mistake("sum with a weight too few", f"{SUM} objective.weights={{b:1}}", "objective.weights.a=null", "a number"),
    mistake("sum with a weight that is text", f"{SUM} objective.weights={{a:x}}", "objective.weights={a:x}"),
    mistake("sum of no objectives", f"{RUN} objective=weighted_sum objective.terms={{a:3}} objective.weights={{a:1}}",
            "objective.terms.a=3", "an objective"),
    mistake("neuron off the end in a sum", f"{SUM} objective.weights={{a:1}} objective.terms.a.neuron=999",
            "objective.terms.a.neuron=999 is not in session", "0 to 112"),
    mistake("sum of version 0.1", f"{RUN} objective=weighted_sum 'objective.terms={{a:{{kind:mdi,neuron:1}}}}'"
            " objective.weights={a:1}", "objective.terms.a.kind=mdi is of version 0.1",
            "_target_: openretina_cli.objective.mdi.MostDepressingInput"),
    mistake("device that is not here", f"{RUN} device={ABSENT_DEVICE}", f"device={ABSENT_DEVICE} is not here",
            "device=auto"),
]

CHECKPOINTS = [
    mistake("no checkpoint", OWN_CHECKPOINT, "there is no checkpoint folder own", "model.path=FOLDER"),
    mistake("empty checkpoint", OWN_CHECKPOINT, "own holds no checkpoint", "config_00000.yaml",
            given=lambda folder: (folder / "own").mkdir()),
    mistake("missing file", OWN_CHECKPOINT, "own is incomplete", DATA_INFO,
            given=checkpoint(lambda own: (own / DATA_INFO).unlink())),
    mistake("truncated weights", OWN_CHECKPOINT, STATE_DICT, "not a readable checkpoint", given=cut(STATE_DICT)),
    mistake("corrupt weights", OWN_CHECKPOINT, STATE_DICT, given=rewritten(STATE_DICT, b"no weights")),
    mistake("empty weights", OWN_CHECKPOINT, f"{STATE_DICT} is empty", given=rewritten(STATE_DICT, b"")),
    mistake("hostile weights", OWN_CHECKPOINT, STATE_DICT, "system and was not read",
            given=rewritten(STATE_DICT, HOSTILE)),
    mistake("weights that do not fit", OWN_CHECKPOINT, f"{STATE_DICT} does not fit {CONFIG}", "size mismatch",
            given=checkpoint(other_weights)),
    mistake("truncated facts", OWN_CHECKPOINT, DATA_INFO, "not a readable data_info", given=cut(DATA_INFO)),
    mistake("hostile facts", OWN_CHECKPOINT, DATA_INFO, "system and was not read", given=rewritten(DATA_INFO, HOSTILE)),
    mistake("facts of something else", OWN_CHECKPOINT, f"{DATA_INFO} is not a published data_info",
            given=rewritten(DATA_INFO, pickle.dumps({"session": 3}))),
    mistake("corrupt config", OWN_CHECKPOINT, f"{CONFIG}, line", "expected YAML",
            given=rewritten(CONFIG, b"model_config: [1,\n")),
    mistake("config of something else", OWN_CHECKPOINT, f"{CONFIG} has no model_config",
            given=rewritten(CONFIG, b"a: 1")),
    mistake("hostile config", OWN_CHECKPOINT, CONFIG, "os.system is not plain data",
            given=rewritten(CONFIG, f"model_config: {HOSTILE_TAG}".encode())),
    mistake("unsupported config", OWN_CHECKPOINT, "model_config.nonlinearity is 'Mish'", "one of ELU",
            given=replaced(CONFIG, "nonlinearity: ELU", "nonlinearity: Mish")),
    mistake("unknown key in config", OWN_CHECKPOINT, "model_config.depth is not known",
            given=replaced(CONFIG, "model_config:\n", "model_config:\n  depth: 3\n")),
]

OWN_CODE = [
    mistake("module answers NaN", f"{MODULE}mine.AnswersNaN", "NaN", "finite responses", given=module),
    mistake("module raises", f"{MODULE}mine.Raises", "RuntimeError: two lines", given=module),
    mistake("module of wrong shape", f"{MODULE}mine.WrongShape", "shape (1, 1, 50, 1)", "(batch, time, neuron)",
            given=module),
    mistake("module answers a pair", f"{MODULE}mine.Pair", "a tuple", "a tensor", given=module),
    mistake("module without gradient", f"{MODULE}mine.Detached", "no finite gradient reaches", given=module),
    mistake("module that is none", f"{MODULE}mine.NoModule", "mine.NoModule is no Module", given=module),
    mistake("module class not found", f"{MODULE}mine.Fin", "mine has no class Fin", "Fine (did", given=module),
    mistake("module not found", f"{MODULE}absent.Fine", "there is no module absent", "absent.py in"),
    mistake("module that is no name", f"{MODULE}mine", "model.module._target_=mine", "my_module.MyClass"),
    mistake("no module", OWN_MODULE, "model.module._target_ is missing"),
    mistake("module fails at import", f"{MODULE}mine.Fine", "importing mine failed: RuntimeError: at import", code=1,
            given=file("mine.py", "raise RuntimeError('at import')")),
    mistake("module ends the program", f"{MODULE}mine.Fine", "importing mine failed: SystemExit", code=1,
            given=file("mine.py", "raise SystemExit(0)")),
    mistake("module needs a package", f"{MODULE}mine.Fine", "mine imports absent_package, which is not installed",
            given=file("mine.py", "import absent_package")),
    mistake("module without its weights", f"{MODULE}mine.Fine model.weights=absent.pt", "absent.pt does not exist",
            given=module),
    mistake("objective fails at construction", f"{CUSTOM}mine.RaisesAtConstruction", "ValueError: two lines", code=1,
            given=objective),
    mistake("objective fails in score", f"{CUSTOM}mine.RaisesInScore", "ZeroDivisionError: nothing to divide", code=1,
            given=objective),
    mistake("objective of many numbers", f"{CUSTOM}mine.ManyNumbers", "returned shape (113,)", "one number", code=1,
            given=objective),
    mistake("objective of many numbers, forward", f"{CUSTOM}mine.ManyNumbersForward", "returned shape (18, 16)", code=1,
            given=objective),
    mistake("objective without a tensor", f"{CUSTOM}mine.NoTensor", "returned a int", code=1, given=objective),
    mistake("objective is NaN", f"{CUSTOM}mine.NaN", "became nan at iteration 0", "NaN", code=1, given=objective),
    mistake("objective that inherits nothing", f"{CUSTOM}mine.InheritsNothing",
            "mine.InheritsNothing is no AbstractObjective", "inherits from AbstractObjective", given=objective),
    mistake("objective without a score", f"{CUSTOM}mine.Neither", "neither score(response) nor forward(stimulus)",
            given=objective),
    mistake("objective module not found", f"{CUSTOM}absent.Mine", "there is no module absent"),
    mistake("objective lacks an argument", f"{CUSTOM}mine.NeedsWidth", "objective.width is missing",
            "+objective.width=VALUE", given=objective),
    mistake("objective with another argument", f"{CUSTOM}mine.Fine +objective.height=3",
            "objective.height is no setting", "expected width", given=objective),
]

STARTS = [
    mistake("no file", f"{RUN} stimulus.file=absent.pt", "stimulus.file=absent.pt does not exist"),
    mistake("wrong shape", f"{RUN} stimulus.file=start.npy", "holds shape (2, 3, 4, 5)", "(2, 50, 18, 16)",
            given=array(np.zeros((2, 3, 4, 5)))),
    mistake("NaN", f"{RUN} stimulus.file=start.npy", "holds NaN or infinity", "finite values",
            given=array(np.full((2, 50, 18, 16), np.nan))),
    mistake("no stimulus", f"{RUN} stimulus.file=start.pt", "start.pt cannot be read",
            given=file("start.pt", "text")),
    mistake("hostile file", f"{RUN} stimulus.file=start.pt", "start.pt cannot be read",
            given=file("start.pt", HOSTILE)),
]

SWEEP = f"optimize -m {CHEAP} "
SWEEPS = [
    mistake("empty range", f"{SWEEP}neuron=range(5,5)", "neuron=range(5,5) is empty", "one value or more"),
    mistake("span backwards", f"{SWEEP}neuron=9..3", "neuron=9..3: the span 9..3 is empty", "3..9"),
    mistake("span in a list backwards", f"{SWEEP}neuron=1,9..3", "the span 9..3 is empty"),
    mistake("endless range", f"{SWEEP}optimizer.lr=interval(0,1)", "has no end of values", "a sweeper that draws"),
    mistake("too many runs", f"{SWEEP}seed=range(0,3000000)", "these are more than 1000000 runs", "at most 1000000"),
    mistake("all neurons of a swept model", f"{SWEEP}neuron=all model.center_readouts=true,false",
            "neuron=all has no meaning while model.center_readouts is swept", "a sweep per model.center_readouts"),
    mistake("all sessions of swept models", f"{SWEEP}session=all model=simulated_retina,ensemble_directory",
            "session=all has no meaning while model is swept"),
    mistake("all neurons of no session", f"{SWEEP}neuron=all session=dorsal", "session=dorsal is not in the model",
            "one of simulated_dorsal, simulated_ventral, or all"),
    mistake("one folder for all", f"{SWEEP}neuron=4,5 hydra.sweep.subdir=all", "would both go into", "subdir"),
    mistake("a seed that is text", f"{SWEEP}seed=1,abc", "seed=abc", "a whole number"),
    mistake("a negative seed", f"{SWEEP}seed=1,-1", "seed=-1", "a whole number from 0"),
    mistake("a neuron that is text", f"{SWEEP}neuron=1,x", "neuron=x", "a number from 0"),
    mistake("a session that is a number", f"{SWEEP}session=1,2", "session=1", "the name of a session"),
    mistake("wrong value in the second group", f"{SWEEP}stimulus.norm=5,wide", "stimulus.norm=wide", "a number"),
    mistake("unknown option in a sweep", f"{SWEEP}objective=mei,mie", "objective=mie is no option", "mei"),
    mistake("unknown setting in a sweep", f"{SWEEP}neurn=1,2", "neurn is no setting", "neuron (did you mean that?)"),
    mistake("added setting in a sweep", f"{SWEEP}+neurn=1,2", "neurn is no setting", "neuron (did you mean that?)"),
    mistake("unknown launcher", f"{SWEEP}neuron=1,2 hydra/launcher=slrum", "hydra/launcher=slrum is no option",
            "slurm"),
    mistake("launcher that is not installed", f"{SWEEP}neuron=1,2 hydra/launcher=ray",
            "hydra/launcher=ray is not installed", "pip install hydra-ray-launcher"),
    mistake("sweeper that is not installed", f"{SWEEP}neuron=1,2 hydra/sweeper=ax",
            "hydra/sweeper=ax is not installed", "pip install hydra-ax-sweeper"),
    mistake("unknown setting of the launcher", f"{SWEEP}neuron=1,2 hydra.launcher.wrkers=2",
            "hydra.launcher.wrkers is no setting", "workers"),
    mistake("setting of the launcher", f"{SWEEP}neuron=1,2 hydra.launcher.workers=-1", "hydra.launcher.workers=-1",
            "0 or more"),
    mistake("setting of the sweep", f"{SWEEP}neuron=1,2 fail_fast=maybe", "fail_fast=maybe", "true or false"),
    mistake("a sweep into a file", f"{SWEEP}neuron=1,2", "run is a file", given=file("run", "")),
    mistake("a sweep of no model", f"{SWEEP}neuron=1,2 model=ensemble_directory model.path=absent",
            "absent", code=2),
    mistake("a sweep on no device", f"{SWEEP}neuron=1,2 device={ABSENT_DEVICE}", f"device={ABSENT_DEVICE}", "not here"),
    mistake("a sweep that is printed", f"{SWEEP}neuron=1,2 --cfg job", "--multirun"),
]
# fmt: on

HERE = [*SETTINGS, *CONFIGS, *PROBLEMS, *STARTS]
"""Made in this process, which is quicker."""
APART = [*CHECKPOINTS, *OWN_CODE, *SWEEPS]
"""Made by a command of its own: these import code of the user's, or take the command to its end."""


# --- the tests


def environment(cache: Path) -> dict[str, str]:
    """One thread per command, as two run at a time; no bytecode, so that a folder stays as it was."""
    ours = {
        "COLUMNS": "100",
        "OMP_NUM_THREADS": "1",
        "OPENRETINA_CACHE_DIRECTORY": str(cache),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**os.environ, **ours}


def openretina(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """The real command, in a subprocess, in a working directory."""
    return subprocess.run(
        [sys.executable, "-m", "openretina_cli", *shlex.split(command)],
        cwd=folder,
        env=environment(folder.parent / "cache"),
        capture_output=True,
        text=True,
        timeout=300,  # a hang is a failure, not a wait
        check=False,
    )


def contents(folder: Path) -> Mapping[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@dataclass(frozen=True)
class Answer:
    process: subprocess.CompletedProcess[str]
    before: Mapping[str, bytes | None]
    after: Mapping[str, bytes | None]


Answers = Mapping[int, "Future[Answer]"]


def answers_with(
    wrong: Mistake, line: str, before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]
) -> None:
    for words in wrong.says:
        assert words in line
    assert after == before  # no folder, whole or half, and no file of a payload that ran


@pytest.mark.parametrize("wrong", HERE)
def test_a_mistake_in_this_process_is_one_line_and_leaves_nothing(
    wrong: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if wrong.given is not None:
        wrong.given(tmp_path)
    before = contents(tmp_path)
    code = main(shlex.split(wrong.command))
    said = capsys.readouterr()
    process = subprocess.CompletedProcess(wrong.command, code, said.out, said.err)
    answers_with(wrong, assert_one_line(process, wrong.code), before, contents(tmp_path))


def attempt(wrong: Mistake, folder: Path) -> Answer:
    if wrong.given is not None:
        wrong.given(folder)
    before = contents(folder)
    return Answer(openretina(folder, wrong.command), before, contents(folder))


def assert_one_line(process: subprocess.CompletedProcess[str], code: int) -> str:
    """Checks the form of an answer and returns the one line."""
    assert process.returncode == code, process.stderr
    assert process.stderr.count("\n") == 1, process.stderr
    assert process.stderr.startswith("openretina: error: ")
    assert "Traceback" not in process.stderr + process.stdout
    return process.stderr


@pytest.fixture(scope="module")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """Answers to all mistakes that this session tests, two being made at a time."""
    chosen = [i.callspec.params["wrong"] for i in request.session.items if "wrong" in getattr(i, "fixturenames", ())]
    with ThreadPoolExecutor(2) as pool:
        yield {id(wrong): pool.submit(attempt, wrong, tmp_path_factory.mktemp("mistake")) for wrong in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("wrong", APART)
def test_a_mistake_is_one_line_and_leaves_nothing(wrong: Mistake, answers: Answers) -> None:
    answer = answers[id(wrong)].result()
    answers_with(wrong, assert_one_line(answer.process, wrong.code), answer.before, answer.after)


def test_the_payloads_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE)  # noqa: S301  # the proof that the hostile files above are hostile
    assert (tmp_path / "it_ran").exists()


def test_a_run_that_diverges_keeps_its_last_good_stimulus(tmp_path: Path) -> None:
    done = openretina(tmp_path, f"{RUN} optimizer.lr=3e38 constraint=[] stopper.max_iterations=10")
    line = assert_one_line(done, 1)
    for words in ("diverged", "at iteration ", "neuron 42", "a smaller optimizer.lr"):
        assert words in line
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "diverged"
    stimulus = torch.load(tmp_path / "run" / "stimulus.pt", weights_only=True)
    assert bool(torch.isfinite(stimulus).all())


def test_a_download_without_a_network(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening: nothing else can take the port meanwhile
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        work = tmp_path / "work"
        work.mkdir()
        line = assert_one_line(openretina(work, f"optimize out=run model=hoefling_2024 model.url={url}"), 1)
    assert f"cannot download {url}config_00000.yaml: no connection to 127.0.0.1" in line
    assert "openretina models fetch hoefling_2024" in line
    assert not contents(work)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


# In KiB: the settings do not fit; they fit, but the log does not; both fit, but the stimulus of 113 KiB does not.
@pytest.mark.parametrize("size", [4, 12, 64])
def test_a_full_disk(small_disk: Callable[[int], Path], tmp_path: Path, size: int) -> None:
    disk = small_disk(size)
    line = assert_one_line(openretina(tmp_path, f"{RUN} out=disk/run"), 1)
    assert "No space left on device" in line
    assert not contents(disk)


def test_ctrl_c(tmp_path: Path) -> None:
    command = shlex.split(f"{RUN} stopper.max_iterations=1000000")
    with subprocess.Popen(
        [sys.executable, "-m", "openretina_cli", *command],
        cwd=tmp_path,
        env=environment(tmp_path.parent / "cache"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()  # the run has begun
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert first.startswith("optimizing")
    assert (process.returncode, errors) == (130, "openretina: error: interrupted\n")
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "optimize --help",
        "models",
        "models nope",
        "optimize neurn=42",
        "optimize objective=mie",
        "optimize seed=abc",
        "optimize 'neuron=[1,2'",
        "optimize --cfg job",
    ],
)
def test_help_and_errors_do_not_wait_for_torch(command: str, tmp_path: Path) -> None:
    script = "import sys; from openretina_cli.main import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    words = [sys.executable, "-c", script, *shlex.split(command)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert not contents(tmp_path)
