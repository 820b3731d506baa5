"""What Hydra leaves beside a run, the same text but sooner: `config.yaml`, `hydra.yaml`, `overrides.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import OmegaConfDumper

from openretina_cli.config.uninterrupted import uninterrupted

DUMPER: Any = type("Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
"""libyaml's, ten times as fast as the one in Python, which stands in where libyaml is missing."""
# Text that OmegaConf would read as a number is quoted, as OmegaConf itself does.
DUMPER.add_representer(str, OmegaConfDumper.str_representer)


def _dump(node: Any) -> str:
    return yaml.dump(node, Dumper=DUMPER, default_flow_style=False, allow_unicode=True, sort_keys=False)


@uninterrupted()
def write_provenance(config: DictConfig, folder: Path) -> None:
    """Write the composed settings, Hydra's own and the overrides of one run, unless `hydra.output_subdir` is null.

    Args:
        config: of the run, Hydra's node included.
        folder: of the run; Hydra's subfolder is made in it.

    Raises:
        OSError: a file cannot be written.
    """
    if config.hydra.output_subdir is None:
        return
    place = folder / str(config.hydra.output_subdir)
    place.mkdir()
    nodes = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    assert isinstance(nodes, dict)  # noqa: S101  # a DictConfig's container, for the type checker
    hydra = nodes.pop("hydra")
    for name, node in {"config": nodes, "hydra": {"hydra": hydra}, "overrides": hydra["overrides"]["task"]}.items():
        (place / f"{name}.yaml").write_text(_dump(node), encoding="utf-8")
