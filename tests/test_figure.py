"""The figure says what the arrays say: times, lengths, shares, and which trace is whose."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from openretina_cli.analysis.decomposition import decompose
from openretina_cli.errors import UserError
from openretina_cli.output.colors import channel_looks
from openretina_cli.output.composition.axis_tools import WINDOW_COLOR, scale_bar_length
from openretina_cli.output.composition.composer import DPI, Composer, draw_composition
from openretina_cli.output.composition.stimulus_panels import plot_stimulus_composition
from openretina_cli.output.view import Cluster, RunView

NAMES = {1: ("grey",), 2: ("green", "uv"), 3: ("red", "green", "blue"), 5: ("uv", "green", "a", "b", "c")}


def spots(channels: int, frames: int, height: int, width: int) -> np.ndarray:
    """An off-centre spot whose brightness swings at another pace in every channel, with a little noise."""
    rows, columns = np.mgrid[:height, :width]
    picture = np.exp(-(((rows - 0.6 * height) / height) ** 2 + ((columns - 0.3 * width) / width) ** 2) * 20)
    pace = np.sin(np.arange(frames) / (3 + np.arange(channels)[:, None]) + 1)
    noise = np.random.default_rng(3).normal(size=(channels, frames, height, width))
    return (pace[:, :, None, None] * picture + 0.05 * noise).astype(np.float32)


def run(
    channels: int = 2,
    frames: int = 50,
    size: tuple[int, int] = (18, 16),
    *,
    traces: int = 1,
    lag: int = 30,
    window: tuple[int, int] | None = (10, 20),
    frame_rate: float | None = 30.0,
    pixel_size: float | None = 50.0,
) -> RunView:
    response = np.random.default_rng(4).random((frames - lag, traces)).astype(np.float32)
    names = tuple(f"neuron {index}" for index in range(traces))
    title = "increase(neuron=42) of 3_ventral1_20201021"
    stimulus = spots(channels, frames, *size)
    return RunView(stimulus, NAMES[channels], response, names, lag, window, frame_rate, pixel_size, title)


@pytest.fixture(scope="module")
def figure() -> Figure:
    """The figure of the usual run: two channels, 50 frames, a lag of 30; tests only look at it."""
    return draw_composition(run())


def panel(figure: Figure, start: str) -> Axes:
    """The axes whose title begins with `start`."""
    return next(ax for ax in figure.axes if ax.get_title(loc="left").startswith(start))


def shaded(ax: Axes) -> list[tuple[float, float]]:
    """Start and end of the window's shading on the time axis."""
    color = matplotlib.colors.to_rgba(WINDOW_COLOR)
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_facecolor() == color]
    return [(box.get_x(), box.get_x() + box.get_width()) for box in boxes]


def legend(ax: Axes) -> list[str]:
    found = ax.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def scale_bar(figure: Figure | Axes) -> list[float]:
    """Lengths of all scale bars, in stimulus pixels."""
    bars = figure.findobj(lambda artist: artist.get_gid() == "scale-bar")
    return [float(np.ptp(bar.get_xdata())) for bar in bars]


# --- time ------------------------------------------------------------------------------------------------------------


def test_all_time_axes_run_from_the_first_frame_to_the_end_of_the_last(figure: Figure) -> None:
    times = [ax for ax in figure.axes if ax.get_shared_x_axes().joined(ax, panel(figure, "Temporal"))]
    assert len(times) == 4  # time courses, two slices, responses
    for ax in times:
        assert ax.get_xlim() == pytest.approx((0.0, 50 / 30))
    assert len({round(ax.get_position().x0, 6) for ax in times}) == 1  # one below the other, to the pixel
    assert len({round(ax.get_position().x1, 6) for ax in times}) == 1


