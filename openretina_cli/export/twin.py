"""The twin of a run, loaded again from the settings that its folder states, as data.

Nothing that a folder names is imported, and no address of the web that a folder names is opened: a model is built only
from a class of the packaged options, and from addresses that those state.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openretina_cli.config.stated import stated_model
from openretina_cli.errors import ArtifactError, OpenRetinaError, SettingError
from openretina_cli.export.source import Source
from openretina_cli.run.finished import check_cells, check_weights, response_window

if TYPE_CHECKING:
    import torch

    from openretina_cli.models.retina import Retina

REPAIR = "export.ask=false, with export.grey.mean and export.grey.sd"


class Twins:
    """Loads the models of runs, and keeps the last one.

    Args:
        device: where to compute, as `device=` says it.
    """

    def __init__(self, device: str) -> None:
        self._name = device
        self._kept: tuple[str, Retina] | None = None
        self._grey: dict[tuple[str, tuple[int, ...], tuple[int, ...], object], float] = {}

    @cached_property
    def _device(self) -> torch.device:
        from openretina_cli.run.model import choose_device

        return choose_device(self._name)

    def of(self, source: Source, **changes: Any) -> Retina:
        """The twin of a run.

        Args:
            source: the run.
            changes: settings of the model that are to be others than the run's.

        Raises:
            OpenRetinaError: it cannot be loaded, or is not the one that the run was made with.
        """
        from openretina_cli.run.model import build_model

        if source.settings is None and not source.model:
            raise SettingError(
                f"{source.folder} is a row of a stack, which does not state its model, so that no twin can be asked",
                repair=f"the folder of the run, or {REPAIR}",
            )
        option = stated_model(source.settings, source.folder, REPAIR).with_arguments(**changes)
        key = json.dumps([option.target, option.arguments], sort_keys=True, default=repr)
        if self._kept is None or self._kept[0] != key:
            try:
                self._kept = key, build_model(option, source.shape[1], self._device)
            except OpenRetinaError:
                raise
            except Exception as error:  # whatever a stranger's values make a constructor raise
                raise SettingError(
                    f"{source.folder} has settings that cannot be used: {type(error).__name__}", repair=REPAIR
                ) from error
            self._grey.clear()
        retina = self._kept[1]
        check_weights(source.folder, source.sha256, retina.facts, REPAIR)
        check_cells(source.folder, source.session, source.neurons, retina.facts)
        return retina

    def responses(self, source: Source, stimuli: NDArray[np.float32]) -> list[float]:
        """Mean response of a run's cells in its window to each of `(stimulus, channel, time, height, width)`.

        Raises:
            OpenRetinaError: the twin cannot be loaded, or answers with NaN.
        """
        import torch

        retina = self.of(source)
        with torch.inference_mode():
            answer = retina(torch.from_numpy(stimuli).to(self._device), source.session)
            start, stop = response_window(source.folder, source.window, answer.shape[1])
            chosen = answer[:, start:stop, list(source.neurons)]
            found: list[float] = chosen.double().mean(dim=(1, 2)).tolist()
        if not np.isfinite(found).all():
            raise ArtifactError(f"the twin of {source.folder} answers with NaN or infinity", repair=REPAIR)
        return found

    def grey(self, source: Source) -> float:
        """The same to grey, the model's zero; asked once for equal cells."""
        key = (source.session, source.neurons, source.shape, source.window)
        if key not in self._grey:
            self._grey[key] = self.responses(source, np.zeros((1, *source.shape), np.float32))[0]
        return self._grey[key]

    def centre(self, source: Source) -> tuple[float, float]:
        """The centre of a run's cells in the field of the model as it was recorded, x to the right and y up, in um.

        It is the centre of the squared gradient of the mean response at grey, so that no kind of readout is assumed.

        Raises:
            SettingError: the model's readouts were not centred, so the stimulus is where its cells are already.
        """
        import torch

        if not (source.settings or {}).get("center_readouts", False) or source.pixel_size is None:
            raise SettingError(
                f"export.protocol.positions=cells: {source.folder} was not made with model.center_readouts=true, so "
                "its stimulus is in place already",
                repair="export.protocol.positions=center",
            )
        retina = self.of(source, center_readouts=False)
        stimulus = torch.zeros((1, *source.shape), device=self._device, requires_grad=True)
        answer = retina(stimulus, source.session)[..., list(source.neurons)].mean()
        (gradient,) = torch.autograd.grad(answer, stimulus)
        return _centre(gradient[0].square().sum((0, 1)).cpu().numpy(), source)


def _centre(energy: NDArray[np.float32], source: Source) -> tuple[float, float]:
    total = float(energy.sum())
    if not total > 0:
        raise ArtifactError(
            f"the cells of {source.folder} have no gradient at grey", repair="export.protocol.positions=[[x,y],...]"
        )
    rows, columns = (np.arange(edge) - (edge - 1) / 2 for edge in energy.shape)
    size = source.pixel_size or 1.0
    x, y = float((energy.sum(0) * columns).sum()), -float((energy.sum(1) * rows).sum())
    return round(x / total * size, 1), round(y / total * size, 1)
