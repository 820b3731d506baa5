"""Hydra's record of the present job, which `${hydra:...}` refers to, and what Hydra sets up for a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from omegaconf import open_dict, read_write

from openretina_cli.config.composed import Composed
from openretina_cli.config.provenance import write_provenance


def make_current(config: Composed) -> None:
    """Make composed settings those of the present job, so that `${hydra:...}` resolves."""
    HydraConfig.instance().set_config(config)


@contextmanager
def current_restored() -> Iterator[None]:
    """Restore Hydra's record of the present job after the block."""
    before = HydraConfig.instance().cfg
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def current_folder() -> Path:
    """The folder of the job that one of Hydra's launchers runs."""
    return Path(HydraConfig.get().runtime.output_dir)


def _set_output_directory(config: Composed, path: Path) -> None:
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(path)
    make_current(config)


def set_up_job(config: Composed, stage: Path, folder: Path) -> None:
    """Set up what Hydra sets up for a job: its config, the run's log file, the provenance files.

    Args:
        config: composed settings of the run; its output directory is set.
        stage: folder that the files are written into, before they appear in the run's folder.
        folder: the run's folder.

    Raises:
        OSError: a file cannot be written.
    """
    _set_output_directory(config, stage)  # the log is written aside like everything else
    configure_log(config.hydra.job_logging, config.hydra.verbose)
    _set_output_directory(config, folder)
    write_provenance(config, stage)
