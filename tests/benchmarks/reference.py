"""What a user of the reference package writes to get one stimulus with its files, as the example notebook does it.

Usage: python reference.py CHECKPOINT START.pt FOLDER [--player]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from openretina.insilico.stimulus_optimization.objective import IncreaseObjective, SliceMeanReducer
from openretina.insilico.stimulus_optimization.optimization_stopper import OptimizationStopper
from openretina.insilico.stimulus_optimization.optimizer import optimize_stimulus
from openretina.insilico.stimulus_optimization.regularizer import ChangeNormJointlyClipRangeSeparately
from openretina.utils.nnfabrik_model_loading import load_ensemble_retina_model_from_directory
from openretina.utils.plotting import play_stimulus, plot_stimulus_composition, save_stimulus_to_mp4_video
from problem import (
    FRAME_RATE,
    ITERATIONS,
    LAG,
    LEARNING_RATE,
    NEURON,
    NORM,
    RANGES,
    SESSION,
    WINDOW_LENGTH,
    WINDOW_START,
)
from torch import Tensor


class Reference:
    """The reference ensemble, loaded once.

    Args:
        checkpoint: the folder of the ensemble.
        device: where it runs.
    """

    def __init__(self, checkpoint: str, device: str) -> None:
        _, self.model = load_ensemble_retina_model_from_directory(checkpoint, device)
        self.device = device
        self.constraint = ChangeNormJointlyClipRangeSeparately(min_max_values=list(RANGES), norm=NORM)

    def objective(self, neuron: int) -> IncreaseObjective:
        """Mean response of a neuron in the window."""
        reducer = SliceMeanReducer(axis=0, start=WINDOW_START, length=WINDOW_LENGTH)
        return IncreaseObjective(self.model, neuron_indices=neuron, data_key=SESSION, response_reducer=reducer)

    def optimize(self, start: Tensor, neuron: int) -> Tensor:
        """The most exciting input `(1, channel, time, height, width)`, from a start of that shape."""
        stimulus = start.to(self.device, copy=True).requires_grad_(True)
        optimize_stimulus(
            stimulus,
            partial(torch.optim.SGD, lr=LEARNING_RATE),
            self.objective(neuron),
            OptimizationStopper(max_iterations=ITERATIONS),
            stimulus_postprocessor=self.constraint,
            stimulus_regularization_loss=None,
        )
        return stimulus

    def write(self, stimulus: Tensor, neuron: int, folder: Path, player: bool) -> None:
        """The tensor, the notebook's figure at its default size, and the video.

        Args:
            stimulus: what was found.
            neuron: whose response is drawn.
            folder: where to.
            player: write the notebook's player (HTML) instead of the package's MP4.
        """
        folder.mkdir(parents=True)
        torch.save(stimulus, folder / "stimulus.pt")
        self._figure(stimulus, neuron, folder / "composition.png")
        if player:
            (folder / "stimulus.html").write_text(play_stimulus(stimulus[0].cpu()).data)
            plt.close("all")
        else:
            save_stimulus_to_mp4_video(stimulus[0].cpu(), str(folder / "stimulus.mp4"))

    def _figure(self, stimulus: Tensor, neuron: int, file: Path) -> None:
        figure, axes = plt.subplots(2, 2, figsize=(21, 12))
        plot_stimulus_composition(
            stimulus=stimulus[0].cpu().numpy(),
            temporal_trace_ax=axes[0, 0],
            freq_ax=axes[0, 1],
            spatial_ax=axes[1, 0],
            highlight_x_list=[(LAG + WINDOW_START, LAG + WINDOW_START + WINDOW_LENGTH - 1)],
        )
        response = self.model.forward(stimulus, data_key=SESSION)[0, :, neuron].detach().cpu().numpy()
        axes[1, 1].set_title("Neuron Response")
        axes[1, 1].plot(np.arange(LAG, LAG + len(response)) / FRAME_RATE, response)
        axes[1, 1].set_xlabel("Time [s]")
        figure.savefig(file)
        plt.close(figure)


if __name__ == "__main__":
    checkpoint, start, folder = sys.argv[1:4]
    reference = Reference(checkpoint, "cpu")
    found = reference.optimize(torch.load(start), NEURON)
    reference.write(found, NEURON, Path(folder), player="--player" in sys.argv)
