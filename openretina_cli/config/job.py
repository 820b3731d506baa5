"""Hydra's record of the present job, which `${hydra:...}` refers to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from openretina_cli.config.compose import expand_homes
from openretina_cli.config.composed import Composed, without_hydra
from openretina_cli.config.provenance import Record
from openretina_cli.config.settings import read_settings
from openretina_cli.config.template import Job


@contextmanager
def current_restored() -> Iterator[None]:
    """Restore Hydra's record of the present job after the block."""
    before = HydraConfig.instance().cfg
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def run_alone(config: Composed) -> tuple[Job, Record]:
    """The one run that composed settings ask for, and what Hydra leaves beside it.

    Raises:
        SettingError: a setting is wrong.
    """
    HydraConfig.instance().set_config(config)  # so that ${hydra:...} resolves
    return Job(Path(str(config.hydra.run.dir)).absolute(), read_settings(without_hydra(config))), Record.of(config)


def run_of_hydra(config: Composed) -> Job:
    """The run that one of Hydra's launchers asks for, in the folder that the launcher has made.

    Raises:
        SettingError: a setting is wrong.
    """
    expand_homes(config)
    return Job(Path(HydraConfig.get().runtime.output_dir), read_settings(config))