def test_the_window_is_shaded_at_stimulus_time_in_traces_and_response(figure: Figure) -> None:
    for title in ("Temporal", "Response"):
        assert shaded(panel(figure, title)) == [pytest.approx((40 / 30, 50 / 30))]
    marks = [line.get_xdata()[0] for line in panel(figure, "Space-time").lines]
    assert marks == pytest.approx([40 / 30, 50 / 30])
    assert "stimulus frames 40 to 49" in figure.get_supxlabel()


def test_response_frame_r_is_drawn_at_stimulus_frame_r_plus_lag() -> None:
    view = run(traces=2)
    lines = panel(draw_composition(view), "Response").lines
    for line, trace in zip(lines, view.response.T, strict=True):
        np.testing.assert_allclose(line.get_xdata(), np.arange(30, 51) / 30)  # type: ignore[arg-type]  # the last value is held to its end
        np.testing.assert_array_equal(line.get_ydata()[:-1], trace)


@pytest.mark.parametrize(("lag", "where"), [(30, "lag: 30 frames"), (2, "Response (hatched: lag 2 frames)")])
def test_the_frames_without_a_response_are_hatched_and_named(lag: int, where: str) -> None:
    ax = panel(draw_composition(run(lag=lag)), "Response")
    hatched = [patch for patch in ax.patches if patch.get_hatch()]
    assert [(box.get_x(), box.get_width()) for box in hatched] == [pytest.approx((0.0, lag / 30))]
    assert where in [ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)]


def test_without_a_frame_rate_axes_are_in_frames() -> None:
    figure = draw_composition(run(frame_rate=None))
    assert panel(figure, "Response").get_xlabel() == "stimulus frame"
    assert panel(figure, "Temporal").get_xlim() == (0.0, 50.0)
    assert shaded(panel(figure, "Temporal")) == [(40.0, 50.0)]
    assert panel(figure, "Amplitude").get_xlim() == (0.0, 0.5)
    assert panel(figure, "Amplitude").get_xlabel() == "frequency (cycles/frame)"


# --- content ---------------------------------------------------------------------------------------------------------


def test_traces_are_the_temporal_components_in_the_channels_colours() -> None:
    view = run(3)
    ax = panel(draw_composition(view), "Temporal")
    assert legend(ax) == ["red", "green", "blue"]
    for line, channel, look in zip(ax.lines, view.stimulus, channel_looks(view.channels), strict=False):
        np.testing.assert_array_equal(line.get_ydata()[:-1], decompose(channel).temporal)
        assert line.get_color() == look.line
    low, high = ax.get_ylim()
    assert low == -high  # zero is in the middle


def test_spatial_components_share_one_colour_scale() -> None:
    view = run(5)
    figure = draw_composition(view)
    pictures = [image for ax in figure.axes for image in ax.images if image.get_array().shape == (18, 16)]
    assert [image.get_clim() for image in pictures] == [(-1.0, 1.0)] * 5
    for image, channel in zip(pictures, view.stimulus, strict=True):
        np.testing.assert_array_equal(image.get_array(), decompose(channel).spatial)


def test_slices_go_through_the_row_of_each_channels_peak_on_one_colour_scale(figure: Figure) -> None:
    view = run()
    slices = [image for ax in figure.axes for image in ax.images if image.get_array().shape == (16, 50)]
    limit = float(np.abs(view.stimulus).max())
    for image, channel in zip(slices, view.stimulus, strict=True):
        row, _ = decompose(channel).peak
        np.testing.assert_array_equal(image.get_array(), channel[:, row].T)
        assert image.get_clim() == (-limit, limit)
        assert image.get_extent() == pytest.approx([0.0, 50 / 30, 800.0, 0.0])  # 16 pixels of 50 um


@pytest.mark.parametrize(
    ("pixel_size", "size", "bar"), [(50.0, (18, 16), 200.0), (12.5, (72, 64), 200.0), (8.0, (17, 15), 20.0)]
)
def test_the_scale_bar_is_as_long_as_it_says(pixel_size: float, size: tuple[int, int], bar: float) -> None:
    figure = draw_composition(run(size=size, pixel_size=pixel_size))
    assert scale_bar(figure) == [pytest.approx(bar / pixel_size)]
    assert f"{bar:g} µm" in [text.get_text() for text in panel(figure, "Spatial").texts]


