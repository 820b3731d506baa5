"""Objects in memory that stand where YAML names a class: what is recorded in their place, and how a run gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, flag_override

from openretina_cli.config.settings import Settings
from openretina_cli.config.template import LOCKS


@dataclass(frozen=True)
class Given:
    """Objects in memory for options of some groups.

    Attributes:
        nodes: settings that stand for an object in every record, by their dotted name.
        objects: arguments of an option that are objects, by group and argument.
    """

    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def into(self, config: DictConfig) -> DictConfig:
        """Composed settings with the nodes in them, changed in place."""
        with flag_override(config, LOCKS, False):
            for name, node in self.nodes.items():
                OmegaConf.update(config, name, node, merge=False)
        return config

    def fill(self, settings: Settings) -> Settings:
        """The settings of a run with the objects among the arguments of their options; `values` stays plain."""
        options = {group: getattr(settings, group).with_arguments(**some) for group, some in self.objects.items()}
        return replace(settings, **options)

    def __or__(self, other: Given) -> Given:
        return Given({**self.nodes, **other.nodes}, {**self.objects, **other.objects})


NOTHING = Given()
