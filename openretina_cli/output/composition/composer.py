"""One page that shows a run: the stimulus taken apart, and the response to it, on one time axis."""

from __future__ import annotations

import io
import os
import sys
from collections import OrderedDict
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from openretina_cli.analysis.decomposition import stimulus_array
from openretina_cli.output.composition.axis_tools import FRAME_COLOR
from openretina_cli.output.composition.fonts import families
from openretina_cli.output.composition.layout import WIDTH, Layout
from openretina_cli.output.composition.page import Page
from openretina_cli.output.composition.png import encode_png
from openretina_cli.output.view import RunView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DPI", "STYLE", "WIDTH", "Composer", "draw_composition"]

DPI = 160
PNG = "png"

KEPT_PAGES = 4
"""Pages that a composer keeps; one at 160 dpi takes about 20 MB. The runs of a sweep rarely have more layouts."""

STYLE: dict[str, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": "#303030",
    "axes.edgecolor": FRAME_COLOR,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 6.0,
    "xtick.color": FRAME_COLOR,
    "ytick.color": FRAME_COLOR,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.title_fontsize": 8.0,
    "lines.linewidth": 1.5,
    "pdf.fonttype": 42,  # text in a PDF stays text
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in a name is a dollar, and begins no formula
    "svg.hashsalt": "openretina",  # the same figure gives the same ids
}


def import_matplotlib() -> None:
    """Import the parts of matplotlib that draw, whatever MPLBACKEND says.

    Figures are drawn by Agg without pyplot, so that no backend is chosen. Matplotlib refuses to be imported where
    MPLBACKEND names a backend that is not installed, as in a command started by a notebook. Where the backend exists,
    matplotlib keeps it for the user's own plots.
    """
    backend = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure
        import matplotlib.style
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend is not None:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


def style() -> AbstractContextManager[None]:
    """Our settings of matplotlib in place of the user's, for as long as the context lasts."""
    import_matplotlib()
    import matplotlib.style

    ours: AbstractContextManager[None] = matplotlib.style.context(["default", {**STYLE, "font.family": families()}])
    return ours


def _checked(view: RunView) -> RunView:
    """A run whose arrays lie in memory in one order, so that sums over them do not depend on where they came from.

    Raises:
        UserError: the stimulus does not have four axes.
        ArtifactError: the stimulus holds values that are not finite.
    """
    stimulus, response = stimulus_array(view.stimulus), np.ascontiguousarray(view.response)
    if stimulus is view.stimulus and response is view.response:
        return view  # with its parts, where they are there already
    return replace(view, stimulus=stimulus, response=response)


class Composer:
    """Draws the figures of many runs; it keeps the pages of the last layouts, which are most of the work."""

    def __init__(self) -> None:
        self._pages: OrderedDict[tuple[object, ...], Page] = OrderedDict()

    def encode(self, view: RunView, ending: str, dpi: int = DPI) -> bytes:
        """The figure of a run as the bytes of a file: the same whatever was drawn before.

        Args:
            view: the run.
            ending: "png", "pdf" or "svg".
            dpi: pixels per inch; a film is 12.5 inches wide.

        Raises:
            UserError: the stimulus does not have four axes.
            ArtifactError: the stimulus holds values that are not finite.
        """
        view = _checked(view)
        with style():
            if ending == PNG:
                page = self._page(Layout(view, dpi))
                page.show(view)
                return encode_png(page.pixels(), dpi)
            return encode_figure(draw_composition(view, dpi), ending, dpi)

    def _page(self, layout: Layout) -> Page:
        page = self._pages.pop(layout.key, None) or Page(layout)
        self._pages[layout.key] = page
        if len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)
        return page


def encode_figure(figure: Figure, ending: str, dpi: int) -> bytes:
    """A figure as the bytes of a file without the date, and without the version of what wrote it."""
    content = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}[ending]
    figure.savefig(content, format=ending, metadata=undated, dpi=dpi)
    return content.getvalue()


def draw_composition(view: RunView, dpi: int = DPI) -> Figure:
    """The figure of a run, not tied to any window or to pyplot.

    A film has its time courses, space-time slices and responses on the left, on one time axis, and its spatial
    components, spectra and explained variances on the right. A single frame has only pictures and responses.

    Raises:
        UserError: the stimulus does not have four axes.
        ArtifactError: the stimulus holds values that are not finite.
    """
    view = _checked(view)
    with style():
        page = Page(Layout(view, dpi))
        page.show(view)
    return page.figure
