"""Digest of the weights that a module really holds, wherever they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def digest_of_weights(module: nn.Module) -> str:
    """Hex SHA-256 over parameters, buffers (persistent or not), and tensors and arrays kept as plain attributes.

    Equal for equal numbers, whichever device holds them.
    """
    digest = hashlib.sha256()
    for name, value in sorted(_held(module), key=lambda item: item[0]):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(_content(value))
    return digest.hexdigest()


def _held(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, part in module.named_modules(remove_duplicate=False):
        own = {**part._parameters, **part._buffers, **vars(part)}
        for name, value in own.items():
            tensor = torch.from_numpy(np.array(value)) if _is_numbers(value) else value
            if isinstance(tensor, Tensor) and not is_lazy(tensor):
                yield f"{prefix}.{name}", tensor.detach()


def _is_numbers(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiub"


def _content(value: Tensor) -> bytes:
    """The bytes of a tensor; empty where it has none of its own (device meta)."""
    if value.is_meta:
        return b""
    if value.layout != torch.strided:
        value = value.to_dense()
    if value.is_quantized:
        value = value.dequantize()
    plain = value.cpu().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()
