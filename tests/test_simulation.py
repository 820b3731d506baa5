"""Claims about the simulated retina, its movies, the training of twins on it, and the files that are shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from openretina_cli.models.ensemble import load_ensemble
from openretina_cli.run.natural import scale_to_norm
from openretina_cli.simulation.build import SHIPPED, data_info, write_member
from openretina_cli.simulation.cell_types import GROUP_NAMES
from openretina_cli.simulation.ganglion import Cell
from openretina_cli.simulation.movies import HEIGHT, WIDTH, movies, stimulus_range
from openretina_cli.simulation.recording import (
    TEST_SEED,
    Recording,
    by_type,
    correlations,
    held_out_correlations,
    record,
)
from openretina_cli.simulation.retina import LAG, SESSIONS, SimulatedRetina
from openretina_cli.simulation.training import Schedule, new_twin, train_member
from openretina_cli.validation.control import window_to_cell
from openretina_cli.validation.verdict import gain

ON_TYPES, OFF_TYPES = (16, 18, 22, 27, 30, 47), (4, 7, 8)
ACHROMATIC = (4, 7, 8, 10, 16, 18, 22, 27, 30)
SESSION = "simulated_dorsal"
FRAMES = 50


@pytest.fixture(scope="module")
def retina() -> SimulatedRetina:
    return SimulatedRetina()


@pytest.fixture(scope="module")
def small(retina: SimulatedRetina) -> Recording:
    return record(retina, 4, seed=5, artificial=0.5)


def spot(green: float, uv: float, radius: float = 30.0) -> Tensor:
    """A spot in the middle of the field that is there from frame 40 on."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    inside = torch.from_numpy(np.hypot(rows - 8.5, columns - 7.5) < radius)
    stimulus = torch.zeros(1, 2, FRAMES, HEIGHT, WIDTH)
    stimulus[0, :, 40:] = torch.tensor([green, uv]).view(2, 1, 1, 1) * inside
    return stimulus


def one_of_each_type(retina: SimulatedRetina, session: str) -> list[tuple[int, Cell]]:
    """Index and description of the first cell of each type."""
    cells = retina.session(session).cells
    first = {cell.type.group: index for index, cell in reversed(list(enumerate(cells)))}
    return [(index, cells[index]) for index in first.values()]


def mean_by_type(retina: SimulatedRetina, stimulus: Tensor, session: str) -> dict[int, float]:
    """Mean rate of each type over the response to the last ten frames."""
    rates = retina(stimulus, session)[0, -10:].mean(0)
    return {group: float(rate.mean()) for group, rate in by_type(rates, retina.session(session).groups).items()}


def test_the_retina_follows_from_its_seed(retina: SimulatedRetina) -> None:
    stimulus = movies(1, seed=9, frames=FRAMES)
    assert torch.equal(retina(stimulus, SESSION), SimulatedRetina()(stimulus, SESSION))
    assert not torch.equal(retina(stimulus, SESSION), SimulatedRetina(seed=1)(stimulus, SESSION))


def test_movies_follow_from_their_seed_and_not_from_their_number() -> None:
    assert torch.equal(movies(2, seed=3, frames=20), movies(3, seed=3, frames=20)[:2])
    assert not torch.equal(movies(1, seed=3, frames=20), movies(1, seed=4, frames=20))


def test_sessions_have_enough_cells_of_twelve_types(retina: SimulatedRetina) -> None:
    for session, least in (("simulated_dorsal", 120), ("simulated_ventral", 80)):
        groups = retina.session(session).groups
        assert len(groups) >= least
        assert set(groups) == set(GROUP_NAMES)
    assert len(GROUP_NAMES) == 12


@pytest.mark.parametrize("session", SESSIONS)
def test_a_response_frame_depends_on_its_stimulus_frame_and_the_thirty_before(
    retina: SimulatedRetina, session: str
) -> None:
    stimulus = movies(1, seed=6, frames=FRAMES)
    changed = stimulus.clone()
    changed[:, :, 9] += 1.0
    before, after = retina(stimulus, session), retina(changed, session)
    assert LAG == 30
    assert before.shape == (1, FRAMES - LAG, len(retina.session(session).groups))
    moved = (before != after).any(dim=2)[0]
    assert moved[:10].any()
    assert not moved[10:].any()


