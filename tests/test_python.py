"""The command in one call from Python: equal to the command, with objects in memory, and without a trace of either."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from tiny_runs import TINY, Tiny
from torch import nn

import openretina_cli
from openretina_cli import (
    AbstractObjective,
    IncreaseObjective,
    Optimized,
    OptimizedMany,
    SliceMeanReducer,
    optimize,
    optimize_many,
)
from openretina_cli.errors import ModelError, OpenRetinaError, SettingError
from openretina_cli.main import main
from openretina_cli.models.twin import EnsembleModel
from openretina_cli.output.film.player import StimulusPlayer

QUICK = "stopper.max_iterations=2"
SAME = 1e-6
"""Largest difference between a call and the command: the same code runs, so none is expected."""
CALLS: list[tuple[list[str], dict[str, Any]]] = [
    (["neuron=42", "objective=mdi"], {}),
    (["neuron=3"], {"seed": 7, "stimulus": {"norm": 30, "frames": 55}}),
    ([], {"neuron": [1, 5, 9], "optimizer": "adam", "keep": "best"}),
    (["constraint=[norm]", "gradient=[blur]"], {"neuron": 4}),
    (["objective=discriminative", "objective.on=[28]"], {}),
    ([], {"objective": "sparse", "stopper": {"max_iterations": 3}}),
    ([], {"neuron": 8, "reducer": {"start": 5, "length": 3}, "session": "simulated_ventral"}),
    (["experiment=robust", "stimulus.frames=52", "stopper.max_iterations=4"], {"neuron": 2}),
    ([], {"neuron": "0..2", "stimulus": {"std": np.float32(0.5)}, "restarts": np.int64(2)}),
    ([], {"neuron": 11, "model": {"members": [0, 2]}, "penalty": ["range"]}),
]
TYPED = {
    1: ["seed=7", "stimulus.norm=30", "stimulus.frames=55"],
    2: ["neuron=[1,5,9]", "optimizer=adam", "keep=best"],
    3: ["neuron=4"],
    5: ["objective=sparse", "stopper.max_iterations=3"],
    6: ["neuron=8", "reducer.start=5", "reducer.length=3", "session=simulated_ventral"],
    7: ["neuron=2"],
    8: ["neuron=0..2", "stimulus.std=0.5", "restarts=2"],
    9: ["neuron=11", "model.members=[0,2]", "penalty=[range]"],
}
"""The keywords of a call as they are typed."""


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_call_equals_the_command(number: int, tmp_path: Path) -> None:
    words, settings = CALLS[number]
    words = [QUICK, "device=cpu", *words]
    typed = [*words, *TYPED.get(number, []), "output=[tensor,tables]", f"out={tmp_path / 'typed'}"]
    assert main(["optimize", *typed]) == 0
    command, call = Optimized(tmp_path / "typed"), optimize(*words, **settings)
    assert float((command.stimulus - call.stimulus).abs().max()) <= SAME
    np.testing.assert_allclose(call.response, command.response, atol=SAME)
    assert call.objective == pytest.approx(command.objective, abs=SAME)
    assert [step.objective for step in call.history] == pytest.approx([s.objective for s in command.history], abs=SAME)
    assert call.numbers["identity"] == command.numbers["identity"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Optimized:
    return optimize(*TINY, neuron=1)


def test_a_result_has_stimulus_response_history_film_and_figure(made: Optimized) -> None:
    assert made.stimulus.shape == (1, 1, 8, 8, 6)
    assert made.response.shape == (8, 1)
    assert [step.iteration for step in made.history] == [0, 1]
    assert made.history[-1].objective == made.objective
    assert isinstance(made.play(), StimulusPlayer)
    assert made.figure(dpi=50).axes
    assert repr(made).startswith("Optimized(Tiny, session default: increase neuron 1")


def test_a_saved_result_is_a_folder_of_the_command(made: Optimized, tmp_path: Path) -> None:
    folder = made.save(tmp_path / "saved")
    assert {path.name for path in folder.iterdir()} >= {"result.json", "stimulus.mp4", "composition.png", ".hydra"}
    assert main(["optimize", *TINY, "neuron=1", "output=minimal", f"out={folder}"]) == 0  # is finished already
    assert torch.equal(Optimized(folder).stimulus, made.stimulus)
    with pytest.raises(SettingError, match="holds a finished run; expected another folder"):
        made.save(folder)


def test_a_temporary_folder_lives_as_long_as_its_result() -> None:
    result = optimize(*TINY, neuron=1)
    folder = result.folder
    assert folder.is_dir()
    del result
    assert not folder.exists()


def test_out_is_the_folder_of_the_command_and_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    first = optimize(*TINY, neuron=1, out=tmp_path / "a b")
    assert (tmp_path / "a b" / "composition.png").is_file()
    again = optimize(*TINY, neuron=1, out=tmp_path / "a b")
    assert again.numbers["finished"] == first.numbers["finished"]
    with pytest.raises(
        SettingError, match=r"holds a finished run of other settings or files: objective.neuron changed"
    ):
        optimize(*TINY, neuron=2, out=tmp_path / "a b")


MISTAKES: list[tuple[list[str], dict[str, Any], str]] = [
    (["neuron=1", "sede=1"], {}, "sede is no setting; expected seed"),
    ([], {"sede": 1}, "sede is no setting; expected seed"),
    ([], {"neuron": object()}, "neuron is a object; expected a number, a text, a list or a mapping of them"),
    (["-m", "neuron=1,2"], {}, "-m means several runs. Try: openretina_cli.optimize_many(...)"),
    ([], {"output": ["tensor"]}, "output lacks tables, from which the result is read. Try: output=[tables,tensor]"),
    (["--cfg", "job"], {}, "--cfg makes no run. Try: openretina optimize --cfg"),
    ([], {"model": "nowhere"}, "there is no model nowhere; expected one of core_readout"),
    ([], {"model": 3}, "model is a builtins.int; expected a torch module, a name or path, or a loaded checkpoint"),
    ([], {"model": {"state_dict": {}}}, "is a mapping without hyper_parameters"),
    ([], {"objective": 3}, "objective is a int; expected a name, an AbstractObjective, a class of them, or a function"),
    ([], {"objective": nn.Linear}, "objective is Linear; expected a name"),
    (["objective=mei"], {"objective": torch.sum}, "objective does not fit an objective in memory"),
    ([], {"model": Tiny()}, "model.height is missing. Try: model.height=18"),
    (["model=hoefling_2024"], {"model": Tiny()}, "model is both an object and a name; expected one of them"),
]


@pytest.mark.parametrize(("words", "settings", "message"), MISTAKES)
def test_a_mistake_is_an_exception_of_one_line(words: list[str], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OpenRetinaError) as caught:
        optimize(*words, **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Largest(AbstractObjective):
    """As the objective `mei`, written anew."""

    def __init__(self, model: Any, data_key: str, neuron: int, factor: float = 1.0) -> None:
        super().__init__(model, data_key)
        self.neuron, self.factor = neuron, factor

    def score(self, response: torch.Tensor) -> torch.Tensor:
        return self.factor * response[:, self.neuron].mean()


def mean_response(response: torch.Tensor, neuron: int) -> torch.Tensor:
    return response[:, neuron].mean()


@pytest.mark.parametrize(
    "objective", [Largest, functools.partial(Largest, factor=1.0), mean_response, lambda r, neuron: r[:, neuron].mean()]
)
def test_a_class_or_function_in_memory_scores_as_the_option_does(objective: Any, made: Optimized) -> None:
    result = optimize(*TINY, neuron=1, objective=objective)
    assert float((result.stimulus - made.stimulus).abs().max()) <= SAME
    assert result.objective == pytest.approx(made.objective, abs=SAME)


def test_an_objective_in_memory_brings_its_model_and_session(ensemble: EnsembleModel) -> None:
    session = list(ensemble.facts.sessions)[-1]
    reducer = SliceMeanReducer(axis=0, start=10, length=10)
    objective = IncreaseObjective(ensemble, neuron_indices=3, data_key=session, response_reducer=reducer)
    by_object = optimize(QUICK, objective=objective, device="cpu")
    by_name = optimize(QUICK, model=ensemble, neuron=3, session=session, device="cpu")
    assert by_object.numbers["session"] == session
    assert torch.equal(by_object.stimulus, by_name.stimulus)
    with pytest.raises(SettingError, match="is not that of the objective"):
        optimize(objective=objective, session=next(iter(ensemble.facts.sessions)), device="cpu")


def test_a_retina_in_memory_is_the_model_of_its_files(ensemble: EnsembleModel, ensemble_directory: Path) -> None:
    in_memory = optimize(QUICK, model=ensemble, neuron=3, device="cpu")
    by_path = optimize(QUICK, model=ensemble_directory, neuron=3, device="cpu")
    assert torch.equal(in_memory.stimulus, by_path.stimulus)
    assert in_memory.numbers["model"]["sha256"] == by_path.numbers["model"]["sha256"]
    with pytest.raises(SettingError, match=r"model.note does not fit a .*EnsembleModel in memory"):
        optimize("model.note=x", model=ensemble)


SHAPE = ("model.height=8", "model.width=6", "model.channels=[grey]", "model.stimulus_range=[[null,null]]")
SHORT = ("stimulus.frames=8", "reducer=mean", "stopper.max_iterations=1", "device=cpu")


def test_a_module_in_memory_is_copied_and_stays_as_it_is(made: Optimized) -> None:
    module = Tiny().train()
    result = optimize(*SHAPE, *SHORT, model=module, neuron=1)
    assert torch.equal(result.stimulus, made.stimulus)
    assert module.training
    assert all(weights.requires_grad for weights in module.parameters())


class Member(Tiny):
    """Answers as openretina's models do: a session is passed, and the shape of a stimulus is stated."""

    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.ModuleDict({"left": nn.Identity(), "right": nn.Identity()})

    def stimulus_shape(self, time_steps: int, num_batches: int = 1) -> tuple[int, int, int, int, int]:
        return num_batches, 1, time_steps, 8, 6

    def forward(self, stimulus: torch.Tensor, data_key: str | None = None) -> torch.Tensor:
        return super().forward(stimulus) * (2 if data_key == "right" else 1)


