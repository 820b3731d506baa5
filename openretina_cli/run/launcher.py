"""Options of `hydra/launcher` that are this project's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from openretina_cli.checks import positive, require
from openretina_cli.config.settings import Composed, plain
from openretina_cli.config.target import build, read_option

OURS = ("array", "error", "job_name", "open_mode", "output", "wait")
"""Options of sbatch by which the sweep knows its tasks and their logs."""


@dataclass
class Batched:
    """Stacks of runs, in this process."""

    workers: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.workers is None or self.workers >= 0, "workers", self.workers, "0 or more, or null")


@dataclass
class Slurm:
    """Stacks of runs, as tasks of job arrays on a cluster."""

    group_size: int | None = 200
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time_min: int = 60
    mem_gb: float = 8.0
    cpus_per_task: int = 4
    gpus_per_node: int | None = None
    array_parallelism: int = 100
    setup: list[str] = field(default_factory=list)
    workers: int | None = None
    additional: dict[str, Any] | None = None
    wait: bool = True
    poll_s: float = 15.0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("time_min", "cpus_per_task", "array_parallelism"):
            value = getattr(self, name)
            require(value >= 1, name, value, "1 or more")
        for name in ("group_size", "gpus_per_node"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "1 or more, or null")
        require(self.workers is None or self.workers >= 0, "workers", self.workers, "0 or more, or null")
        positive("mem_gb", self.mem_gb)
        positive("poll_s", self.poll_s)
        for name, asked in (self.additional or {}).items():
            free = name.replace("-", "_") not in OURS
            require(free, f"additional.{name}", asked, f"an option of sbatch other than {', '.join(OURS)}")


Launcher = Batched | Slurm
"""A launcher of this project's own; any other is Hydra's."""


def own_launcher(config: Composed) -> str | None:
    """The name of the launcher in composed settings, if it is one of this project's own."""
    module, _, name = str(config.hydra.launcher.get("_target_")).rpartition(".")
    return name.lower() if module == __name__ else None


def launcher_of(config: Composed) -> Launcher:
    """The settings of the launcher, which is one of this project's own.

    Raises:
        SettingError: a setting of it is wrong.
    """
    node = plain(config.hydra.launcher, resolve=True)
    option = read_option("hydra/launcher", node, "hydra.launcher.")
    return build(option, object, {})  # type: ignore[return-value]  # as `own_launcher` says
