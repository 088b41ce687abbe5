"""Running statistics of a network, which a forward pass in training mode changes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def snapshot_buffers(model: nn.Module) -> Callable[[], None]:
    """Return a function that restores the current running statistics."""
    buffers = [buffer.clone() for buffer in model.buffers()]

    def restore() -> None:
        for buffer, saved in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(saved)

    return restore
