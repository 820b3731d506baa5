"""How good a model of the simulated retina is, and how good the stimuli that were optimised on it are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from openretina_cli.simulation.movies import HEIGHT, WIDTH
from openretina_cli.simulation.recording import Recording, Respond, responses


def correlations(predicted: Tensor, truth: Tensor) -> Tensor:
    """Pearson correlation `(neuron,)` over all clips and frames of `(clip, time, neuron)`."""
    # float64: the sums run over some 10^4 frames
    x, y = (part.flatten(0, 1).double() for part in (predicted, truth))
    x, y = x - x.mean(0), y - y.mean(0)
    norms = (x.square().sum(0) * y.square().sum(0)).sqrt()
    return ((x * y).sum(0) / norms.clamp(min=1e-12)).float()


def held_out_correlations(respond: Respond, recording: Recording) -> dict[str, Tensor]:
    """Correlations `(neuron,)` of a model with the noiseless truth, by session."""
    return {
        session: correlations(responses(respond, recording.stimuli, session), truth)
        for session, truth in recording.responses.items()
    }


def by_type(values: Tensor, groups: Sequence[int]) -> dict[int, Tensor]:
    """Split per-neuron values `(neuron,)` by functional group, in the order of the groups."""
    table = torch.tensor(list(groups))
    return {group: values[table == group] for group in sorted(set(groups))}


def gain(response: Tensor, grey: Tensor, optimum: Tensor) -> Tensor:
    """Where true responses lie between the response to grey, 0, and that to the truth's own optimum, 1.

    A stimulus found on a model of the retina loses where the model is wrong. Unlike a ratio of responses, the gain
    gives nothing for what grey evokes already.

    Args:
        response: true responses to the stimuli, of any shape.
        grey: true responses to the mean stimulus, zero.
        optimum: true responses to stimuli optimised on the truth under the same rules.
    """
    return (response - grey) / (optimum - grey)


def window_to_cell(clips: Tensor, row: float, column: float, sigma: float) -> Tensor:
    """Fade clips `(..., height, width)` to grey with distance from a cell's centre, by a Gaussian.

    An optimised stimulus of fixed norm spends it in the receptive field. Natural clips of the same norm only make a
    fair control when they do so as well.

    Args:
        clips: z-scored, so that zero is grey.
        row: of the cell's centre, in pixels.
        column: of the cell's centre, in pixels.
        sigma: of the Gaussian, in pixels.
    """
    rows = torch.exp(-0.5 * ((torch.arange(HEIGHT) - row) / sigma).square())
    columns = torch.exp(-0.5 * ((torch.arange(WIDTH) - column) / sigma).square())
    return clips * rows[:, None] * columns


def scale_to_norm(clips: Tensor, norm: float) -> Tensor:
    """Scale each clip `(clip, channel, time, height, width)` to an L2 norm; an empty clip stays empty."""
    norms: Tensor = torch.linalg.vector_norm(clips.flatten(1), dim=1).clamp(min=1e-12)
    return clips * (norm / norms).view(-1, 1, 1, 1, 1)
