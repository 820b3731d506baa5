"""What is left of a stimulus in the files: the twin is asked about what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.errors import ArtifactError
from openretina_cli.export.grey import Overflow
from openretina_cli.export.source import Source
from openretina_cli.export.twin import Twins

Stimulus = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """Responses of the twin to a stimulus as it was optimised, and as the files hold it.

    Attributes:
        response: mean response of the cells in the window to the optimised stimulus.
        shown: the same to what the files hold.
        grey: the same to grey.
    """

    response: float
    shown: float
    grey: float

    @property
    def loss(self) -> float:
        """Share of the response that is lost, negative where it is gained; 0 where stimulus and grey are not answered.

        It is counted against the larger of the responses to stimulus and grey, and in the direction in which the
        stimulus drives the cells away from grey, so that it is one for stimuli that excite and that depress.
        """
        scale = max(abs(self.response), abs(self.grey))
        direction = 1.0 if self.response >= self.grey else -1.0
        return direction * (self.response - self.shown) / scale if scale > 0 else 0.0


@dataclass(frozen=True)
class Comparison:
    """A stimulus beside what the files hold of it.

    Attributes:
        norm: L2 norm of the optimised stimulus.
        shown_norm: of what the files hold.
        error: root mean square difference, in units of the stimulus.
        largest_error: largest difference.
        hidden: share of the squared norm that is in channels which the format does not show.
        answer: what the twin answers; None where it was not asked.
    """

    norm: float
    shown_norm: float
    error: float
    largest_error: float
    hidden: float
    answer: Answer | None

    def record(self, overflow: Overflow) -> dict[str, Any]:
        """The record for `export.json`."""
        answer = None if self.answer is None else {**asdict(self.answer), "loss": self.answer.loss}
        return {
            "response": answer,
            "norm": self.norm,
            "norm_shown": self.shown_norm,
            "rounding_error_rms": self.error,
            "rounding_error_largest": self.largest_error,
            "share_not_shown": self.hidden,
            "out_of_gamut_share": list(overflow.shares),
            "lowest_level": list(overflow.lowest),
            "highest_level": list(overflow.highest),
            "scaled_by": overflow.factor,
        }


def compare(
    source: Source, stimulus: Stimulus, shown: Stimulus, factor: float, hidden: Sequence[int], twins: Twins | None
) -> Comparison:
    """Compare a stimulus with what the files hold of it.

    Args:
        source: the run.
        stimulus: as it was optimised, `(channel, time, height, width)`.
        shown: as the files hold it.
        factor: by which it was scaled on purpose, which is no rounding error.
        hidden: channels that the format does not show.
        twins: loads the twin; None does not ask it.

    Raises:
        OpenRetinaError: the twin cannot be loaded, or answers with NaN.
    """
    answer = None
    if twins is not None:
        whole, written = twins.responses(source, np.stack([stimulus, shown]))
        answer = Answer(whole, written, twins.grey(source))
    exact = stimulus.astype(np.float64)
    gap, norm = shown.astype(np.float64) - factor * exact, float(np.linalg.norm(exact))
    return Comparison(
        norm=norm,
        shown_norm=float(np.linalg.norm(shown.astype(np.float64))),
        error=float(np.sqrt(np.square(gap).mean())),
        largest_error=float(np.abs(gap).max()),
        hidden=float(np.square(exact[[*hidden]]).sum()) / (norm**2 or 1.0),
        answer=answer,
    )


def check_loss(
    source: Source, comparison: Comparison, overflow: Overflow, tolerance: float, hidden: Sequence[int], cropped: bool
) -> None:
    """Refuse a stimulus that loses too much of its response on the way to the display.

    Args:
        source: the run.
        comparison: what the files hold of it.
        overflow: what of it is beyond the display.
        tolerance: largest loss.
        hidden: channels that the format does not show.
        cropped: whether pixels of it are lost.

    Raises:
        ArtifactError: it does.
    """
    answer = comparison.answer
    if answer is None or answer.loss <= tolerance:
        return
    share = max(overflow.shares)
    reasons, repair = ["levels were rounded"], "a larger stimulus.norm"
    if cropped:
        reasons, repair = ["pixels were cropped"], "a larger export.geometry.size, or a smaller factor"
    if share:
        reasons.append(f"{share:.1%} of a channel were clipped")
        repair = "export.gamut=scale, or optimise with constraint=[display]"
    if comparison.hidden:
        names = ", ".join(source.channels[place] for place in hidden)
        reasons.append(f"the format shows nothing of {names}, which {comparison.hidden:.0%} of the squared norm are in")
        ranges = ",".join("[0,0]" if place in hidden else "[null,null]" for place in range(len(source.channels)))
        repair = (
            f"openretina optimize 'constraint=[norm_and_range]' 'constraint.norm_and_range.range=[{ranges}]', which "
            "leaves them at grey"
        )
    raise ArtifactError(
        f"{source.name}: the twin answers what would be shown with {answer.shown:.4g} instead of "
        f"{answer.response:.4g}, a loss of {answer.loss:.1%}; {' and '.join(reasons)}",
        expected=f"at most {tolerance:.0%} (export.tolerance)",
        repair=repair,
    )