def test_without_a_pixel_size_there_is_no_scale_bar_and_no_length() -> None:
    figure = draw_composition(run(pixel_size=None))
    assert scale_bar(figure) == []
    assert figure.findobj(lambda artist: "µm" in getattr(artist, "get_text", str)()) == []


@pytest.mark.parametrize(("width", "length"), [(800.0, 200.0), (3.0, 1.0), (600.0, 200.0), (1.0, 0.2), (149.0, 20.0)])
def test_scale_bars_are_round_and_at_most_a_third_of_the_picture(width: float, length: float) -> None:
    assert scale_bar_length(width) == pytest.approx(length)


def test_the_spectrum_names_the_weighted_frequency_of_each_channel() -> None:
    frames = np.arange(60)
    course = np.stack([np.sin(2 * np.pi * hertz * frames / 60.0) for hertz in (3, 7)])
    view = replace(run(2, 60, frame_rate=60.0), stimulus=course[:, :, None, None] * np.ones((2, 1, 4, 4), np.float32))
    ax = panel(draw_composition(view), "Amplitude")
    assert legend(ax) == ["green 3.00", "uv 7.00"]
    assert "Hz" in ax.get_title(loc="left")
    assert ax.get_xlim() == (0.0, 10.0)


def test_explained_variance_is_drawn_per_channel_in_percent(figure: Figure) -> None:
    bars = panel(figure, "Variance").patches
    expected = [100 * decompose(channel).explained_variance for channel in run().stimulus]
    assert [bar.get_width() for bar in bars] == pytest.approx(expected)


def test_a_few_responses_are_named_and_many_become_a_grey_bundle_with_its_mean() -> None:
    assert legend(panel(draw_composition(run(traces=10)), "Response")) == [f"neuron {i}" for i in range(10)]
    view = run(traces=113)
    ax = panel(draw_composition(view), "Response")
    assert legend(ax) == ["113 neurons", "mean"]
    assert len(ax.lines) == 114
    np.testing.assert_array_equal(ax.lines[-1].get_ydata()[:-1], view.response.mean(axis=1))


def clustered(names: Sequence[str], frames: int = 50, lag: int = 30) -> RunView:
    """A run of three neurons for each of some clusters."""
    clusters = tuple(Cluster(name, tuple(range(3 * i, 3 * i + 3))) for i, name in enumerate(names))
    return replace(run(frames=frames, traces=3 * len(names), lag=lag), clusters=clusters)


@pytest.mark.parametrize("count", [2, 5, 14])
def test_clusters_have_their_mean_traces_and_names_and_the_asked_one_is_in_front(count: int) -> None:
    view = clustered([f"type of some length ({number})" for number in range(count)])
    ax = panel(draw_composition(view), "Mean response of each cluster")
    assert legend(ax) == [cluster.name for cluster in view.clusters[:12]]
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines[:12]}) == min(count, 12)
    assert max(ax.lines, key=lambda line: line.get_zorder()) is ax.lines[0]
    for line, cluster in zip(ax.lines, view.clusters, strict=True):
        np.testing.assert_array_equal(line.get_ydata()[:-1], view.response[:, list(cluster.traces)].mean(axis=1))


def test_a_group_is_a_bundle_whose_mean_has_its_name() -> None:
    ax = panel(draw_composition(clustered(["ON slow (27)"])), "Response")
    assert legend(ax) == ["3 neurons", "mean of ON slow (27)"]
    assert len(ax.lines) == 4


