"""Modules whose members are known: several files of weights, or a list of members; held out by the real command."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import TINY, optimize, result
from torch import Tensor, nn

from openretina_cli.config.compose import compose_settings
from openretina_cli.errors import ModelError
from openretina_cli.filters import SPACE, share_above
from openretina_cli.main import main
from openretina_cli.models.retina import Retina
from openretina_cli.run.model import build_model

GAINS = (1.0, 2.0, 4.0)
CPU = torch.device("cpu")


class Lattice(nn.Module):
    """Three neurons that see a mean, a fine and a coarse pattern; `gain` scales all responses."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        fine = torch.tensor([1.0, -1.0]).repeat(24).view(8, 6)
        coarse = torch.linspace(-1, 1, 6).expand(8, 6)
        self.register_buffer("patterns", torch.stack([torch.ones(8, 6), fine, coarse]) / 48)
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, stimulus: Tensor) -> Tensor:
        return self.gain * torch.einsum("bcthw,nhw->btn", stimulus, self.patterns)


class Three(nn.Module):
    """The mean of three members; `scale` makes it something else."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.members = nn.ModuleList(map(Lattice, GAINS))
        self.scale = scale

    def forward(self, stimulus: Tensor) -> Tensor:
        return self.scale * torch.stack([member(stimulus) for member in self.members]).mean(0)


class Narrow(Lattice):
    """Two of the neurons."""

    def forward(self, stimulus: Tensor) -> Tensor:
        return super().forward(stimulus)[..., :2]


class Uneven(Three):
    """Members of which one has fewer neurons, which the module does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.members.insert(1, Narrow())

    def forward(self, stimulus: Tensor) -> Tensor:
        return self.members[0](stimulus)


def retina(*words: str) -> Retina:
    chosen = compose_settings([*TINY, *words])
    return build_model(chosen.model, chosen.frames, CPU)


@pytest.fixture
def files(tmp_path: Path) -> str:
    for gain in GAINS:
        torch.save(Lattice(gain).state_dict(), tmp_path / f"{gain:g}=a.pt")
    return "model.weights=[" + ",".join(str(tmp_path / f"{gain:g}=a.pt") for gain in GAINS) + "]"


LATTICE = "model.module._target_=test_module_members.Lattice"
STIMULUS = torch.randn(2, 1, 8, 8, 6, generator=torch.Generator().manual_seed(0))


def test_several_files_of_weights_are_members_whose_responses_are_averaged(files: str, tmp_path: Path) -> None:
    many, one = retina(LATTICE, files), retina(LATTICE)
    torch.testing.assert_close(many(STIMULUS), sum(GAINS) / 3 * one(STIMULUS))
    assert many.facts.members == 3
    assert many.facts.sha256 != retina(LATTICE, files.replace("1=a.pt", "2=a.pt")).facts.sha256
    assert optimize(tmp_path / "run", LATTICE, files) == 0
    assert result(tmp_path / "run")["model"]["sha256"] == many.facts.sha256
    assert optimize(tmp_path / "sweep", "-m", "seed=1,2", LATTICE, files) == 0


@pytest.mark.parametrize("how", ["files", "members"])
def test_members_are_held_out_by_the_command(how: str, files: str, tmp_path: Path) -> None:
    own = (LATTICE, files) if how == "files" else ("model.module._target_=test_module_members.Three",)
    words = (
        "neuron=[1,2]",
        "constraint=[norm]",
        "optimizer.lr=1e6",
        "stopper.max_iterations=2",
        f"out={tmp_path / 'held'}",
    )
    assert main(["validate", "--held-out", *TINY, *own, *words]) == 0
    with (tmp_path / "held" / "held_out.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["neuron"] for row in rows] == ["1", "2"]
    for row in rows:
        for number, gain in enumerate(GAINS):  # a response is the gain times something that all members share
            others = (sum(GAINS) - gain) / 2
            ratio = float(row[f"held_out_{number}"]) / float(row[f"own_{number}"])
            assert ratio == pytest.approx(gain / others, rel=1e-4)
            assert 0 <= float(row[f"fine_{number}"]) <= 1
    for row, pattern in zip(rows, Lattice().patterns[1:], strict=True):  # the optimum of a linear cell is its filter
        fine = share_above(pattern[None, None, None], 0.25, SPACE)
        assert float(row["fine_0"]) == pytest.approx(fine, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.module._target_=test_module_members.Three", "+model.module.scale=2"), "is not the mean of those of"),
        ((LATTICE,), "Lattice has no member to hold out; expected an ensemble of two or more members, model.weights="),
        ((LATTICE, "model.weights=[]"), "model.weights=[]; expected one file or more"),
        ((LATTICE, "model.weights=[nowhere.pt,there.pt]"), "nowhere.pt does not exist"),
    ],
)
def test_what_has_no_members_is_one_line(words: tuple[str, ...], message: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["validate", "--held-out", *TINY, *words, f"out={tmp_path / 'held'}"]) in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_members_that_answer_for_other_neurons_are_refused() -> None:
    with pytest.raises(ModelError, match=r"member 1 of Uneven answers for {'default': 2} at a lag of 0"):
        retina("model.module._target_=test_module_members.Uneven").apart()
