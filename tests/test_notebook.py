"""The field's example notebook, cell by cell: only its import lines differ, and the checkpoint comes from tests/data.

What the notebook means is done where it differs from what it says: the MDI is started from its own noise, and the last
figure shows the sparse stimulus.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from openretina_cli import (
    AbstractObjective,
    ChangeNormJointlyClipRangeSeparately,
    IncreaseObjective,
    OptimizationStopper,
    ResponseReducer,
    SliceMeanReducer,
    load_ensemble_model_from_directory,
    optimize_stimulus,
    play_stimulus,
    plot_stimulus_composition,
)

STIMULUS_RANGE_CONSTRAINTS = {
    "norm": 5.0,
    "x_min_green": -0.654,
    "x_max_green": 6.269,
    "x_min_uv": -0.913,
    "x_max_uv": 6.269,
}


def draw(stimulus: np.ndarray, trace: np.ndarray) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7 * 3, 12))
    axes = figure.subplots(2, 2)
    plot_stimulus_composition(
        stimulus=stimulus,
        temporal_trace_ax=axes[0, 0],
        freq_ax=axes[0, 1],
        spatial_ax=axes[1, 0],
        highlight_x_list=[(40, 49)],
    )
    axes[1, 1].set_title("Neuron Response")
    time_axis = np.arange(30, 30 + len(trace)) / 30.0
    axes[1, 1].plot(time_axis, trace)
    axes[1, 1].set_xlabel("Time [s]")
    figure.canvas.draw()
    assert axes[0, 0].lines
    assert axes[0, 1].lines


@pytest.mark.parametrize("device", [torch.device("cuda" if torch.cuda.is_available() else "cpu")])
def test_the_example_notebook_runs(ensemble_directory: Path, device: torch.device) -> None:
    matplotlib.use("Agg")
    _data_info, ensemble_model = load_ensemble_model_from_directory(ensemble_directory, device=device)
    assert _data_info.keys() == ensemble_model.facts.sessions.keys()

    stimulus_shape = (1, 2, 50, 18, 16)
    stimulus = torch.randn(stimulus_shape, requires_grad=True, device=device)
    stimulus.data = stimulus.data * 0.1
    stimulus_postprocessor = ChangeNormJointlyClipRangeSeparately(
        min_max_values=[
            (STIMULUS_RANGE_CONSTRAINTS["x_min_green"], STIMULUS_RANGE_CONSTRAINTS["x_max_green"]),
            (STIMULUS_RANGE_CONSTRAINTS["x_min_uv"], STIMULUS_RANGE_CONSTRAINTS["x_max_uv"]),
        ],
        norm=STIMULUS_RANGE_CONSTRAINTS["norm"],
    )
    stimulus.data = stimulus_postprocessor.process(stimulus.data)

    session_id = list(ensemble_model.members[0].readout.keys())[0]  # noqa: RUF015  # the notebook's own line
    neuron_id = 42
    response_reducer = SliceMeanReducer(axis=0, start=10, length=10)
    objective = IncreaseObjective(
        ensemble_model, neuron_indices=neuron_id, data_key=session_id, response_reducer=response_reducer
    )
    optimization_stopper = OptimizationStopper(max_iterations=10)
    optimizer_init_fn = partial(torch.optim.SGD, lr=10.0)

    before = objective.forward(stimulus).item()
    optimize_stimulus(
        stimulus,
        optimizer_init_fn,
        objective,
        optimization_stopper,
        stimulus_postprocessor=stimulus_postprocessor,
        stimulus_regularization_loss=None,
    )
    stimulus_np = stimulus[0].detach().cpu().numpy()
    mei_score = objective.forward(stimulus).item()
    assert mei_score > 2 * before

    html = play_stimulus(stimulus[0].detach().cpu())._repr_html_()
    assert "<video" in html
    assert "data:video/mp4;base64," in html

    neuron_trace = ensemble_model.forward(stimulus, data_key=session_id)[0, :, neuron_id].detach().cpu().numpy()
    draw(stimulus_np, neuron_trace)

    class SingleNeuronMostDepressingObjective(AbstractObjective):
        def __init__(self, model, neuron_idx: int, data_key: str | None, response_reducer: ResponseReducer):  # type: ignore[no-untyped-def]
            super().__init__(model, data_key)
            self._neuron_idx = neuron_idx

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            responses = self.model_forward(stimulus)
            # responses.shape = (time, neuron)
            single_response = responses[:, self._neuron_idx]

            single_score = response_reducer.forward(single_response)
            negative_score = -single_score
            return negative_score  # noqa: RET504  # the notebook's own lines

    mdi_objective = SingleNeuronMostDepressingObjective(
        ensemble_model,
        neuron_idx=neuron_id,
        data_key=session_id,
        response_reducer=SliceMeanReducer(axis=0, start=10, length=10),
    )

    mdi = torch.randn(stimulus_shape, requires_grad=True, device=device)
    mdi.data = mdi.data * 0.1
    mdi.data = stimulus_postprocessor.process(mdi.data)
    before = mdi_objective.forward(mdi).item()
    optimize_stimulus(
        mdi,
        optimizer_init_fn,
        mdi_objective,
        OptimizationStopper(max_iterations=10),
        stimulus_postprocessor=stimulus_postprocessor,
        stimulus_regularization_loss=None,
    )
    assert mdi_objective.forward(mdi).item() > before
    assert objective.forward(mdi).item() < mei_score
    play_stimulus(mdi[0].detach().cpu())
    neuron_trace = ensemble_model.forward(mdi, data_key=session_id)[0, :, neuron_id].detach().cpu().numpy()
    draw(mdi[0].detach().cpu().numpy(), neuron_trace)

    class SparseActivationOfFieldObjective(AbstractObjective):
        def __init__(self, model, data_key: str | None):  # type: ignore[no-untyped-def]
            super().__init__(model, data_key)

        def forward(self, stimulus: torch.Tensor) -> torch.Tensor:
            # responses.shape = (time, neuron)
            responses = self.model_forward(stimulus)
            # we do not use a response reducer here, but just take the mean of over the time dimension
            mean_response = responses.mean(axis=0)  # type: ignore[call-overload]
            max_response_neuron = responses.max()

            score = 2 * max_response_neuron - mean_response.sum()
            return score  # type: ignore[no-any-return]  # noqa: RET504  # the notebook's own lines

    sparse_objective = SparseActivationOfFieldObjective(ensemble_model, data_key=session_id)

    sparse_stim = torch.randn(stimulus_shape, requires_grad=True, device=device)
    sparse_stim.data = sparse_stim.data * 0.1
    sparse_stim.data = stimulus_postprocessor.process(sparse_stim.data)
    start = sparse_stim.detach().clone()
    optimize_stimulus(
        sparse_stim,
        optimizer_init_fn,
        sparse_objective,
        OptimizationStopper(max_iterations=50),
        stimulus_postprocessor=stimulus_postprocessor,
        stimulus_regularization_loss=None,
    )
    # At the notebook's learning rate of 10 the 50 steps overshoot (tests/data/ensemble.npz, case sparse: from -119 to
    # -136 with -98 on the way), so that the last stimulus is another one, but no better one.
    assert not torch.equal(sparse_stim, start)
    assert bool(torch.isfinite(sparse_objective.forward(sparse_stim)))
    play_stimulus(sparse_stim[0].detach().cpu())
    traces = ensemble_model.forward(sparse_stim, data_key=session_id)[0, :, :].detach().cpu().numpy()
    draw(sparse_stim[0].detach().cpu().numpy(), traces)
