"""Writes a checkpoint of each published shape with random weights, through the public package; runs in its environment.

Usage: python zoo_maker.py FOLDER SHAPE...
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf
from openretina.models.core_readout import UnifiedCoreReadout
from torch import nn
from zoo_shapes import SHAPES, Shape

NEURONS = {"session_1": 20, "session_2": 20}
MASKS = {
    "_target_": "openretina.modules.readout.multi_readout.MultiGaussianMaskReadout",
    **{"scale": True, "bias": True, "positive": False, "gaussian_mean_scale": 6.0, "gaussian_var_scale": 4.0},
}
POINTS = {
    "_target_": "openretina.modules.readout.multi_readout.MultiSampledGaussianReadout",
    **{"bias": True, "init_mu_range": 0.3, "init_sigma_range": 0.1, "gamma": 0.4},
}


def built(shape: Shape) -> UnifiedCoreReadout:
    """A model whose features have the scale of a trained one's: batch norms know the statistics of noise."""
    core = {
        "_target_": "openretina.modules.core.base_core.SimpleCoreWrapper",
        "_convert_": "object",
        "temporal_kernel_sizes": shape.temporal,
        "spatial_kernel_sizes": shape.spatial,
        "input_padding": shape.paddings[0],
        "hidden_padding": shape.paddings[1],
        "maxpool_every_n_layers": shape.pool,
        "cut_first_n_frames": shape.cut,
        "convolution_type": "time_independent" if shape.image else "custom_separable",
        **{"gamma_input": 0.0, "gamma_temporal": 40.0, "gamma_in_sparse": 0.0, "gamma_hidden": 0.0},
    }
    size = (shape.channels, 1 if shape.image else 31, shape.height, shape.width)  # the fewest frames with a response
    parts = OmegaConf.create(core), OmegaConf.create(POINTS if shape.points else MASKS)
    model = UnifiedCoreReadout(size, NEURONS, *parts, hidden_channels=shape.hidden)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = None  # the mean over batches, of which there is one
    with torch.no_grad():
        for weight in model.core.parameters():
            if weight.dim() == 5:
                weight.mul_(1e3)  # kernels, so that the variance of what they make is more than what norms add to it
        model.core.train()(torch.randn(1, *size) * 0.1)
        for name, weight in model.readout.named_parameters():
            if name.endswith("features"):
                weight.normal_()
    return model.eval()


def write(shape: Shape, file: Path) -> None:
    """A checkpoint as Lightning saves it: hyper-parameters and weights."""
    torch.manual_seed(0)
    model = built(shape)
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": model.state_dict(),
        "hparams_name": "kwargs",
        "hyper_parameters": dict(model.hparams),
    }
    torch.save(content, file)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        write(SHAPES[name], Path(sys.argv[1], f"{name}.ckpt"))