class Members(nn.Module):
    """An ensemble without a readout of its own, as openretina's is."""

    def __init__(self) -> None:
        super().__init__()
        self.members = nn.ModuleList([Member(), Member()])

    def forward(self, stimulus: torch.Tensor, *words: Any, **settings: Any) -> torch.Tensor:
        return torch.stack([member(stimulus, *words, **settings) for member in self.members]).mean(0)


@pytest.mark.parametrize("module", [Member(), Members()])
def test_shape_and_sessions_are_read_from_a_module_that_states_them(module: nn.Module) -> None:
    result = optimize("model.stimulus_range=[[null,null]]", *SHORT, model=module, neuron=1, session="right")
    assert result.numbers["session"] == "right"
    assert result.stimulus.shape == (1, 1, 8, 8, 6)


def test_a_checkpoint_that_is_loaded_is_the_model_of_its_file(zoo: Path) -> None:
    path = next(iter(sorted(zoo.rglob("*.ckpt"))))
    in_memory = optimize(QUICK, model=torch.load(path, weights_only=False), device="cpu", neuron=0)
    by_path = optimize(QUICK, model=path, device="cpu", neuron=0)
    assert torch.equal(in_memory.stimulus, by_path.stimulus)


def test_a_run_with_an_object_in_memory_is_never_taken_for_an_earlier_one(tmp_path: Path) -> None:
    for objective in (mean_response, lambda response, neuron: -response[:, neuron].mean()):
        words = (*TINY, "output=[tensor,tables]")
        optimize(*words, neuron=1, objective=objective, out=tmp_path / "run", overwrite=True)
        with pytest.raises(SettingError, match=r"objective.token changed"):
            optimize(*words, neuron=1, objective=objective, out=tmp_path / "run")


