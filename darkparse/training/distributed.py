"""Training in several processes, each with its share of every batch (torch's DistributedDataParallel)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor, distributed, nn

from darkparse.model.darknet import Darknet
from darkparse.training.buffers import snapshot_buffers
from darkparse.training.memory_format import convert_images

MIN_ROWS = 2
"""Images with which batch norm has a variance for maps of 1×1."""


class SelectedOutputs(nn.Module):
    """Module that returns the outputs of selected layers, in a list with None for the others."""

    def __init__(self, model: Darknet, layers: set[int]) -> None:
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, x: Tensor) -> list[Tensor | None]:
        """Run the network on images (N, C, H, W)."""
        outputs = self.model.layer_outputs(convert_images(x))
        return [out if index in self.layers else None for index, out in enumerate(outputs)]


# Newer versions of torch deprecate the name of the older ones.
_SYNC = "forward_sync_buffers"
_IS_NEW = _SYNC in signature(nn.parallel.DistributedDataParallel.__init__).parameters
_NO_BUFFER_SYNC: dict[str, Any] = {_SYNC if _IS_NEW else "broadcast_buffers": False}


class Parallel:
    """The processes of a training run, possibly only this one.

    Each process computes the gradients of its share of a batch, and the sum is used: the result equals that of one
    process with `size` times the `subdivisions`. Batch norm normalizes each share separately; its rolling statistics
    are averaged after every batch.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        selected: The network, for passes of this process alone.
        outputs: Module to run.
    """

    def __init__(self, model: Darknet, layers: set[int]) -> None:
        self._is_single = not (distributed.is_available() and distributed.is_initialized())
        self.rank = 0 if self._is_single else distributed.get_rank()
        self.size = 1 if self._is_single else distributed.get_world_size()
        self._device = next(model.parameters()).device
        self.selected = SelectedOutputs(model, layers)
        self.outputs: nn.Module = self.selected
        self._statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        if not self._is_single:
            self.outputs = nn.parallel.DistributedDataParallel(
                self.outputs,
                **_NO_BUFFER_SYNC,
                find_unused_parameters=has_unused_parameters(model, layers),
            )

    @contextmanager
    def mini_batch(self, *, is_last: bool) -> Iterator[None]:
        """Return a context for a forward and backward pass; gradients are exchanged with the last mini-batch only."""
        if isinstance(self.outputs, nn.parallel.DistributedDataParallel) and not is_last:
            with self.outputs.no_sync():
                yield
        else:
            yield

    def sum(self, values: Tensor) -> Tensor:
        """Sum values over all processes, in place."""
        if not self._is_single:
            distributed.all_reduce(values)
        return values

    def any(self, value: bool) -> bool:
        """Return whether a value is true in any process."""
        return bool(self.sum(torch.tensor(float(value), device=self._device)).item()) if not self._is_single else value

    def average_statistics(self) -> None:
        """Average the rolling statistics of batch norm over all processes."""
        for buffer in () if self._is_single else self._statistics:
            distributed.all_reduce(buffer)
            buffer /= self.size


def has_unused_parameters(model: Darknet, layers: set[int]) -> bool:
    """Return whether the outputs of some layers give a parameter no gradient, for example due to `stopbackward`.

    DistributedDataParallel waits for such a gradient unless it looks for them in every batch, and warns if it looks
    for nothing.
    """
    parameters, restore = [value for value in model.parameters() if value.requires_grad], snapshot_buffers(model)
    shape = (MIN_ROWS * model.network.net.time_steps, *model.network.input_shape.tensor)
    outputs = model.layer_outputs(torch.zeros(shape, device=next(model.parameters()).device))
    total = torch.stack([outputs[index].sum() for index in layers if outputs[index].requires_grad]).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    restore()
    return any(gradient is None for gradient in gradients)