@pytest.mark.parametrize("session", SESSIONS)
def test_a_finite_gradient_reaches_the_stimulus_through_every_type(retina: SimulatedRetina, session: str) -> None:
    # noise in the stimulus, as cells that are suppressed by contrast have a flat optimum at grey
    stimulus = 0.3 * torch.randn(1, 2, 31, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    stimulus.requires_grad_(True)
    rates = retina(stimulus, session)[0, 0]
    for index, _ in one_of_each_type(retina, session):
        (gradient,) = torch.autograd.grad(rates[index], stimulus, retain_graph=True)
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("session", SESSIONS)
def test_on_cells_prefer_light_and_off_cells_dark(retina: SimulatedRetina, session: str) -> None:
    light, dark = (mean_by_type(retina, spot(level, level), session) for level in (0.6, -0.6))
    for group in ON_TYPES:
        assert light[group] > 1.2 * dark[group], GROUP_NAMES[group]
    for group in OFF_TYPES:
        assert dark[group] > 1.2 * light[group], GROUP_NAMES[group]


@pytest.mark.parametrize("session", SESSIONS)
def test_type_28_wants_uv_up_and_green_down_at_once(retina: SimulatedRetina, session: str) -> None:
    rates = {colours: mean_by_type(retina, spot(*colours), session)[28] for colours in ((-0.6, 0.6), (0.6, -0.6))}
    both = mean_by_type(retina, spot(0.6, 0.6), session)[28]
    assert rates[-0.6, 0.6] > 1.2 * both > 1.2 * rates[0.6, -0.6]


@pytest.mark.parametrize("session", SESSIONS)
def test_gradients_have_opposite_colours_in_type_28_and_equal_ones_in_achromatic_types(
    retina: SimulatedRetina, session: str
) -> None:
    stimulus = torch.zeros(1, 2, FRAMES, HEIGHT, WIDTH, requires_grad=True)
    rates = retina(stimulus, session)[0, -10:].mean(0)
    for index, cell in one_of_each_type(retina, session):
        (gradient,) = torch.autograd.grad(rates[index], stimulus, retain_graph=True)
        green, uv = gradient[0, :, :, round(cell.row), round(cell.column)]
        correlation = float(torch.corrcoef(torch.stack([green, uv]))[0, 1])
        if cell.type.group == 28:
            assert correlation < -0.9
        # local-edge cells see both polarities, and at grey hardly a gradient
        if cell.type.group in ACHROMATIC and cell.type.group != 10:
            assert correlation > 0.9, cell


@pytest.mark.parametrize("session", SESSIONS)
def test_contrast_of_either_sign_suppresses_type_31(retina: SimulatedRetina, session: str) -> None:
    grey = mean_by_type(retina, spot(0.0, 0.0), session)[31]
    for level in (0.6, -0.6):
        assert mean_by_type(retina, spot(level, level, radius=4.0), session)[31] < 0.9 * grey
    noise = torch.randn(1, 2, FRAMES, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    assert mean_by_type(retina, 1.5 * noise, session)[31] < 0.8 * grey


@pytest.mark.parametrize("session", SESSIONS)
def test_direction_selective_cells_prefer_the_direction_of_their_axis(retina: SimulatedRetina, session: str) -> None:
    frames, speed = 100, 0.3
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    chosen = [(index, cell) for index, cell in enumerate(retina.session(session).cells) if cell.type.group == 16]
    for index, cell in chosen:
        along = (columns - cell.column) * np.cos(cell.axis) + (rows - cell.row) * np.sin(cell.axis)
        position = speed * (torch.arange(frames) - frames / 2)
        peaks = []
        for sign in (1, -1):
            bar = torch.exp(-0.5 * (sign * along - position[:, None, None]).square()).float()
            peaks.append(float(retina(bar.expand(1, 2, -1, -1, -1), session)[0, :, index].max()))
        # the inhibition lies along the axis, so motion that comes from there is the null direction
        assert peaks[0] > 1.1 * peaks[1], cell


@pytest.mark.parametrize("artificial", [0.0, 1.0])
def test_movies_stay_in_the_range_of_the_display(artificial: float) -> None:
    clips = movies(8, seed=2, frames=FRAMES, artificial=artificial)
    for channel, (low, high) in enumerate(stimulus_range()):
        assert clips[:, channel].min() >= low - 1e-6
        assert clips[:, channel].max() <= high + 1e-6


def test_the_range_is_the_published_one() -> None:
    # the published limits are given to three decimals
    np.testing.assert_allclose(stimulus_range(), [(-0.654, 6.269), (-0.913, 6.269)], atol=0.006)


def test_natural_movies_are_skewed_and_their_colours_go_together() -> None:
    clips = movies(40, seed=2, frames=30)
    for values in (clips[:, 0], clips[:, 1]):
        standard = (values - values.mean()) / values.std()
        assert standard.pow(3).mean() > 1.5
        # single clips differ a lot in mean luminance and contrast; 40 of them average to about the stated units
        assert abs(values.mean()) < 0.3
        assert 0.6 < values.std() < 1.3
    colours = np.corrcoef(clips[:, 0].flatten(), clips[:, 1].flatten())[0, 1]
    assert 0.5 < colours < 0.97


class Interrupted(Exception):  # noqa: N818
    """Stands for a training that is cut off."""


def test_an_interrupted_training_ends_where_an_unbroken_one_does(small: Recording, tmp_path: Path) -> None:
    schedule = Schedule(epochs=2, clips=4, batch=2, warm_up=2)
    seen: list[tuple[int, int]] = []

    def note(seed: int, epoch: int, epochs: int, loss: float, correlation: float) -> None:
        assert np.isfinite([loss, correlation]).all()
        seen.append((seed, epoch))

    def cut_off(seed: int, epoch: int, epochs: int, loss: float, correlation: float) -> None:
        raise Interrupted

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    expected = train_member(7, small, small, schedule, whole, note)
    with pytest.raises(Interrupted):
        train_member(7, small, small, schedule, broken, cut_off)
    resumed = train_member(7, small, small, schedule, broken, note)
    assert seen == [(7, 1), (7, 2), (7, 2)]
    for (name, weight), other in zip(expected.state_dict().items(), resumed.state_dict().values(), strict=True):
        # the same sums in the same order; threads may still split them otherwise
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6, msg=name)
    train_member(7, small, small, schedule, broken, note)
    assert len(seen) == 3, "a finished member was trained again"
    train_member(7, small, small, replace(schedule, epochs=1), broken, note)
    assert len(seen) == 4, "a training under another schedule was taken for this one"


def test_members_survive_the_way_through_the_published_layout(
    retina: SimulatedRetina, small: Recording, tmp_path: Path
) -> None:
    twins = [new_twin(seed, small).eval() for seed in (0, 1000)]
    for seed, twin in zip((0, 1000), twins, strict=True):
        for readout in twin.readouts.values():
            readout.project()
        write_member(tmp_path, seed, twin, data_info(retina, small, Schedule()))
    assert len(list(tmp_path.iterdir())) == 6
    ensemble = load_ensemble(tmp_path)
    for session, truth in small.responses.items():
        assert ensemble.facts.sessions[session] == truth.shape[-1]
        assert list(ensemble.facts.groups[session]) == retina.session(session).groups
        with torch.no_grad():
            mean = torch.stack([twin(small.stimuli, session) for twin in twins]).mean(0)
            torch.testing.assert_close(ensemble(small.stimuli, session), mean)
    assert ensemble.facts.group_names == GROUP_NAMES
    assert ensemble.facts.lag == LAG


def test_correlation_of_known_traces() -> None:
    truth = torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(0))
    predicted = torch.stack([5 + 2 * truth[..., 0], -truth[..., 1]], dim=-1)
    torch.testing.assert_close(correlations(predicted, truth), torch.tensor([1.0, -1.0]))


