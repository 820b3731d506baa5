"""The composed settings that many runs share: composed once, then turned into each run's in place."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from omegaconf import DictConfig, OmegaConf, flag_override

from openretina_cli.config.settings import Settings, plain_settings, read_settings, settings_key
from openretina_cli.sweep.expand import VARIED, Assignment, Request
from openretina_cli.sweep.uninterrupted import uninterrupted
from openretina_cli.text import folder_name

FIRST = ("session", "neuron", "seed")
"""What tells runs apart comes first in their names, which may be cut."""
LOCKS = ["struct", "readonly"]
"""What keeps composed settings from being changed."""


def _rank(item: str) -> tuple[int, str]:
    key = item.partition("=")[0]
    return (FIRST.index(key) if key in FIRST else len(FIRST)), item


def _items(name: str) -> list[str]:
    """The overrides in a name; commas inside brackets belong to a value."""
    items, depth = [""], 0
    for character in name:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return items


def short(name: str) -> str:
    """A folder name of bounded length for Hydra's `override_dirname`, the same for the same runs, and for no others.

    Of a path only the last part is kept; a hash stands for what is left out.
    """
    items = sorted(_items(name), key=_rank)
    told = [re.sub(r"=.*[/\\](?=[^/\\])", "=", item) for item in items]
    safe = folder_name(",".join(told))
    if safe == (",".join(items) or "run"):
        return safe
    return f"{safe}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"


def register_resolvers() -> None:
    """Let YAML call Hydra's `now` and `hydra`, and our `short`."""
    setup_globals()
    OmegaConf.register_new_resolver("short", short, replace=True)


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        number: its place in the sweep, Hydra's `hydra.job.num`.
        request: its overrides.
        folder: where it goes.
        key: of its settings, see `Settings.key`.
    """

    number: int
    request: Request
    folder: Path
    key: str

    @property
    def session(self) -> str:
        """The session it names, if it names one; neighbours of one session share more work."""
        return next((str(assignment.value) for assignment in self.request if assignment.key == "session"), "")


def shared_part(request: Request) -> tuple[str, ...]:
    """The overrides of a run in which it agrees with all runs of its stack."""
    return tuple(assignment.text for assignment in request if assignment.key not in VARIED)


class Template:
    """Composed settings, Hydra's own among them, that become those of one run after another.

    Composing takes Hydra 50 ms, a change in place one. It comes to the same, as what else is composed cannot depend on
    neuron, session or seed.

    Args:
        config: composed by Hydra from what the runs share; it is changed.
    """

    def __init__(self, config: DictConfig) -> None:
        register_resolvers()
        self.config = config
        bare = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        assert isinstance(bare, DictConfig)  # noqa: S101  # what masked_copy returns, for the type checker
        self._bare = bare
        self._like: Settings | None = None
        # such settings may differ from run to run beyond neuron, session and seed
        self._asks_hydra = "${hydra:" in OmegaConf.to_yaml(bare)

    @uninterrupted()
    def become(self, number: int, request: Request) -> DictConfig:
        """Make the settings those of a run, and return them; the next call changes them again.

        Raises:
            SettingError: the sweep's folder cannot be told.
        """
        config, hydra = self.config, self.config.hydra
        HydraConfig.instance().cfg = config  # type: ignore[assignment]  # as Hydra does; so that ${hydra:...} resolves
        self._vary(request)
        with flag_override(config, LOCKS, False):
            hydra.job.id, hydra.job.num = str(number), number
            hydra.overrides.task = [assignment.text for assignment in request if not assignment.is_hydras]
            hydra.job.override_dirname = self._dirname(request)
            hydra.runtime.output_dir = str(self.directory / str(hydra.sweep.subdir))
        return config

    def _vary(self, request: Request) -> None:
        for node in (self.config, self._bare):
            with flag_override(node, LOCKS, False):
                for assignment in request:
                    if assignment.key in VARIED:
                        node[assignment.key] = assignment.value

    def _dirname(self, request: Sequence[Assignment]) -> str:
        """What Hydra calls `override_dirname`."""
        how = self.config.hydra.job.config.override_dirname
        told = [item for item in request if not item.is_hydras and item.key.lstrip("+~") not in how.exclude_keys]
        return str(how.item_sep).join(text.replace("=", how.kv_sep, 1) for text in sorted(item.text for item in told))

    @property
    def directory(self) -> Path:
        """The sweep's folder."""
        return Path(str(self.config.hydra.sweep.dir)).absolute()

    @uninterrupted()
    def job(self, number: int, request: Request) -> Job:
        """The record of a run."""
        config = self.become(number, request)
        key = settings_key(plain_settings(self._bare))
        return Job(number, request, Path(config.hydra.runtime.output_dir), key)

    @uninterrupted()
    def settings(self, job: Job) -> Settings:
        """The checked settings of a run.

        Raises:
            SettingError: one is wrong.
        """
        if self._asks_hydra:
            self.become(job.number, job.request)
        else:
            self._vary(job.request)
        self._like = read_settings(self._bare, self._like)
        return self._like
