"""Standard stimuli: known cells give known indices, the simulation's truth its types, and the command whole files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tiny_runs import TINY, optimize
from torch import Tensor

from openretina_cli.analysis.direction import DIRECTION, ORIENTATION, noise_of_quality, permutation_p, vector_sum
from openretina_cli.analysis.m_sequence import TAPS, kernel, m_sequence
from openretina_cli.config.compose import compose_settings
from openretina_cli.config.target import build
from openretina_cli.errors import SettingError
from openretina_cli.finding import probing
from openretina_cli.finding.probe_files import columns_of
from openretina_cli.finding.probe_settings import compose_probe
from openretina_cli.finding.probing import Listener, Squares, amplitudes, play, probe_neurons, stimulus_of
from openretina_cli.main import main
from openretina_cli.models.facts import ModelFacts
from openretina_cli.models.retina import Retina
from openretina_cli.probe.base import Answer, Optimum, Played, Probe, Scene
from openretina_cli.report.findings import read_findings
from openretina_cli.run.model import build_model
from openretina_cli.simulation.retina import SimulatedRetina

Values = NDArray[np.float64]
CPU = torch.device("cpu")
SESSION = "simulated_dorsal"


@pytest.fixture(scope="module")
def truth() -> SimulatedRetina:
    return SimulatedRetina()


class Linear(Retina):
    """Cells that weigh the last frames of a stimulus, rectified where asked for.

    Args:
        weights: `(neuron, channel, frame before the response, height, width)`, newest frame first.
        stride: stimulus frames from one response frame to the next.
        rectified: whether responses below zero are zero.
    """

    def __init__(self, weights: Values, stride: int = 1, rectified: bool = False) -> None:
        super().__init__()
        _, channels, memory, height, width = weights.shape
        self.weights = torch.from_numpy(weights[:, :, ::-1].astype(np.float32))
        self.stride, self.rectified = stride, rectified
        names = tuple("rgb"[:channels])
        pairs = ((-1.0, 2.0),) * channels
        self.facts = ModelFacts(
            "linear", {"s": len(weights)}, names, height, width, memory - 1, 20.0, 40.0, pairs, response_stride=stride
        )
        self.freeze()

    def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
        response = torch.nn.functional.conv3d(stimulus, self.weights)[..., 0, 0].transpose(1, 2)
        response = response[:, :: self.stride]
        return response.relu() if self.rectified else response


def random_weights(channels: int, neurons: int = 2, memory: int = 4, height: int = 5, width: int = 6) -> Values:
    return np.random.default_rng(channels).normal(size=(neurons, channels, memory, height, width))


def scene_of(retina: Retina, session: str = "s", **more: Any) -> Scene:
    return Scene(retina.facts, range(retina.facts.sessions[session]), amplitudes(retina.facts, None), **more)


def option(*words: str) -> dict[str, Probe]:
    return {name: build(option, Probe, {}) for name, option in compose_probe(words).probe.items()}


def measured(retina: Retina, *words: str, session: str = "s", **more: Any) -> dict[str, Answer]:
    scene = scene_of(retina, session, **more)
    listener = Listener(retina, session, scene.neurons, CPU)
    return probe_neurons(
        option(*words), scene, listener, lambda name: None, lambda name, answer: None, lambda *progress: None
    )


def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [order for order in TAPS if order < 18])
def test_an_m_sequence_is_orthogonal_to_all_its_shifts(order: int) -> None:
    sequence = m_sequence(order).astype(np.float64)
    products = np.fft.irfft(np.abs(np.fft.rfft(sequence)) ** 2, n=len(sequence))
    assert len(sequence) == 2**order - 1
    # sums of whole numbers, which the transform rounds
    np.testing.assert_allclose(products, [len(sequence), *[-1] * (len(sequence) - 1)], atol=1e-6)


@given(st.integers(3, 9), st.integers(0, 100))
def test_the_kernel_of_a_convolved_m_sequence_is_that_of_the_convolution(order: int, seed: int) -> None:
    sequence = m_sequence(order)
    wanted = np.random.default_rng(seed).normal(size=(len(sequence), 2))
    spectrum = np.fft.rfft(sequence.astype(np.float64))[:, None] * np.fft.rfft(wanted, axis=0)
    response = np.fft.irfft(spectrum, n=len(sequence), axis=0)
    np.testing.assert_allclose(kernel(response, sequence), wanted, atol=1e-9)


@given(st.floats(0, 359), st.integers(5, 24), st.floats(0.05, 1))
def test_a_cosine_has_half_its_depth_as_index_and_its_peak_as_angle(peak: float, count: int, depth: float) -> None:
    angles = 2 * np.pi * np.arange(count) / count
    for harmonic in (DIRECTION, ORIENTATION):
        strength = 1 + depth * np.cos(harmonic * (angles - np.radians(peak)))
        index, angle = vector_sum(strength[:, None], angles, harmonic)
        # sum (1 + d cos) exp = n d / 2, and sum (1 + d cos) = n
        assert index == pytest.approx(depth / 2)
        turn = 360 / harmonic
        assert (angle[0] - peak + turn / 2) % turn == pytest.approx(turn / 2, abs=1e-6)
        other, _ = vector_sum(strength[:, None], angles, 3 - harmonic)
        assert other == pytest.approx(0, abs=1e-9)


def test_noise_gives_trials_the_quality_index_that_was_asked_for() -> None:
    rng = np.random.default_rng(0)
    traces = rng.normal(size=(8, 5000, 2)) * [1, 30]
    trials = traces + noise_of_quality(traces, 0.6, 3) * rng.standard_normal((3, *traces.shape))
    flat = trials.reshape(3, -1, 2)
    quality = flat.mean(0).var(0) / flat.var(1).mean(0)
    # 40,000 samples: a relative error of the variances near 1 %
    np.testing.assert_allclose(quality, 0.6, atol=0.02)


def test_p_is_one_for_a_flat_tuning_curve_smallest_for_a_steep_one_and_nan_for_none() -> None:
    angles = 2 * np.pi * np.arange(8) / 8
    strength = np.stack([np.ones(8), 1 + 0.8 * np.cos(angles), np.zeros(8)], axis=1)
    p = permutation_p(strength, angles, DIRECTION, np.full(3, 0.1), 3, 200, np.random.default_rng(0))
    assert p[0] == 1
    assert p[1] == pytest.approx(1 / 201)
    assert np.isnan(p[2])


def test_p_of_noise_alone_is_uniform() -> None:
    rng, angles = np.random.default_rng(1), 2 * np.pi * np.arange(8) / 8
    # tuning curves of a cell without selectivity, each the mean of three trials with the noise of the test
    strength = 1 + 0.1 / math.sqrt(3) * rng.standard_normal((8, 400))
    p = permutation_p(strength, angles, DIRECTION, np.full(400, 0.1), 3, 200, rng)
    # the scatter of the mean of 400 uniform numbers is 0.014; trials vary as means do and once more, so p is larger
    assert 0.5 < p.mean() < 0.75
    assert (p <= 0.05).mean() < 0.05


# --- how trials are shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("name", ["chirp", "bars", "flashes", "gratings", "white_noise"])
def test_stacks_and_parts_answer_as_each_trial_shown_whole(
    name: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    retina = Linear(random_weights(2), stride)
    scene, probe = scene_of(retina), option(f"probe=[{name}]")[name]
    values = 2 * 5 * 6
    monkeypatch.setattr(probing, "MOST_VALUES", 40 * values)
    monkeypatch.setattr(probing, "LONGEST_VALUES", 33 * values)
    sizes: list[int] = []

    class Counting(Listener):
        def ask(self, stimulus: NDArray[np.float32]) -> NDArray[np.float32]:
            sizes.append(stimulus.size)
            return super().ask(stimulus)

    response = play(probe, name, scene, Counting(retina, "s", scene.neurons, CPU), lambda *progress: None).response
    frames = np.arange(-retina.facts.lag, probe.frames(scene))
    for trial in range(probe.trials(scene)):
        whole = stimulus_of(probe, scene, np.array([trial]), frames)
        # float32 sums of a hundred products, in another order
        np.testing.assert_allclose(response[trial], retina(torch.from_numpy(whole))[0].numpy(), atol=1e-4)
    assert max(sizes) <= 40 * values
    assert len(sizes) > 2


def test_a_fast_form_and_the_plain_form_answer_alike(truth: SimulatedRetina, monkeypatch: pytest.MonkeyPatch) -> None:
    retina = truth
    scene, probe = replace(scene_of(retina, SESSION), neurons=[3, 42]), option("probe=[flashes]")["flashes"]
    found = []
    for _ in range(2):
        listener = Listener(retina, SESSION, scene.neurons, CPU)
        found.append(play(probe, "flashes", scene, listener, lambda *progress: None).response)
        monkeypatch.setattr(SimulatedRetina, "fast_form", Retina.fast_form)
    np.testing.assert_allclose(*found, atol=1e-4)  # type: ignore[call-overload]


@pytest.mark.parametrize("direction", range(8))
def test_a_bar_moves_along_its_direction_right_at_zero_and_up_at_ninety_degrees(direction: int) -> None:
    retina = Linear(random_weights(1, height=21, width=21))
    scene, bars = scene_of(retina), option("probe=[bars]")["bars"]
    middle = round(bars.frames(scene) - 0.5 * 20) // 2
    shown = bars.contrast(scene, np.array([direction]), np.arange(middle - 2, middle + 3))[0, 0]
    rows, columns = np.mgrid[:21, :21]
    right, down = (float(np.diff([(axis * f).sum() / f.sum() for f in shown[[0, -1]]])[0]) for axis in (columns, rows))
    assert math.degrees(math.atan2(-down, right)) % 360 == pytest.approx(45 * direction, abs=2)


# --- what is found of known cells ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_white_noise_average_of_a_linear_cell_is_its_filter(channels: int, stride: int) -> None:
    weights = random_weights(channels)
    sta = measured(Linear(weights, stride), "probe=[white_noise]")["white_noise"].arrays["sta"]
    assert min(map(cosine, sta, weights)) > 0.99
    # equal in size, too; float32 responses
    np.testing.assert_allclose(sta, weights, atol=1e-4)


def test_the_average_of_a_rectified_cell_points_along_its_filter_and_an_even_one_has_none() -> None:
    weights = random_weights(1)
    sta = measured(Linear(weights, rectified=True), "probe=[white_noise]")["white_noise"].arrays["sta"]
    # a rectifier leaves half of the filter, and odd orders of noise
    assert min(map(cosine, sta, weights)) > 0.9

    class Even(Linear):
        def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
            return super().forward(stimulus).square()

    even = measured(Even(weights), "probe=[white_noise]")["white_noise"].arrays["sta"]
    assert np.abs(even).max() < 1e-3 * np.abs(weights).max()


def test_checks_of_several_pixels_average_over_them() -> None:
    weights = random_weights(1, height=5, width=6)
    answer = measured(Linear(weights), "probe=[white_noise]", "probe.white_noise.check_um=80")["white_noise"]
    # two pixels along each edge, and one in the last row
    wanted = np.add.reduceat(np.add.reduceat(weights, [0, 2, 4], axis=3), [0, 2, 4], axis=4)
    wanted = (wanted / np.array([[4], [4], [2]])).repeat(2, 3).repeat(2, 4)[..., :5, :]
    np.testing.assert_allclose(answer.arrays["sta"], wanted, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_mei_of_a_linear_cell_is_its_average_at_every_frame_of_the_window(stride: int) -> None:
    weights = random_weights(2)
    retina = Linear(weights, stride)
    stimulus = torch.zeros(1, 2, 14, 5, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(retina(stimulus)[0, 1:4, 1].mean(), stimulus)
    optimum = Optimum(gradient[0].numpy(), (1, 4), Path())
    answer = measured(retina, "probe=[white_noise]", optima={1: optimum})["white_noise"]
    assert np.isnan(answer.columns["mei_cosine"][0])
    assert answer.columns["mei_cosine"][1] == pytest.approx(1, abs=1e-4)


def full_field(*time_courses: Sequence[Sequence[float]]) -> Linear:
    """Rectified cells that see the mean of the field, with a time course for every channel, newest frame first."""
    courses = np.array(time_courses, np.float64)[..., None, None]
    return Linear(courses.repeat(3, 3).repeat(3, 4) / 9, rectified=True)


def test_on_and_off_cells_and_those_of_one_colour_are_told_apart() -> None:
    on, off, nothing = [1.0, 0.5], [-1.0, -0.5], [0.0, 0.0]
    weaker = [value / 2 for value in off]
    retina = full_field([on, on], [off, off], [on, nothing], [nothing, off], [on, weaker])
    found = columns_of(measured(retina, "probe=[chirp,flashes]"))
    wanted = {
        "chirp_on_off": [1, -1, 1, -1, 1],
        "flashes_on_off": [1, -1, 1, -1, 1],
        "flashes_on_off_r": [1, -1, 1, math.nan, 1],
        "flashes_on_off_g": [1, -1, math.nan, -1, -1],
        "flashes_colour": [0, 0, 1, -1, 1 / 3],
    }
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=name)  # type: ignore[call-overload]


def test_the_chirp_is_the_one_of_the_script() -> None:
    chirp = option("probe=[chirp]")["chirp"]
    times = np.array([-1, 1, 3, 6, 9, 10 + math.sqrt(0.5), 17.9999, 19, 20 + 3.875, 27.875, 29, 31])
    swing = [1, math.sin(math.pi * 63.9984), 0, -3.875 / 8, -7.875 / 8]
    np.testing.assert_allclose(chirp.light(times), [-1, -1, 1, -1, 0, *swing, 0, -1], atol=1e-3)  # type: ignore[attr-defined]


def gabor(period: float, degrees: float, sigma: float = 100.0) -> Values:
    """Weights `(1, 1, 2, 21, 21)` of 40 um pixels, whose stripes lie at an angle."""
    rows, columns = np.mgrid[:21, :21]
    x, y = (columns - 10) * 40.0, (10 - rows) * 40.0
    across = y * math.cos(math.radians(degrees)) - x * math.sin(math.radians(degrees))
    weights = np.cos(2 * np.pi * across / period) * np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return np.stack([weights, 0 * weights])[None, None]


@pytest.mark.parametrize(("period", "degrees"), [(200, 0), (400, 45), (400, 120), (800, 90)])
def test_gratings_find_the_period_and_the_orientation_of_a_gabor(period: float, degrees: float) -> None:
    retina = Linear(gabor(period, degrees, sigma=0.4 * period), rectified=True)
    found = columns_of(measured(retina, "probe=[gratings]"))
    assert found["gratings_best_um"] == period
    # eight directions resolve an angle between them by the shape of the curve
    assert (found["gratings_orientation_deg"][0] - degrees + 90) % 180 == pytest.approx(90, abs=5)
    assert found["gratings_osi_p"] < 0.01
    assert found["gratings_dsi_p"] > 0.5
    assert found["gratings_f1_f0"] == pytest.approx(math.pi / 2, abs=0.1), "of a half-rectified sine"


def disc_cell(diameter: float, surround: float, place: tuple[int, int]) -> Values:
    """Weights `(1, 1, 2, 25, 25)`: a disc, and what lies outside it against it."""
    rows, columns = np.mgrid[:25, :25]
    inside = np.hypot(columns - place[1], rows - place[0]) * 40 <= diameter / 2
    weights = inside / inside.sum() - surround * ~inside / (~inside).sum()
    return np.stack([weights, weights])[None, None]


@pytest.mark.parametrize("place", [(12, 12), (9, 15)])
def test_spots_find_the_place_the_centre_and_the_surround_of_a_cell(place: tuple[int, int]) -> None:
    words = ("probe=[spots]", "probe.spots.diameters_um=[80,160,240,320,400,3000]")
    found = columns_of(measured(Linear(disc_cell(240, 0.5, place)), *words))
    # squares of 80 um find the middle of a disc to half a square
    assert found["centre_x_um"] == pytest.approx((place[1] - 12) * 40, abs=40)
    assert found["centre_y_um"] == pytest.approx((12 - place[0]) * 40, abs=40)
    assert found["spots_best_um"] in (240, 320)
    # the largest spot covers the field: 1 - 0.5, of a best spot that holds nearly all of the centre
    assert found["spots_suppression"] == pytest.approx(0.5, abs=0.05)
    assert found["spots_bright"] == 1
    # what is left of a disc outside a spot of the same size, or next to nothing
    assert found["spots_annulus_share"] < 0.1


def test_each_cell_is_shown_spots_around_its_own_place() -> None:
    cells = [disc_cell(240, 0.5, (12, 12)), disc_cell(320, 0.2, (7, 17))]
    both = columns_of(measured(Linear(np.concatenate(cells)), "probe=[spots]"))
    alone = [columns_of(measured(Linear(cell), "probe=[spots]")) for cell in cells]
    for name, values in both.items():
        np.testing.assert_allclose(values, [float(one[name][0]) for one in alone], rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_cell_that_light_of_either_kind_suppresses_has_no_spot_and_no_polarity() -> None:
    class Suppressed(Linear):
        def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
            return 5 - super().forward(stimulus).abs()

    found = columns_of(measured(Suppressed(disc_cell(240, 0.0, (12, 12))), "probe=[chirp,flashes,spots,bars]"))
    for name in ("chirp_on_off", "flashes_on_off", "spots_best_um", "spots_suppression"):
        assert np.isnan(found[name]), name
    assert found["bars_dsi_p"] > 0.5


def test_a_cell_that_sees_nothing_has_no_number_at_all() -> None:
    found = columns_of(measured(Linear(0 * random_weights(2)), "probe=[chirp,bars,flashes,gratings,spots,white_noise]"))
    for name, values in found.items():
        assert np.isnan(values).all() or name.startswith("centre"), name


# --- the simulation's truth ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(truth: SimulatedRetina) -> Mapping[str, Mapping[str, Values]]:
    """What moving bars find of every cell of a session of the truth, and of its twin."""
    twin = build_model(compose_settings(["device=cpu"]).model, 50, CPU)
    models: dict[str, Retina] = {"truth": truth, "twin": twin}
    return {name: columns_of(measured(model, "probe=[bars]", session=SESSION)) for name, model in models.items()}


def off_axis(found: Values, wanted: Values, turn: float) -> Values:
    """Angles between two, from 0 to half a turn."""
    return np.abs((found - wanted + turn / 2) % turn - turn / 2)


@pytest.mark.parametrize("model", ["truth", "twin"])
def test_selective_types_are_found_with_their_axis_and_others_are_not(
    model: str, truth: SimulatedRetina, simulated: Mapping[str, Mapping[str, Values]]
) -> None:
    cells = truth.session(SESSION).cells
    # the simulation counts angles downwards, as rows are counted
    axes = np.array([-math.degrees(cell.axis) for cell in cells])
    groups = np.array([cell.type.group for cell in cells])
    found = simulated[model]
    directed, oriented = groups == 16, groups == 30
    assert found["bars_dsi_p"][directed].max() < 0.05
    assert found["bars_osi_p"][oriented].max() < 0.05
    # truth: within a degree; twins are known to turn a direction by 8 degrees
    limit = 1 if model == "truth" else 20
    assert off_axis(found["bars_direction_deg"], axes, 360)[directed].max() < limit
    assert off_axis(found["bars_orientation_deg"], axes, 180)[oriented].max() < limit
    others = ~(directed | oriented)
    for name in ("bars_dsi_p", "bars_osi_p"):
        assert (found[name][others] > 0.05).mean() >= 0.9
    assert (found["bars_dsi_p"][oriented] > 0.05).mean() >= 0.9


def test_twin_and_truth_agree(simulated: Mapping[str, Mapping[str, Values]]) -> None:
    one, other = simulated["truth"], simulated["twin"]
    for name in ("bars_dsi", "bars_osi"):
        assert np.corrcoef(one[name], other[name])[0, 1] > 0.9
        same = (one[f"{name}_p"] < 0.05) == (other[f"{name}_p"] < 0.05)
        assert same.mean() >= 0.95


def test_receptive_fields_of_the_truth_are_found_within_a_pixel_or_so(truth: SimulatedRetina) -> None:
    scene = scene_of(truth, SESSION)
    played = play(Squares(), "", scene, Listener(truth, SESSION, scene.neurons, CPU), lambda *progress: None)
    found = Squares().measure(scene, played).columns
    cells = truth.session(SESSION).cells
    x, y = (np.array([(c.column - 7.5) * 50 for c in cells]), np.array([(8.5 - c.row) * 50 for c in cells]))
    # squares of two pixels; inhibition of direction-selective cells lies beside their excitation
    assert np.hypot(found["x_um"] - x, found["y_um"] - y).max() < 75


# --- the command -----------------------------------------------------------------------------------------------------

MODEL = (*(word for word in TINY if word.startswith(("model", "device"))), "amplitude=1")
KNOWN = (*MODEL, "model.frame_rate=20", "model.pixel_size=50")


def probe(out: Path, *words: str) -> int:
    return main(["probe", *KNOWN, *words, f"out={out}"])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All probes of two of three cells, which see the mean of a frame with weights of 1 and -1."""
    out = tmp_path_factory.mktemp("probe") / "done"
    assert probe(out, "neuron=[0,1]") == 0
    return out


