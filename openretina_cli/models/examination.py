"""Finds out whether a module is a function of each stimulus alone, and makes it one where that can be done."""

from __future__ import annotations

import torch
from torch import Tensor

from openretina_cli.errors import ModelError
from openretina_cli.models.module import ModuleRetina
from openretina_cli.models.seeding import seeded
from openretina_cli.models.state import ModuleState

SAME = {torch.float64: 2e-5, torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Differences up to this share of the largest response are rounding. Float32 responses differed by up to 1e-6 between
batch sizes; half precision has 11 (float16) or 8 (bfloat16) bits."""

CLONED = "the model changes its input in place; each call is given a copy of the stimulus"
FRESH = "the model carries a state from call to call; each call is given the state it was loaded with"
ALONE = (
    "the responses of a batch's rows depend on each other in this model; each stimulus is run alone, which is slower"
)


def trial_stimuli(retina: ModuleRetina, frames: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two stimuli `(1, channel, time, height, width)` that differ in mean and variance, the same on every device."""
    shape = (2, 1, len(retina.facts.channels), frames, retina.facts.height, retina.facts.width)
    first, other = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return first.to(device), (2 * other + 1).to(device)


class Examination:
    """Calls a module on two stimuli for one session, and compares its responses.

    Args:
        retina: the module; what it needs to be a function is switched on in it.
        session: the session that is passed; None passes none.
        kept: the module's state before its first call.
        frames: stimulus frames.
        device: where the module is.
    """

    def __init__(
        self, retina: ModuleRetina, session: str | None, kept: ModuleState, frames: int, device: torch.device
    ) -> None:
        self._retina, self._session, self._kept = retina, session, kept
        self._first, self._other = trial_stimuli(retina, frames, device)

    @torch.no_grad()
    def make_it_a_function(self) -> Tensor | None:
        """Find out what the module needs.

        Returns:
            Its answer to both stimuli as one batch; None where it takes one stimulus at a time.

        Raises:
            ModelError: it answers the same stimulus differently, and nothing helps.
        """
        retina = self._retina
        if not retina.clones and self._changes_input():
            retina.clones = True
            retina.warn(CLONED)
        if not self._repeats():
            if retina.fresh is None:
                retina.fresh = self._kept
            if not self._repeats():
                raise self._refusal()
            retina.warn(FRESH)
        if retina.alone:
            return None
        pair = self._pair()
        if pair is None:
            retina.alone = True
            retina.warn(ALONE)
        return pair

    def _ask(self, stimulus: Tensor) -> Tensor | None:
        """Answer to stimuli that stay as they are, copied, since a module may use its result's memory again.

        None where the module raises: a state of an earlier call may not fit, nor two stimuli, nor the memory.
        """
        try:
            return self._retina.answer(stimulus.clone(), self._session).clone()
        except ModelError:
            raise
        except Exception:
            return None

    def _same(self, one: Tensor | None, two: Tensor | None) -> bool:
        """Whether two answers agree but for rounding; NaN agrees with NaN."""
        if one is None or two is None or one.shape != two.shape:
            return False
        finite = one[one.isfinite()].abs()
        largest = float(finite.max()) if len(finite) else 0.0
        share = SAME.get(self._retina.form.dtype, 2e-5)
        return bool(torch.isclose(one, two, rtol=0, atol=share * largest, equal_nan=True).all())

    def _changes_input(self) -> bool:
        seen = self._first.clone()
        self._retina.answer(seen, self._session)
        return not torch.equal(seen, self._first)

    def _repeats(self) -> bool:
        """Whether answers depend on no earlier call: the same again, and the same after the state was put back."""
        first, other, again = self._ask(self._first), self._ask(self._other), self._ask(self._first)
        self._kept.restore()
        return self._same(first, again) and self._same(other, self._ask(self._other))

    def _refusal(self) -> ModelError:
        drawn = []
        for _ in range(2):
            with seeded(self._first.device):
                drawn.append(self._ask(self._first))
        if self._same(*drawn):
            return ModelError(
                "the module draws random numbers, so that it answers the same stimulus differently each time",
                expected="a function of the stimulus, such as F.dropout(x, p, self.training)",
            )
        return ModelError(
            "the module carries a state from call to call that cannot be put back, so that it answers the same stimulus"
            " differently each time",
            expected="a function of the stimulus, or a state in buffers and attributes of the module",
        )

    def _pair(self) -> Tensor | None:
        """The answer to a batch of two, where its rows are those of each stimulus alone."""
        pair = self._ask(torch.cat([self._first, self._other]))
        rows = [row for row in (self._ask(self._first), self._ask(self._other)) if row is not None]
        if pair is None or len(rows) < 2:
            return None
        axes = [axis for axis, (one, two) in enumerate(zip(rows[0].shape, pair.shape, strict=False)) if 2 * one == two]
        if pair.dim() != rows[0].dim() or len(axes) != 1:
            return pair  # the reader of axes says that its shape does not fit
        return pair if self._same(torch.cat(rows, axes[0]), pair) else None