def test_a_record_of_an_object_in_memory_says_that_no_command_has_it(tmp_path: Path) -> None:
    result = optimize(*TINY, neuron=1, objective=mean_response)
    recorded = json.loads((result.folder / "result.json").read_text())["settings"]["objective"]
    assert recorded["of"] == f"{__name__}.mean_response"
    words = [f"{key}={value}" for key, value in recorded.items() if key != "_target_"]
    target = f"objective._target_={recorded['_target_']}"
    with pytest.raises(SettingError, match=r"the objective was .*mean_response in memory, which no record holds"):
        optimize(*TINY, "objective=custom", target, *(f"+objective.{word}" for word in words))


def test_a_sweep_equals_the_command_and_has_a_table_and_a_stack(tmp_path: Path) -> None:
    typed = ["neuron=0..2", "seed=1,2", "output=minimal", "hydra.launcher.workers=0", f"out={tmp_path / 'typed'}"]
    assert main(["optimize", "-m", *TINY, *typed]) == 0
    command = OptimizedMany(tmp_path / "typed")
    call = optimize_many(*TINY, neuron=range(3), seed=[1, 2])
    assert list(call) == list(command)
    np.testing.assert_allclose(call.stack, command.stack, atol=SAME)
    assert isinstance(call.table, pandas.DataFrame)
    assert list(call.table["objective_final"]) == list(command.table["objective_final"])
    assert list(call.table["folder"]) == list(call)
    assert torch.equal(call["neuron=1,seed=2"].stimulus[0], torch.from_numpy(call.stack[3]))
    assert OptimizedMany(call.save(tmp_path / "saved")).rows == call.rows
    assert {path.name for path in (tmp_path / "saved").iterdir()} >= {"summary.csv", "stimuli.npz", "index.html"}


