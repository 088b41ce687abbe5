"""torch's channels-last format, in which convolutions are faster forward and backward in every precision.

All values keep their shape (N, C, H, W); only their order in memory changes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from darkparse.model.darknet import Darknet


def convert_model(model: Darknet) -> Darknet:
    """Convert the parameters of a module to channels last, in place, and return the module."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def convert_images(x: Tensor) -> Tensor:
    """Return images (N, C, H, W) in channels last; rows (N, n) of a network without images are returned as they are."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def copy_like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a copy of a value of an optimizer's state, in the memory format of its parameter if it has its shape."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.clone()
