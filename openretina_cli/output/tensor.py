"""The stimulus as a tensor."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from openretina_cli.output.base import Numbers
from openretina_cli.store.names import STIMULUS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from openretina_cli.output.view import RunView
    from openretina_cli.stopper import Step


class Tensor(Numbers):
    """`stimulus.pt`: float32 `(1, channel, time, height, width)`, in standard deviations of the training set.

    `torch.load(path, weights_only=True)` reads it, and a model takes it as it is.
    """

    names = (STIMULUS,)

    def content(self, name: str, view: RunView, steps: Sequence[Step]) -> bytes:
        """The bytes of the tensor's file."""
        return tensor_bytes(view.stimulus)


def tensor_bytes(stimulus: NDArray[np.float32]) -> bytes:
    """The file that torch.save makes of a stimulus `(channel, time, height, width)`, with a first axis of one."""
    import torch  # pictures and tables are made without it

    content = io.BytesIO()  # Python writes the file and says when a disk is full; torch does not
    torch.save(torch.from_numpy(stimulus)[None].clone(), content)
    return content.getvalue()
