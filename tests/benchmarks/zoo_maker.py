"""Writes a checkpoint of each published shape with random weights, through the public package; runs in its environment.

Usage: python zoo_maker.py FOLDER SHAPE...
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from openretina.models.core_readout import ExampleCoreReadout
from zoo_shapes import SHAPES, Shape

NEURONS = {"session_1": 20, "session_2": 20}


def write(shape: Shape, file: Path) -> None:
    """A checkpoint as Lightning saves it: hyper-parameters and weights."""
    torch.manual_seed(0)
    settings = {
        "in_shape": (shape.channels, 100, shape.height, shape.width),
        "hidden_channels": shape.hidden,
        "temporal_kernel_sizes": shape.temporal,
        "spatial_kernel_sizes": shape.spatial,
        "n_neurons_dict": NEURONS,
        "core_input_padding": shape.padding,
        "maxpool_every_n_layers": shape.pool,
        "cut_first_n_frames_in_core": shape.cut,
        "convolution_type": "custom_separable",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the class calls itself an example
        model = ExampleCoreReadout(**settings).eval()
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": model.state_dict(),
        "hparams_name": "kwargs",
        "hyper_parameters": settings,
    }
    torch.save(content, file)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        write(SHAPES[name], Path(sys.argv[1], f"{name}.ckpt"))
