"""Composed settings, Hydra's own among them, as the other rooms handle them without OmegaConf's names."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

Composed = DictConfig
"""Settings as Hydra composed them; the node `hydra` holds Hydra's own."""


def without_hydra(config: Composed) -> Composed:
    """The settings without Hydra's own."""
    bare = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    assert isinstance(bare, DictConfig)  # noqa: S101  # what masked_copy returns, for the type checker
    return bare


def plain(node: Composed, *, resolve: bool) -> Any:
    """A node as plain containers, with interpolations resolved or as they are written."""
    return OmegaConf.to_container(node, resolve=resolve)


def yaml_text(config: Composed) -> str:
    """The settings as YAML, interpolations as they are written."""
    return OmegaConf.to_yaml(config)
