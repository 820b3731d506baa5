"""What Hydra leaves beside a run, the same text but sooner: `config.yaml`, `hydra.yaml`, `overrides.yaml`, the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import OmegaConfDumper

from openretina_cli.checks import spelt
from openretina_cli.config.expand import VARIED
from openretina_cli.errors import SettingError

if TYPE_CHECKING:
    from openretina_cli.config.template import Job

DUMPER: Any = type("Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
"""libyaml's, ten times as fast as the one in Python, which stands in where libyaml is missing."""
# Text that OmegaConf would read as a number is quoted, as OmegaConf itself does.
DUMPER.add_representer(str, OmegaConfDumper.str_representer)


def _dump(node: Any) -> str:
    return yaml.dump(node, Dumper=DUMPER, default_flow_style=False, allow_unicode=True, sort_keys=False)


@dataclass(frozen=True)
class Record:
    """What Hydra leaves beside each of some runs that share their composed settings.

    Attributes:
        nodes: the composed settings as plain containers, Hydra's own among them, interpolations as they are written.
        log: name of the log file.
    """

    nodes: dict[str, Any]
    log: str

    @classmethod
    def of(cls, config: DictConfig) -> Record:
        """The record of composed settings.

        Raises:
            SettingError: Hydra's job log is to go elsewhere than into the file in the folder of a run.
        """
        nodes: Any = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
        chosen = nodes["hydra"]["runtime"]["choices"].get("hydra/job_logging")
        handlers = ((nodes["hydra"]["job_logging"] or {}).get("root") or {}).get("handlers")
        if (chosen, handlers) != ("default", ["file"]):
            raise SettingError(
                f"hydra/job_logging={spelt(chosen)} has the root handlers {spelt(handlers)}",
                expected="default and [file]: the log of a run is a file in its folder",
                repair="hydra/job_logging=default hydra.job_logging.root.handlers=[file]; hydra.verbose=true logs more",
            )
        return cls(nodes, f"{config.hydra.job.name}.log")

    @property
    def level(self) -> int | str:
        """The level from which on messages are logged, as Hydra's `job_logging` and `verbose` say."""
        hydra = self.nodes["hydra"]
        asked = (hydra["job_logging"] or {}).get("root") or {}
        return logging.DEBUG if hydra["verbose"] is True else asked.get("level") or logging.INFO

    def write(self, job: Job, folder: Path, lines: Iterable[str]) -> None:
        """Write the log of one run, and its settings, unless `hydra.output_subdir` is null.

        Args:
            job: the run.
            folder: the folder to write into; Hydra's subfolder is made in it.
            lines: of the log.

        Raises:
            OSError: a file cannot be written.
        """
        (folder / self.log).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        name = self.nodes["hydra"]["output_subdir"]
        if name is None:
            return
        (folder / str(name)).mkdir()
        for part, node in self._parts(job).items():
            (folder / str(name) / f"{part}.yaml").write_text(_dump(node), encoding="utf-8")

    def _parts(self, job: Job) -> dict[str, Any]:
        varied = {item.key: item.value for item in job.request if item.key in VARIED}
        config = {key: varied.get(key, node) for key, node in self.nodes.items() if key != "hydra"}
        hydra = {**self.nodes["hydra"]}
        hydra["runtime"] = {**hydra["runtime"], "output_dir": str(job.folder)}
        if job.number is not None:
            hydra["job"] = {**hydra["job"], "id": str(job.number), "num": job.number, "override_dirname": job.dirname}
            hydra["overrides"] = {**hydra["overrides"], "task": job.overrides}
        return {"config": config, "hydra": {"hydra": hydra}, "overrides": hydra["overrides"]["task"]}
