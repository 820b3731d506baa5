"""The page of a run, drawn once for all runs of a layout; from run to run only what differs is drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.analysis.decomposition import RankOne
from openretina_cli.output.colors import channel_looks
from openretina_cli.output.composition.axis_tools import FRAME_COLOR, FrameClock, Panel, shade_frames
from openretina_cli.output.composition.layout import Layout, title_lines
from openretina_cli.output.composition.run_panels import (
    ExplainedPanel,
    HistoryPanel,
    ResponsePanel,
    SlicesPanel,
    StillResponsePanel,
)
from openretina_cli.output.composition.stimulus_panels import SpatialPanel, SpectraPanel, TemporalPanel
from openretina_cli.output.view import RunView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

PLACES = 6
"""Decimals of places on the page, in shares of its size. The layout's solver does not always agree in the 16th."""


@dataclass(frozen=True)
class Content:
    """A run, and its stimulus taken apart, where it is a film."""

    view: RunView
    parts: Sequence[RankOne]


class Page:
    """The figure of one layout, which shows one run after the other.

    It is laid out around texts as wide as they get, not around those of a run, so that a run looks the same whichever
    runs were shown before it.

    Args:
        layout: all that decides where things are.
    """

    def __init__(self, layout: Layout) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        self.layout, self._looks = layout, channel_looks(layout.widest.channels)
        self._panels: list[tuple[Panel, Callable[[Content], None]]] = []
        air = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)  # inches around every panel
        self.figure: Figure = Figure(figsize=layout.size, dpi=layout.dpi, layout=air)
        self._canvas: Any = FigureCanvasAgg(self.figure)
        self._title = self.figure.suptitle(" ", x=0.012, ha="left", fontsize=13, fontweight="bold")
        self._facts = self.figure.supxlabel(layout.facts, x=0.012, ha="left", fontsize=8, color=FRAME_COLOR)
        if layout.is_still:
            self._make_still()
        else:
            halves = self.figure.add_gridspec(1, 2, width_ratios=[1.5, 1.0])
            self._make_times(self.figure.add_subfigure(halves[0, 0]))
            self._make_components(self.figure.add_subfigure(halves[0, 1]))
        self.show(layout.widest)
        self._freeze()
        self._backdrop = self._draw_backdrop()

    def show(self, view: RunView) -> None:
        """Show a run of this layout."""
        self._title.set_text("\n".join(title_lines(view)))
        content = Content(view, () if self.layout.is_still else view.parts)
        for _, show in self._panels:
            show(content)

    def pixels(self) -> NDArray[np.uint8]:
        """The page as it looks now, `(height, width, 4)`; the array changes with the page."""
        renderer = self._canvas.get_renderer()
        self._canvas.restore_region(self._backdrop)
        for artist in sorted(self._live, key=lambda artist: artist.zorder):
            artist.draw(renderer)
        pixels: NDArray[np.uint8] = np.asarray(self._canvas.buffer_rgba())
        return pixels

    @property
    def _live(self) -> list[Any]:
        """What is drawn anew for every run."""
        return [self._title, *(artist for panel, _ in self._panels for artist in panel.live)]

    def _freeze(self) -> None:
        """Find the place of everything, and keep it there."""
        from matplotlib.axis import YAxis

        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        for part in self.figure.subfigs:
            part.bbox_relative.set_points(part.bbox_relative.get_points().round(PLACES))
        for ax in self.figure.axes:
            ax.set_position(np.round(ax.get_position(original=True).bounds, PLACES))
        for text in (self._title, self._facts):
            text.set_y(round(text.get_position()[1], PLACES))
        for axis in self.figure.findobj(YAxis):
            # labels on the left keep one line, however wide the numbers; that of a colour bar stays beside its numbers
            if str(axis.get_label_position()) == "left":  # matplotlib's stub knows the sides of an x axis only
                left, _ = axis.axes.transAxes.inverted().transform(axis.label.get_position())
                axis.set_label_coords(round(left, PLACES), 0.5)

    def _draw_backdrop(self) -> Any:
        """The pixels of all that stays."""
        for artist in self._live:
            artist.set_visible(False)
        self._canvas.draw()
        for artist in self._live:
            artist.set_visible(True)
        return self._canvas.copy_from_bbox(self.figure.bbox)

    def _make_times(self, figure: SubFigure) -> None:
        """Time courses, slices and responses below each other; the narrow second column holds the colour bar."""
        layout, clock, looks = self.layout, FrameClock(self.layout.widest.frame_rate), self._looks
        channels, count, _, _ = layout.shape
        ratios = [2.1] + [0.85] * channels + [1.7] * bool(layout.traces)
        grid = figure.add_gridspec(len(ratios), 2, width_ratios=[1.0, 0.015], height_ratios=ratios)
        top = figure.add_subplot(grid[0, 0])
        axes = [top] + [figure.add_subplot(grid[row, 0], sharex=top) for row in range(1, len(ratios))]
        temporal = TemporalPanel(top, looks, clock, count, most_ticks=7)
        self._panels.append((temporal, lambda content: temporal.show(content.parts)))
        bar = figure.add_subplot(grid[1 : 1 + channels, 1])
        slices = SlicesPanel(axes[1 : 1 + channels], bar, layout, looks)
        self._panels.append((slices, lambda content: slices.show(content.view.stimulus, content.parts)))
        if layout.traces:
            response = ResponsePanel(axes[-1], layout, clock)
            self._panels.append((response, lambda content: response.show(content.view)))
        self._finish_times(axes, clock)

    def _finish_times(self, axes: Sequence[Axes], clock: FrameClock) -> None:
        """Shade the window where there are traces, and name the time axis once, below all."""
        layout, (channels, count, _, _) = self.layout, self.layout.shape
        windows = [layout.widest.stimulus_window] if layout.widest.stimulus_window else []
        for ax in (axes[0], *axes[1 + channels :]):
            shade_frames(ax, clock, windows)
        for ax in axes[:-1]:
            ax.tick_params(labelbottom=False)
            ax.set_xlabel("")
        end = max(count, layout.widest.lag + layout.responses if layout.traces else 0)
        axes[-1].set(xlabel=clock.time_label, xlim=(0.0, end * clock.step))

    def _make_components(self, figure: SubFigure) -> None:
        """Spatial components, spectra and explained variances."""
        layout, looks = self.layout, self._looks
        columns, rows = layout.picture_grid
        pictures = [2.4 if columns == 2 or rows == 1 == columns else 1.7] * rows
        grid = figure.add_gridspec(rows + 2, 1, height_ratios=[*pictures, 1.9, 0.5 + 0.16 * len(looks)])
        self._make_pictures(figure, grid, "Spatial component", ("spatial component", ""))
        clock = FrameClock(layout.widest.frame_rate)
        spectra = SpectraPanel(figure.add_subplot(grid[rows, 0]), looks, clock, layout.shape[1], most_ticks=5)
        self._panels.append((spectra, lambda content: spectra.show(content.parts)))
        explained = ExplainedPanel(figure.add_subplot(grid[rows + 1, 0]), looks)
        self._panels.append((explained, lambda content: explained.show(content.parts)))

    def _make_pictures(self, figure: Figure | SubFigure, grid: Any, title: str, scale: tuple[str, str]) -> None:
        """Pictures of all channels in rows, of one size and on one colour scale; the first row carries both scales."""
        layout, is_film = self.layout, not self.layout.is_still
        columns, rows = layout.picture_grid
        for row in range(rows):
            ax, chunk = figure.add_subplot(grid[row, 0]), slice(row * columns, (row + 1) * columns)
            panel = SpatialPanel(
                ax, layout.shape[2:], self._looks[chunk], layout.widest.pixel_size if row == 0 else None,
                scale=scale if row == 0 else None, columns=columns, marked=is_film, fixed=is_film,
            )  # fmt: skip
            ax.set_anchor("NW")
            if row == 0:
                ax.set_title(title, loc="left", pad=18)
            self._panels.append((panel, partial(self._show_pictures, panel, chunk)))

    @staticmethod
    def _show_pictures(panel: SpatialPanel, chunk: slice, content: Content) -> None:
        if content.parts:
            parts = content.parts[chunk]
            panel.show([part.spatial for part in parts], marked_rows=[part.peak[0] for part in parts])
        else:
            stimulus = content.view.stimulus
            panel.show(list(stimulus[chunk, 0]), limit=float(np.abs(stimulus).max()) or 1.0)

    def _make_still(self) -> None:
        """A static image as it is, in its own units, how the objective rose to it, and a dot per response."""
        _, rows = self.layout.picture_grid
        ratios = [3.0] * rows + [1.4] * (self.layout.measured + self.layout.shows_dots)
        grid = self.figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
        self._make_pictures(self.figure, grid, "Stimulus", ("stimulus", "s.d."))
        if self.layout.measured:
            history = HistoryPanel(self.figure.add_subplot(grid[rows, 0]))
            self._panels.append((history, lambda content: history.show(content.view)))
        if self.layout.shows_dots:
            panel = StillResponsePanel(self.figure.add_subplot(grid[len(ratios) - 1, 0]), self.layout)
            self._panels.append((panel, lambda content: panel.show(content.view.response, content.view.trace_names)))