def test_a_static_image_shows_how_its_objective_rose() -> None:
    history = np.array([[0, 0.5], [1, 0.75], [2, 2.0]])
    view = replace(run(2, 1, lag=0, window=None, frame_rate=None), history=history)
    figure = draw_composition(view)
    ax = panel(figure, "Objective; response of neuron 0")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), history)
    assert "Response" not in [ax.get_title(loc="left") for ax in figure.axes]
    several = draw_composition(replace(run(2, 1, traces=3, lag=0, window=None, frame_rate=None), history=history))
    assert len(panel(several, "Response").lines[0].get_xdata()) == 3
    assert panel(several, "Objective").get_title(loc="left") == "Objective"


def test_a_figure_looks_the_same_whichever_clusters_were_drawn_before() -> None:
    names = (["a (1)", "b (2)"], ["a much longer name of a type (31)", "b (2)"])
    composer = Composer()
    drawn = [composer.encode(clustered(some), "png", 40) for some in (*names, *names)]
    assert drawn[:2] == drawn[2:] == [Composer().encode(clustered(some), "png", 40) for some in names]


def test_the_title_is_the_runs_and_a_long_one_is_wrapped_not_cut(figure: Figure) -> None:
    view = run(1, 1, lag=0, window=None, frame_rate=None)
    assert figure.get_suptitle() == view.title
    long = "increase(neuron=42) minus a tenth of suppress(all the others), " * 4
    shown = draw_composition(replace(view, title=long)).get_suptitle()
    assert shown.split() == long.split()
    assert max(map(len, shown.splitlines())) <= 110


# --- all shapes ------------------------------------------------------------------------------------------------------


