"""What came out of one run, as an object."""

from __future__ import annotations

import base64
import html
import math
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openretina_cli.errors import ArtifactError, SettingError
from openretina_cli.store.folder import RunFolder
from openretina_cli.store.result import Result, read_result
from openretina_cli.terminal.run import result_rows
from openretina_cli.text import one_line

if TYPE_CHECKING:  # a call must not wait for what draws
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from openretina_cli.output.film.player import StimulusPlayer
    from openretina_cli.output.view import RunView
    from openretina_cli.stopper import Step

SHOWN_DPI = 80
"""Pixels per inch of the picture in a notebook: 1000 pixels wide, which fills a cell."""


class Optimized:
    """The result of a run, read from its folder; a notebook shows picture and numbers.

    Args:
        folder: of a finished run, made from Python or by the command.

    Attributes:
        folder: where it lies; a run that was not told where to go lies in a temporary folder, as long as this object is
            there.

    Raises:
        ArtifactError: the folder holds no finished run with its stimulus and tables.
    """

    def __init__(self, folder: str | Path) -> None:
        from openretina_cli.output.view import read_view
        from openretina_cli.store.arrays import read_steps

        self.folder = Path(folder).expanduser().absolute()
        self._result: Result = read_result(self.folder)
        self._view: RunView = read_view(self.folder)
        self._history = read_steps(self.folder)

    @property
    def numbers(self) -> Mapping[str, Any]:
        """All that `result.json` says."""
        return self._result.tree

    @property
    def objective(self) -> float:
        """The score of the stimulus, as the objective has it."""
        return self._result.final

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know of the run."""
        return self._result.warnings

    @cached_property
    def stimulus(self) -> Tensor:
        """`(1, channel, time, height, width)`, float32, in standard deviations of the training set, for a model."""
        import torch

        return torch.from_numpy(self._view.stimulus.copy())[None]

    @property
    def response(self) -> NDArray[np.float32]:
        """`(time, neuron)`, of the neurons that count; row r belongs to stimulus frame r + `numbers["lag_frames"]`."""
        return self._view.response

    @cached_property
    def history(self) -> list[Step]:
        """A record per measured stimulus: iteration, objective, penalty, gradient_norm, stimulus_norm."""
        from openretina_cli.stopper import Step

        names, table = self._history
        rows = [dict(zip(names, row, strict=True)) for row in table.tolist()]
        return [Step(**{**row, "iteration": int(row["iteration"])}) for row in rows]

    def play(self) -> StimulusPlayer:
        """The video, at the true frame rate, with the response window marked; a notebook plays it."""
        from openretina_cli.output.film.mp4 import encode_video
        from openretina_cli.output.film.player import StimulusPlayer

        return StimulusPlayer(encode_video(self._view, scale="symmetric"))

    def figure(self, dpi: int = 160) -> Figure:
        """The stimulus taken apart and the response to it, as a figure of matplotlib."""
        from openretina_cli.output.composition.composer import draw_composition

        return draw_composition(self._view, dpi)

    def save(self, directory: str | Path, output: Sequence[str] = ("video", "figure")) -> Path:
        """Write the folder that the command writes.

        Args:
            directory: where it goes; it must not hold a run yet.
            output: pictures to draw that the run has not drawn.

        Returns:
            The folder.

        Raises:
            SettingError: the folder cannot be written, or holds a run.
            ArtifactError: the disk refuses, or a picture could not be drawn; the numbers are then safe.
        """
        folder = RunFolder(Path(directory).expanduser())
        folder.check()
        if folder.stamp is not None:
            raise SettingError(f"{folder.path} holds a finished run", expected="another folder")
        with folder.stage() as stage, folder.explained(ArtifactError):
            shutil.copytree(self.folder, stage, dirs_exist_ok=True)
            folder.publish(stage, None)
        _draw(folder.path, output)
        return folder.path

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The closing table of the command: what, and its value."""
        return [*result_rows(self._result.shown), *(("warning", text) for text in self.warnings)]

    def __repr__(self) -> str:
        return f"Optimized({self._result.title}: {self._result.initial:.4g} before, {self.objective:.4g} after)"

    def _repr_html_(self) -> str:
        from openretina_cli.output.composition.composer import Composer

        title = html.escape(one_line(self._result.title))
        picture = base64.b64encode(Composer().encode(self._view, "png", SHOWN_DPI)).decode("ascii")
        note = [("note", self._result.note)] if self._result.note else []
        cells = ((html.escape(one_line(name)), html.escape(one_line(value))) for name, value in [*self.rows, *note])
        rows = "".join(
            f'<tr><th scope="row" style="text-align: left">{a}</th><td style="text-align: left">{b}</td></tr>'
            for a, b in cells
        )
        final = "not finite" if math.isnan(self.objective) else f"{self.objective:.4g}"
        return (
            f'<figure style="margin: 0"><img alt="{title}: the stimulus and the response to it, objective {final}" '
            f'style="max-width: 100%; background: white" src="data:image/png;base64,{picture}">'
            f"<table>{rows}</table></figure>"
        )


def _draw(folder: Path, output: Sequence[str]) -> None:
    from openretina_cli.config.compose import compose_settings
    from openretina_cli.output.drawing.later import absent, draw_folders, own_pictures
    from openretina_cli.output.drawing.renderer import Renderer

    settings = compose_settings([f"output=[{','.join(output)}]"])
    with Renderer(0) as renderer:
        tally = draw_folders([(folder, absent(own_pictures(settings, [])(folder), folder))], renderer)
    if tally.failed:
        raise ArtifactError(tally.reasons[0])