def test_the_command_writes_table_arrays_record_and_a_figure_for_each_neuron(done: Path) -> None:
    assert names_in(done) == {"probe.csv", "probe.npz", "probe.json", "neuron_0.png", "neuron_1.png"}
    on, off = rows_of(done / "probe.csv")
    assert (on["neuron"], off["neuron"]) == ("0", "1")
    assert float(on["chirp_on_off"]) == pytest.approx(1)
    assert float(off["flashes_on_off"]) == pytest.approx(-1)
    assert float(on["bars_dsi_p"]) > 0.05
    assert on["white_noise_mei_cosine"] == ""
    record = json.loads((done / "probe.json").read_text(encoding="utf-8"))
    assert set(record["columns"]) == set(on) - {"session", "neuron", "type"}
    assert set(record["files"]) == names_in(done)
    assert record["amplitude"] == [1]
    with np.load(done / "probe.npz", allow_pickle=False) as arrays:
        assert set(record["columns"]) < set(arrays.files)
        assert arrays["white_noise_sta"].shape == (2, 1, 1, 8, 6)
        assert arrays["chirp_trace"].shape == (2, 1, len(arrays["chirp_time_s"]))
        for name in record["columns"]:
            numbers = [float(row[name] or "nan") for row in (on, off)]
            np.testing.assert_allclose(numbers, arrays[name], rtol=1e-6)
    with Image.open(done / "neuron_0.png") as picture:
        assert picture.width == 2000


