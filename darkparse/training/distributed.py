"""Training in several processes, each with its share of every batch (torch's DistributedDataParallel)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from darkparse.model.darknet import Darknet


class SelectedOutputs(nn.Module):
    """Module that returns the outputs of selected layers, in a list with None for the others."""

    def __init__(self, model: Darknet, layers: set[int]) -> None:
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, x: Tensor) -> list[Tensor | None]:
        """Run the network on images (N, C, H, W)."""
        return [out if index in self.layers else None for index, out in enumerate(self.model.layer_outputs(x))]


class Parallel:
    """The processes of a training run, possibly only this one.

    Each process computes the gradients of its share of a batch, and the sum is used: the result equals that of one
    process with `size` times the `subdivisions`. Batch norm normalizes each share separately; its rolling statistics
    are averaged after every batch.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        outputs: Module to run.
    """

    def __init__(self, model: Darknet, layers: set[int]) -> None:
        self._is_single = not (distributed.is_available() and distributed.is_initialized())
        self.rank = 0 if self._is_single else distributed.get_rank()
        self.size = 1 if self._is_single else distributed.get_world_size()
        self._device = next(model.parameters()).device
        self.outputs: nn.Module = SelectedOutputs(model, layers)
        self._statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        if not self._is_single:
            self.outputs = nn.parallel.DistributedDataParallel(
                self.outputs, forward_sync_buffers=False, find_unused_parameters=True
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