def test_a_gain_is_zero_for_grey_and_one_for_the_optimum() -> None:
    assert [gain(response, 1.0, 3.0) for response in (1.0, 2.0, 3.0, 0.5)] == [0.0, 0.5, 1.0, -0.25]


def test_windowed_clips_fade_away_from_the_cell_and_keep_the_norm_asked_for() -> None:
    clips = torch.ones(2, 2, 3, HEIGHT, WIDTH)
    windowed = window_to_cell(clips, row=8.0, column=7.0, sigma=2.0)
    assert windowed[0, 0, 0, 8, 7] == 1
    # exp(-1/2) at one standard deviation
    torch.testing.assert_close(windowed[0, 0, 0, 10, 7], torch.tensor(0.60653))
    norms = scale_to_norm(windowed, 5.0).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.full((2,), 5.0))


def test_the_shipped_ensemble_predicts_held_out_movies(retina: SimulatedRetina) -> None:
    files = list(SHIPPED.iterdir())
    assert len(files) == 15
    assert sum(file.stat().st_size for file in files) <= 1.5e6
    ensemble = load_ensemble(SHIPPED)
    recording = record(retina, 12, TEST_SEED)
    for member in ensemble.members:
        assert all(found.mean() > 0.94 for found in held_out_correlations(member, recording).values())
    for session, found in held_out_correlations(ensemble, recording).items():
        types = by_type(found, retina.session(session).groups)
        assert found.mean() > 0.95
        assert min(values.mean() for values in types.values()) > 0.9
        assert found.min() > 0.85
