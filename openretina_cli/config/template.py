"""The composed settings that many runs share: composed once, then turned into each run's in place."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from omegaconf import DictConfig, OmegaConf, flag_override

from openretina_cli.config.expand import VARIED, Request
from openretina_cli.config.folder_name import short
from openretina_cli.config.provenance import Record
from openretina_cli.config.settings import Settings, read_settings, without_hydra
from openretina_cli.store.identity import shapes_numbers

LOCKS = ["struct", "readonly"]
"""What keeps composed settings from being changed."""


def register_resolvers() -> None:
    """Let YAML call Hydra's `now` and `hydra`, and our `short`."""
    setup_globals()
    OmegaConf.register_new_resolver("short", short, replace=True)


INTERRUPTS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold interrupts back until the block is over.

    For work on OmegaConf's nodes: an exception out of the blue leaves them half changed, so that another error takes
    its place, or is swallowed, and the sweep goes on. Signals reach the main thread only; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, _: held.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in held[:1]:
            signal.raise_signal(first)


@dataclass(frozen=True)
class Job:
    """One run, as it was planned.

    Attributes:
        folder: where it goes.
        settings: its checked settings.
        number: its place in the sweep, Hydra's `hydra.job.num`; None for a run alone, as Hydra has it.
        request: its overrides.
        dirname: what Hydra calls `override_dirname`.
    """

    folder: Path
    settings: Settings
    number: int | None = None
    request: Request = ()
    dirname: str = ""

    @property
    def key(self) -> str:
        """The digest of its settings, see `Settings.key`."""
        return self.settings.key

    @property
    def overrides(self) -> list[str]:
        """What was set for it, except what says how Hydra works."""
        return [assignment.text for assignment in self.request if not assignment.is_hydras]

    @property
    def stack(self) -> str:
        """Runs with equal values share one model, so that they can be solved as one stack."""
        values = self.settings.values
        start = values.get("stimulus")
        frames = start.get("frames") if isinstance(start, dict) else None
        return json.dumps([frames, *map(values.get, ("model", "device", "tf32"))], sort_keys=True, default=str)

    @property
    def session(self) -> str:
        """The session it names, if it names one; neighbours of one session share more work."""
        return next((str(assignment.value) for assignment in self.request if assignment.key == "session"), "")


def shared_part(request: Request) -> tuple[str, ...]:
    """The overrides of a run in which it agrees with all runs of its stack."""
    return tuple(assignment.text for assignment in request if assignment.key not in VARIED)


class Template:
    """Composed settings, Hydra's own among them, that become those of one run after another while a sweep is planned.

    Composing takes Hydra 50 ms, a change in place one. Settings that refer to neuron, session or seed by interpolation
    are resolved anew for each run; no choice of an option can refer to them.

    Args:
        config: composed by Hydra from what the runs share; it is changed.
        telling: settings in which the runs of the sweep differ; folders are named by them. None means all.
        moment: a template of the same command, at whose time `${now:...}` is resolved here as well.
    """

    def __init__(
        self, config: DictConfig, telling: AbstractSet[str] | None = None, moment: Template | None = None
    ) -> None:
        register_resolvers()
        self.config = config
        self._bare = without_hydra(config)
        if moment is not None:
            OmegaConf.copy_cache(moment.config, config)
        OmegaConf.copy_cache(config, self._bare)
        self._telling = telling
        self._like: Settings | None = None
        # such settings may differ from run to run beyond neuron, session and seed
        self._refers_to_hydra = "${hydra:" in OmegaConf.to_yaml(self._bare)

    @cached_property
    def record(self) -> Record:
        """What Hydra leaves beside the runs."""
        return Record.of(self.config)

    @uninterrupted()
    def job(self, number: int, request: Request) -> Job:
        """Plan a run, in the folder that is named by what tells the runs apart.

        Raises:
            SettingError: a setting of the run is wrong, or the sweep's folder cannot be resolved.
        """
        dirname = self._become(number, request, self._telling)
        self._set_output(self._named())
        return Job(self._named(), self._settings(), number, request, dirname)

    @uninterrupted()
    def fully_named(self, job: Job) -> Path:
        """The folder of a run that is named by everything that was set for it, not only by what differs."""
        self._become(job.number, job.request, None)
        return self._named()

    @uninterrupted()
    def placed(self, job: Job, folder: Path) -> Job:
        """The run in another folder, to which its settings may refer.

        Raises:
            SettingError: a setting of the run is wrong.
        """
        if not self._refers_to_hydra:
            return replace(job, folder=folder)
        self._become(job.number, job.request, self._telling)
        self._set_output(folder)
        return replace(job, folder=folder, settings=self._settings())

    def _settings(self) -> Settings:
        self._like = read_settings(self._bare, self._like)
        return self._like

    def _become(self, number: int | None, request: Request, telling: AbstractSet[str] | None) -> str:
        """Make the settings those of a run, and return what Hydra calls `override_dirname`."""
        config, hydra = self.config, self.config.hydra
        HydraConfig.instance().cfg = config  # type: ignore[assignment]  # as Hydra does; so that ${hydra:...} resolves
        for node in (config, self._bare):
            with flag_override(node, LOCKS, False):
                for assignment in request:
                    if assignment.key in VARIED:
                        node[assignment.key] = assignment.value
        with flag_override(config, LOCKS, False):
            hydra.job.id, hydra.job.num = str(number), number
            hydra.overrides.task = [assignment.text for assignment in request if not assignment.is_hydras]
            hydra.job.override_dirname = dirname = self._dirname(request, telling)
        return dirname

    def _named(self) -> Path:
        return self.directory / str(self.config.hydra.sweep.subdir)

    def _set_output(self, folder: Path) -> None:
        with flag_override(self.config, LOCKS, False):
            self.config.hydra.runtime.output_dir = str(folder)

    def _dirname(self, request: Request, telling: AbstractSet[str] | None) -> str:
        how = self.config.hydra.job.config.override_dirname
        named = [
            item.text
            for item in request
            if not item.is_hydras
            and (telling is None or item.key in telling)
            and shapes_numbers(item.key)
            and item.key.lstrip("+~") not in how.exclude_keys
        ]
        return str(how.item_sep).join(text.replace("=", how.kv_sep, 1) for text in sorted(named))

    @property
    def directory(self) -> Path:
        """The sweep's folder, as the settings of the present run have it."""
        return Path(str(self.config.hydra.sweep.dir)).absolute()

    @property
    def directory_text(self) -> str:
        """The sweep's folder as it is written, with its interpolations."""
        node = OmegaConf.to_container(OmegaConf.masked_copy(self.config, "out"), resolve=False)
        return str(node["out"]) if isinstance(node, dict) else ""