def test_a_sweep_takes_objects_and_lists_of_joint_neurons() -> None:
    made = optimize_many(*SHAPE, *SHORT, model=Tiny(), neuron=[[0, 1], [1, 2]], objective="mei")
    assert [run.numbers["neurons"] for run in made.values()] == [[0, 1], [1, 2]]


def test_failed_runs_are_a_warning_and_rows_of_the_table() -> None:
    with pytest.warns(UserWarning, match="1 of 2 runs failed; the table of the result says why"):
        made = optimize_many(*TINY, neuron=[1, 9])
    assert [row["status"] for row in made.rows] == ["completed", "failed"]
    assert "neuron=9" in str(made.rows[1]["error"])
    assert len(made) == 1


def test_an_object_in_memory_cannot_go_to_a_cluster() -> None:
    with pytest.raises(SettingError, match="objects in memory reach no other process"):
        optimize_many(*TINY, "hydra/launcher=slurm", neuron=[1, 2], objective=mean_response)


def test_a_module_that_cannot_be_copied_is_refused_in_one_line() -> None:
    module = Tiny()
    vars(module)["lock"] = (number for number in range(3))
    with pytest.raises(
        ModelError, match=r"the module cannot be copied: TypeError: .*; expected one that copy.deepcopy"
    ):
        optimize(*SHAPE, *SHORT, model=module)


def test_a_call_inside_a_hydra_application_leaves_hydra_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("size: 3\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        optimize(*TINY, neuron=1)
        assert GlobalHydra.instance().is_initialized()
        assert compose("mine").size == 3


def test_a_call_prints_nothing_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    optimize(*TINY, neuron=1)
    optimize_many(*TINY, neuron=[1, 2])
    assert capfd.readouterr() == ("", "")


def test_the_call_is_imported_without_torch() -> None:
    code = "import sys; from openretina_cli import optimize, optimize_many, Optimized; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert {"optimize", "optimize_many", "Optimized"} <= set(dir(openretina_cli))
