"""Finds out whether a module is a function of each stimulus alone, and makes it one where that can be done."""

from __future__ import annotations

from collections.abc import Callable

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


def trial_stimuli(shape: tuple[int, ...], device: torch.device, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two stimuli `(1, channel, time, height, width)` that differ in mean and variance, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    first, other = torch.randn((2, 1, *shape), generator=generator)
    return first.to(device), (2 * other + 1).to(device)


class Examination:
    """Asks a module about one session.

    Args:
        retina: the module; what it needs to be a function is switched on in it.
        session: the session that is passed; None passes none.
        kept: the module's state before its first call.
        stimuli: two stimuli `(1, channel, time, height, width)`.
    """

    def __init__(
        self, retina: ModuleRetina, session: str | None, kept: ModuleState, stimuli: tuple[Tensor, Tensor]
    ) -> None:
        self._retina, self._session, self._kept = retina, session, kept
        self._first, self._other = stimuli

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

    def ask(self, stimulus: Tensor) -> Tensor:
        """Answer to stimuli that stay as they are, copied, since a module may use its result's memory again."""
        return self._retina.answer(stimulus.clone(), self._session).clone()

    def same(self, one: Tensor, two: Tensor) -> bool:
        """Whether two answers agree but for rounding; NaN agrees with NaN."""
        if one.shape != two.shape:
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
        try:
            first, other, again = self.ask(self._first), self.ask(self._other), self.ask(self._first)
            self._kept.restore()
            fresh = self.ask(self._other)
        except ModelError:
            raise
        except Exception:  # a state of an earlier call may not fit the next one
            return False
        return self.same(first, again) and self.same(other, fresh)

    def _refusal(self) -> ModelError:
        def draw() -> Tensor:
            with seeded(self._first.device):
                return self.ask(self._first)

        if self.same(draw(), draw()):
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
        try:
            pair = self.ask(torch.cat([self._first, self._other]))
        except ModelError:
            raise
        except Exception:  # whatever a user's module raises, or too little memory
            return None
        rows = [self.ask(self._first), self.ask(self._other)]
        if pair.dim() != rows[0].dim():
            return pair  # which says that the shapes do not fit
        axes = [axis for axis in range(pair.dim()) if 2 * rows[0].shape[axis] == pair.shape[axis]]
        if len(axes) != 1:
            return pair  # as above
        return pair if self.same(torch.cat(rows, axes[0]), pair) else None


def shape_asker(
    retina: ModuleRetina, session: str | None, device: torch.device
) -> Callable[[int], tuple[int, ...] | None]:
    """Asks a module for the shape of its answer to a stimulus of another length; None where it raises."""
    facts = retina.facts

    @torch.no_grad()
    def ask(frames: int) -> tuple[int, ...] | None:
        stimulus, _ = trial_stimuli((len(facts.channels), frames, facts.height, facts.width), device)
        try:
            return tuple(retina.answer(stimulus, session).shape)
        except Exception:  # whatever a user's module raises for a length that it does not take
            return None

    return ask
