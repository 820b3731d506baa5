"""Writing trained twins in the published layout: a config, a data_info and a state_dict per seed."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from openretina_cli.models.member_files import MemberFiles
from openretina_cli.models.twin import Twin
from openretina_cli.simulation.cell_types import GROUP_NAMES
from openretina_cli.simulation.movies import CHANNELS, CLIP_FRAMES, HEIGHT, WIDTH
from openretina_cli.simulation.recording import Recording
from openretina_cli.simulation.retina import SimulatedRetina
from openretina_cli.simulation.training import MODEL_CONFIG, Schedule, torch_bytes
from openretina_cli.store.aside import write_whole

MODEL_FN = "nnfabrik_euler.models.models.SFB3d_core_SxF3d_readout"
"""What the published configs name as the function that builds the model; readers of the layout expect it."""


def config_text() -> str:
    """The config of a member, the same for all; its tuples carry the published files' YAML tags."""
    text: str = yaml.dump({"model_fn": MODEL_FN, "model_config": MODEL_CONFIG})
    return text


def data_info(retina: SimulatedRetina, recording: Recording, schedule: Schedule) -> dict[str, dict[str, Any]]:
    """What the layout says of each session, with groups added: `group_assignment` and `group_names`.

    `roi_coords` are the cells' rows and columns in pixels.
    """
    return {
        session: {
            "input_dimensions": torch.Size([schedule.batch, len(CHANNELS), CLIP_FRAMES, HEIGHT, WIDTH]),
            "input_channels": len(CHANNELS),
            "output_dimension": truth.shape[-1],
            "img_h": HEIGHT,
            "img_w": WIDTH,
            "mean_response": truth.mean(dim=(0, 1)).numpy(),
            "roi_coords": np.array([(c.row, c.column) for c in retina.session(session).cells], dtype=np.float32),
            "group_assignment": np.array(retina.session(session).groups),
            "group_names": dict(GROUP_NAMES),
        }
        for session, truth in recording.responses.items()
    }


def write_member(folder: Path, seed: int, twin: Twin, info: dict[str, dict[str, Any]]) -> None:
    """Write the three files of one member; each appears whole or not at all, and the config, which names it, last."""
    folder.mkdir(parents=True, exist_ok=True)
    # plain: the state dict that a module returns carries torch's own notes along
    weights = OrderedDict(twin.state_dict().items())
    files = MemberFiles.of_seed(folder, f"{seed:05d}")
    contents = {
        files.state_dict: torch_bytes(weights),
        files.data_info: pickle.dumps(info, protocol=4),  # which every supported Python reads
        files.config: config_text().encode(),
    }
    write_whole(folder, {path.name: content for path, content in contents.items()})
