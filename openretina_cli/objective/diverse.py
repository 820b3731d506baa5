"""`objective=diverse`: stimuli as different as possible that all keep a share of a reference stimulus' response."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from openretina_cli.checks import require
from openretina_cli.errors import ArtifactError, ObjectiveError, SettingError
from openretina_cli.objective.base import AbstractObjective, OuterObjective
from openretina_cli.store.names import STIMULUS
from openretina_cli.store.stimulus_file import read_stimulus_file

MOST_MEMBERS = 100
"""Members of a set at most; all of them are optimised as one stack."""
MARGIN = 1e-4
"""Share of the threshold by which members are kept above it, since rounding (below 1e-5) may lower a response."""
LEAST_DISTANCE = 1e-4
"""Distance of unit vectors below which its gradient is taken for zero; float32 resolves no less."""


def _read_reference(reference: str) -> Tensor:
    """The stimulus `(channel, time, height, width)` in a file, or of a run.

    Raises:
        SettingError: it cannot be read.
    """
    path = Path(reference).expanduser()
    try:
        return torch.from_numpy(read_stimulus_file(path / STIMULUS if path.is_dir() else path))
    except ArtifactError as error:
        raise SettingError(f"reference: {error.problem}", expected="the folder of a run, or its stimulus.pt") from error


def mean_distances(units: Tensor) -> Tensor:
    """For each of the unit vectors `(member, ...)` the mean Euclidean distance to the others; 0 for one alone."""
    flat = units.flatten(1)
    squared = 2 - 2 * (flat @ flat.T)
    distances = squared.clamp(min=LEAST_DISTANCE**2).sqrt()
    others = ~torch.eye(len(flat), dtype=torch.bool, device=flat.device)
    return (distances * others).sum(1) / max(len(flat) - 1, 1)


def linear_index(at_least: float, count: int) -> float:
    """The largest diversity index of a linear cell.

    Its members are the filter and orthogonal parts that form a regular simplex: the cosine of two of them is
    p^2 - (1 - p^2) / (count - 1) for the share p of the response, and their distance over sqrt(2) is sqrt(1 - cosine).
    """
    return math.sqrt((1 - at_least**2) * (1 + 1 / (count - 1)))


class DiverseSet(OuterObjective):
    """A set of stimuli that keep a share of the reference's response, and are as far from each other as possible.

    With a_i the inner objective of member i, r that of the reference, p the share and d_i the mean distance of member i
    from the others, each scaled to norm 1, the score of member i is min(a_i, p r) + strength r d_i, less r while
    a_i < p r. A member below p r climbs, and one above moves away from the others; the best iterate of each is kept,
    which is one above p r if there was any. Ding et al. call such stimuli varied
    exciting inputs, and take 20 of them at 85 % (Nat Neurosci 2026, doi.org/10.1038/s41593-026-02213-3).

    Args:
        of: the inner objective, which is positive for the reference.
        reference: the folder of a run, or a `.pt` file of a stimulus.
        count: members of the set.
        at_least: p, the share of the reference's response that each member keeps.
        distance: of the whole stimuli, or of their maps in space, seen through the reference's time course per channel.
        strength: weight of the distance.

    Raises:
        SettingError: a value is out of range, the reference cannot be read, or drives the objective not above 0.
    """

    counts_members = True

    def __init__(
        self,
        of: Annotated[Any, "{_target_:openretina_cli.objective.mei.MostExcitingInput,neuron:3}"],
        reference: Annotated[str, "RUN_OR_STIMULUS"],
        count: int = 20,
        at_least: float = 0.85,
        distance: Literal["space_time", "space"] = "space_time",
        strength: float = 0.25,
    ) -> None:
        super().__init__(of)
        require(2 <= count <= MOST_MEMBERS, "count", count, f"2 to {MOST_MEMBERS}")
        require(0 < at_least < 1, "at_least", at_least, "a share between 0 and 1")
        require(0 < strength < math.inf, "strength", strength, "a positive number")
        self.set_size = count
        self.at_least, self._distance, self._strength = at_least, distance, strength
        self._name = str(reference)
        self._reference = _read_reference(self._name)
        # the first left singular vector of (time, pixel) is the time course that explains most of a channel
        self._courses = torch.linalg.svd(self._reference.flatten(2), full_matrices=False).U[:, :, 0]
        self.response = self._respond_to_reference()

    @torch.no_grad()
    def _respond_to_reference(self) -> float:
        """The inner objective of the reference.

        Raises:
            SettingError: the stimulus does not fit the model, or does not drive the objective.
        """
        weights = next((weights for module in self.modules() for weights in module.parameters()), self._reference)
        try:
            response = float(self._of.forward(self._reference[None].to(weights.device)))
        except (RuntimeError, ObjectiveError) as error:
            shape = tuple(self._reference.shape)
            raise SettingError(f"reference={self._name} of shape {shape} does not fit the model: {error}") from error
        require(0 < response < math.inf, "reference", self._name, f"an objective above 0, not {response:.4g}")
        return response

    @property
    def shared_call(self) -> Hashable:
        """A set is scored by itself."""
        return id(self)

    @property
    def threshold(self) -> float:
        """The inner objective that each member keeps."""
        return self.at_least * self.response

    @property
    def of_one(self) -> AbstractObjective:
        """The inner objective, since one stimulus has no distance from others."""
        return self._of

    def activations(self, stimuli: Tensor) -> Tensor:
        """The inner objective `(member,)` of stimuli `(member, channel, time, height, width)`."""
        return self._of.forward(stimuli).reshape(len(stimuli))

    def units(self, stimuli: Tensor) -> Tensor:
        """What distances are measured between, `(member, ...)`, each of norm 1; a stimulus of zeros stays zero."""
        seen = stimuli
        if self._distance == "space":
            seen = torch.einsum("bcthw,ct->bchw", stimuli, self._courses.to(stimuli))
        return torch.nn.functional.normalize(seen.flatten(1), dim=1)

    def index(self, stimuli: Tensor) -> float:
        """The diversity index: mean pairwise distance over sqrt(2), 0 for equal members, 1 for orthogonal ones."""
        return float(mean_distances(self.units(stimuli)).mean()) / math.sqrt(2)

    def report_set(self, stimuli: Tensor) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The diversity index with what it is compared with; and of each member response, share and mean distance."""
        report = {
            "reference_response": self.response,
            "threshold": self.threshold,
            "index": self.index(stimuli),
            "index_of_a_linear_cell": linear_index(self.at_least, len(stimuli)),
        }
        active, distances = self.activations(stimuli).tolist(), mean_distances(self.units(stimuli)).tolist()
        members = [
            {"activation": a, "share": a / self.response, "keeps": a >= self.threshold, "distance": distance}
            for a, distance in zip(active, distances, strict=True)
        ]
        return report, members

    def forward(self, stimulus: Tensor) -> Tensor:
        """Score the members `(member, channel, time, height, width)` of the set together, `(member,)`."""
        active = self.activations(stimulus)
        threshold = (1 + MARGIN) * self.threshold
        short = active < threshold
        units = self.units(stimulus)
        distances = mean_distances(torch.where(short[:, None], units.detach(), units))
        fine = torch.where(short, self.response, 0.0)
        return active.clamp(max=threshold) + self._strength * self.response * distances - fine

    def __repr__(self) -> str:
        share = f"{100 * self.at_least:g} % of the response to {Path(self._name).name}"
        return f"{self.set_size} diverse stimuli at {share}: {self._of!r}"