def texts_in_the_way(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Pairs of texts that are drawn over each other."""
    drawn: list[Text] = []
    draw = Text.draw
    monkeypatch.setattr(Text, "draw", lambda text, *args, **kwargs: (drawn.append(text), draw(text, *args, **kwargs)))  # type: ignore[func-returns-value]
    figure.draw_without_rendering()
    boxes = [
        (text.get_text(), text.get_window_extent()) for text in drawn if text.get_visible() and text.get_text().strip()
    ]
    return [
        (name, other)
        for index, (name, box) in enumerate(boxes)
        for other, second in boxes[index + 1 :]
        # boxes include the font's own margins; touching by two of 1100 pixels leaves the letters apart
        if box.padded(-1).overlaps(second.padded(-1))
    ]


SHAPES: Sequence[RunView] = [
    run(1),
    run(2),
    run(3, 61, (17, 15), lag=1, traces=10, frame_rate=None),
    run(5, traces=113),
    run(2, 3, lag=1, window=(0, 2)),
    run(2, 2, lag=0, window=None),
    run(2, size=(16, 48)),
    run(5, size=(60, 8)),
    run(1, size=(1, 30)),
    run(1, 1, lag=0, window=None, frame_rate=None),
    run(2, 1, (36, 64), lag=0, traces=6, window=(0, 1), frame_rate=None),
    run(5, 1, lag=0, traces=60, window=None, frame_rate=None, pixel_size=None),
    replace(run(), stimulus=np.zeros((2, 50, 18, 16), np.float32)),
    replace(run(), stimulus=np.full((2, 50, 18, 16), 3.0, np.float32)),
    replace(run(), response=np.zeros((0, 0), np.float32), trace_names=()),
]


@pytest.mark.parametrize("view", SHAPES, ids=lambda view: f"{view.stimulus.shape}-{view.response.shape}")
def test_every_shape_of_run_is_drawn_without_a_warning_and_without_overlapping_text(
    view: RunView, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = draw_composition(view)
    assert texts_in_the_way(figure, monkeypatch) == []
    width, _ = figure.get_size_inches() * figure.dpi
    assert width >= 1200
    static = view.stimulus.shape[1] == 1
    assert any(ax.get_title(loc="left") == "Temporal component" for ax in figure.axes) is not static


@pytest.mark.parametrize("view", SHAPES, ids=lambda view: f"{view.stimulus.shape}-{view.response.shape}")
def test_drawing_only_what_differs_between_runs_gives_the_pixels_of_drawing_everything(view: RunView) -> None:
    with Image.open(io.BytesIO(Composer().encode(view, "png", 100))) as picture:
        quick = np.asarray(picture)
        assert picture.info["dpi"] == pytest.approx((100, 100), abs=0.05)  # the file counts in whole pixels per metre
    figure = draw_composition(view, 100)
    figure.canvas.draw()
    np.testing.assert_array_equal(quick, np.asarray(figure.canvas.buffer_rgba())[..., :3])


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_files_are_the_same_every_time_and_ignore_the_users_settings(ending: str) -> None:
    first = Composer().encode(run(), ending, DPI)
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red", "image.origin": "lower"}):
        second = Composer().encode(run(), ending, DPI)
    assert first == second
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(("dpi", "width"), [(100, 1250), (160, 2000)])
def test_the_dpi_say_how_many_pixels_there_are(dpi: int, width: int) -> None:
    with Image.open(io.BytesIO(Composer().encode(run(), "png", dpi))) as picture:
        assert picture.width == width
        assert picture.mode == "RGB"


def test_text_in_a_pdf_stays_text() -> None:
    content = Composer().encode(run(1, 1, lag=0, frame_rate=None), "pdf", DPI)
    assert b"/FontType 42" in content or b"/CIDFontType2" in content
    assert b"/CreationDate" not in content


# --- the notebook's panels -------------------------------------------------------------------------------------------


def notebook_axes() -> np.ndarray:
    axes: np.ndarray = Figure(figsize=(21, 12)).subplots(2, 2)
    return axes


def test_the_notebooks_call_draws_into_its_axes_with_its_inclusive_highlight() -> None:
    torch = pytest.importorskip("torch")
    axes, stimulus = notebook_axes(), torch.from_numpy(run().stimulus).requires_grad_()
    plot_stimulus_composition(
        stimulus=stimulus,
        temporal_trace_ax=axes[0, 0],
        freq_ax=axes[0, 1],
        spatial_ax=axes[1, 0],
        highlight_x_list=[(40, 49)],
        frame_rate=30.0,
        pixel_size=50.0,
    )
    assert shaded(axes[0, 0]) == [pytest.approx((40 / 30, 50 / 30))]
    assert legend(axes[0, 0]) == ["green", "uv"]
    assert len(axes[0, 1].lines) == 2
    assert len(axes[1, 0].images) == 2
    assert scale_bar(axes[1, 0]) == [pytest.approx(4.0)]
    axes[0, 0].figure.draw_without_rendering()


def test_the_notebooks_panels_are_those_of_the_runs_figure(figure: Figure) -> None:
    view, axes = run(), notebook_axes()
    plot_stimulus_composition(view.stimulus, *axes.flat[:3], frame_rate=view.frame_rate, channel_names=view.channels)
    for ax, title in zip(axes.flat, ("Temporal", "Amplitude"), strict=False):
        for line, other in zip(ax.lines, panel(figure, title).lines, strict=True):
            np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())


def test_without_a_frequency_panel_or_a_frame_rate_the_notebooks_call_counts_frames() -> None:
    axes = notebook_axes()
    plot_stimulus_composition(run().stimulus, axes[0, 0], None, axes[1, 0], highlight_x_list=[(0, 0), (40, 49)])
    assert shaded(axes[0, 0]) == [(0.0, 1.0), (40.0, 50.0)]
    assert not axes[0, 1].lines
    assert scale_bar(axes[1, 0]) == []


def test_the_cutoff_bounds_the_spectrum() -> None:
    axes = notebook_axes()
    plot_stimulus_composition(run().stimulus, *axes.flat[:3], lowpass_cutoff=5.0, frame_rate=30.0)  # type: ignore[misc]
    assert axes[0, 1].lines[0].get_xdata().max() <= 5.0


def test_a_batch_is_refused_by_the_notebooks_call() -> None:
    with pytest.raises(UserError, match="channel, time, height, width"):
        plot_stimulus_composition(run().stimulus[None], *notebook_axes().flat[:3])