def test_a_finished_command_makes_nothing_anew_unless_it_is_told_to(
    done: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (done / "probe.json").stat().st_mtime_ns
    monkeypatch.setattr(Listener, "ask", None)
    assert probe(done, "neuron=[0,1]") == 0
    assert "overwrite=true" in capsys.readouterr().out
    assert (done / "probe.json").stat().st_mtime_ns == before


def test_results_of_other_settings_stay_unless_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(tmp_path / "out", "probe=[flashes]", "neuron=0") == 0
    assert probe(tmp_path / "out", "probe=[flashes]", "neuron=2") == 2
    assert "results of other settings" in capsys.readouterr().err
    assert probe(tmp_path / "out", "probe=[flashes]", "neuron=2", "overwrite=true") == 0
    assert names_in(tmp_path / "out") == {"probe.csv", "probe.npz", "probe.json", "neuron_2.png"}
    assert [row["neuron"] for row in rows_of(tmp_path / "out" / "probe.csv")] == ["2"]


def test_a_figure_drawn_by_a_later_command_goes_with_its_results(tmp_path: Path) -> None:
    out, words = tmp_path / "out", ("probe=[flashes]", "neuron=0")
    assert probe(out, *words, "figures=false") == 0
    assert probe(out, *words) == 0
    before = (out / "neuron_0.png").read_bytes()
    assert probe(out, *words, "probe.flashes.flash_s=0.3", "overwrite=true") == 0
    assert (out / "neuron_0.png").read_bytes() != before
    assert probe(out, *words, "overwrite=true", "figures=false") == 0
    assert "neuron_0.png" not in names_in(out)


def test_an_interrupted_command_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("probe=[chirp,flashes]", "neuron=all", "figures=false")
    played: list[str] = []

    def interrupted(probe: Probe, name: str, *rest: Any) -> Played:
        played.append(name)
        if played == ["chirp", "flashes"]:
            raise KeyboardInterrupt
        return play(probe, name, *rest)

    monkeypatch.setattr(probing, "play", interrupted)
    assert probe(tmp_path / "out", *words) == 130
    assert names_in(tmp_path / "out") == {"unfinished"}
    assert names_in(tmp_path / "out" / "unfinished") == {"chirp.npz"}
    assert probe(tmp_path / "out", *words, "seed=1") == 0, "what was kept of other settings is not used"
    assert played == ["chirp", "flashes", "chirp", "flashes"]
    (tmp_path / "out" / "probe.json").unlink()
    (tmp_path / "out" / "unfinished").mkdir()
    assert probe(tmp_path / "out", *words) == 0


def test_what_was_kept_is_used_and_a_broken_file_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("probe=[flashes]", "neuron=all")
    drawn: list[int] = []
    draw = probing_figure().draw_probes

    def interrupted(probes: Any, scene: Scene, answers: Any, row: int, title: str) -> Any:
        drawn.append(row)
        if drawn == [0, 1]:
            raise KeyboardInterrupt
        return draw(probes, scene, answers, row, title)

    monkeypatch.setattr("openretina_cli.finding.probe_job.draw_probes", interrupted)
    out = tmp_path / "out"
    assert probe(out, *words) == 130
    assert names_in(out) == {"probe.csv", "probe.npz", "probe.json", "neuron_0.png", "unfinished"}
    with monkeypatch.context() as patch:
        patch.setattr(probing, "play", None)
        assert probe(out, *words) == 0
    assert drawn == [0, 1, 1, 2]
    (out / "neuron_1.png").unlink()
    (out / "unfinished").mkdir()
    (out / "unfinished" / "flashes.npz").write_bytes(b"nonsense")
    assert probe(out, *words) == 0
    assert drawn[4:] == [1]


def probing_figure() -> Any:
    from openretina_cli.finding import probe_figure

    return probe_figure


def test_the_average_is_compared_with_the_mei_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = ("model.frame_rate=20", "model.pixel_size=50")
    assert optimize(tmp_path / "runs" / "a", "neuron=0", "keep=best", *same) == 0
    words = ("probe=[white_noise]", "neuron=[0,1]", "figures=false", f"runs={tmp_path / 'runs'}")
    assert probe(tmp_path / "out", *words) == 0
    one, other = rows_of(tmp_path / "out" / "probe.csv")
    assert 0 < float(one["white_noise_mei_cosine"]) <= 1
    assert other["white_noise_mei_cosine"] == ""
    assert names_in(tmp_path / "out") == {"probe.csv", "probe.npz", "probe.json"}
    assert probe(tmp_path / "other", *words, "model.pixel_size=60") == 2
    assert "another model.pixel_size" in capsys.readouterr().err
    assert probe(tmp_path / "other", *words[:1], "neuron=2", words[3]) == 2
    assert "holds no MEI of these neurons" in capsys.readouterr().err


def test_the_folder_of_an_mei_gets_the_figure_of_its_cell_and_the_page_shows_it(tmp_path: Path) -> None:
    runs, same = tmp_path / "runs", ("model.frame_rate=20", "model.pixel_size=50")
    assert optimize(runs / "a", "neuron=0", *same) == main(["report", str(runs)]) == 0
    assert probe(tmp_path / "out", "probe=[chirp]", "neuron=[0,1]", f"runs={runs}") == 0
    (row, _) = rows_of(tmp_path / "out" / "probe.csv")
    (found,) = read_findings(runs / "a")
    assert found["picture"] == "probe.png"
    assert (runs / "a" / "probe.png").read_bytes() == (tmp_path / "out" / "neuron_0.png").read_bytes()
    assert found["table"] == [["number", "value"], ["ON-OFF", f"{float(row['chirp_on_off']):.3g}"]]
    assert "probe.png" in (runs / "index.html").read_text(encoding="utf-8")


def test_runs_that_cannot_be_written_cost_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    assert optimize(runs, "neuron=0", "model.frame_rate=20", "model.pixel_size=50") == 0
    (runs / "probe.png").mkdir()
    capsys.readouterr()
    assert probe(tmp_path / "out", "probe=[chirp]", "neuron=[0,1]", f"runs={runs}") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert {"neuron_0.png", "neuron_1.png", "probe.csv"} <= names_in(tmp_path / "out")


MISTAKES = {
    "misspelt setting": (["neurn=3"], "probe has no setting neurn; expected neuron (did you mean that?)"),
    "unknown probe": (["probe=[brs]"], "bars"),
    "no probe": (["probe=[]"], "expected a list of probes. Try: probe=[chirp,bars]"),
    "setting of a probe that is not chosen": (["probe=[chirp]", "+probe.bars.directions=4"], "probe.bars has settings"),
    "misspelt setting of a probe": (
        ["+probe.bars.sped=3"],
        "probe.bars.sped is no setting; expected one of directions, width_um",
    ),
    "text": (["probe.bars.speed_um_s=fast"], "probe.bars.speed_um_s=fast; expected a number"),
    "negative speed": (["probe.bars.speed_um_s=-3"], "probe.bars.speed_um_s=-3.0; expected a positive number"),
    "few directions": (["probe.bars.directions=4"], "probe.bars.directions=4; expected 5 to 360"),
    "quality below noise": (["probe.bars.quality=0.2"], "probe.bars.quality=0.2; expected a quality index above"),
    "neuron": (["neuron=7"], "neuron=7 is not in session default, which has 3 neurons; expected 0 to 2"),
    "words for a neuron": (["neuron=many"], "neuron=many; expected a number from 0"),
    "group": (["group=3"], "has no cell types"),
    "session": (["session=night"], "session=night is not in"),
    "sweep": (["-m", "neuron=0,1"], "probe makes no sweep of runs"),
    "several values": (["neuron=0,1"], "neuron=0,1 means several runs"),
    "amplitude": (["amplitude=[1,2]"], "amplitude has 2 values; expected 1, one per channel"),
    "negative amplitude": (["amplitude=-1"], "amplitude=-1.0; expected a positive number"),
    "fast for the frames": (["probe.chirp.highest_hz=30"], "probe.chirp.highest_hz=30.0; expected at most 10 Hz"),
    "fine for the pixels": (["probe.gratings.periods_um=[60]"], "expected periods of 100 um or more"),
    "small for the pixels": (["probe.spots.diameters_um=[20,40]"], "expected diameters of 50 um or more"),
    "short noise": (["probe.white_noise.longest_s=1", "probe.white_noise.check_um=50"], "expected 7 seconds or more"),
    "no folder of runs": (["runs=nowhere"], "nowhere"),
    "device": (["device=gpu"], "device=gpu; expected auto, cpu, cuda"),
    "no rate": (
        ["model.frame_rate=null"],
        "states no frame rate; expected one for stimuli in seconds.",
    ),
    "no pixel size": (
        ["model.pixel_size=null"],
        "states no pixel size; expected one for stimuli in um.",
    ),
    "no range": (
        ["amplitude=null"],
        "states no range of stimuli around 0; expected what contrast 1 is.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, expected = MISTAKES[name]
    given = {word.partition("=")[0] for word in words}
    plain = [word for word in ("neuron=0", *KNOWN) if word.partition("=")[0] not in given]
    assert main(["probe", *plain, *words, "out=out"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert expected in error
    assert not [*tmp_path.iterdir()]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert probe(tmp_path) == 2
    assert "holds notes.txt" in capsys.readouterr().err
    assert probe(tmp_path / "notes.txt") == 2
    assert names_in(tmp_path) == {"notes.txt"}


def test_values_outside_the_models_range_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("probe=[flashes]", "figures=false", "neuron=0", "model.stimulus_range=[[-1,2]]", "amplitude=3")
    assert probe(tmp_path / "out", *words) == 0
    # bright and dark flashes of 20 of 40 frames
    assert "50.0% of the values of flashes are outside the model's range" in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))
    assert record["outside_range_share"] == {"flashes": 0.5}


def test_the_amplitude_reaches_the_nearer_end_of_the_range() -> None:
    facts = ModelFacts("m", {"s": 1}, ("a", "b"), 4, 4, 0, 30.0, stimulus_range=((-0.5, 6.0), (-2.0, 1.5)))
    np.testing.assert_array_equal(amplitudes(facts, None), [0.5, 1.5])
    np.testing.assert_array_equal(amplitudes(replace(facts, stimulus_range=((-0.5, 6.0),)), None), [0.5, 0.5])
    with pytest.raises(SettingError, match="no range"):
        amplitudes(replace(facts, stimulus_range=((0.5, 6.0), (None, None))), None)


def test_a_cell_that_answers_with_nan_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Linear):
        def forward(self, stimulus: Tensor, data_key: str | None = None) -> Tensor:
            return super().forward(stimulus).log()

    from openretina_cli.errors import RunError

    with pytest.raises(RunError, match="neuron 0, 1 of session s answers with NaN"):
        measured(Broken(random_weights(1)), "probe=[flashes]")
