"""One training in several processes, each with its share of every batch, by torch's DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from darkparse.model.darknet import Darknet
from darkparse.model.loading import check_device


class SelectedOutputs(nn.Module):
    """A network whose forward gives the outputs of some layers, in a list of all: the others' place is empty."""

    def __init__(self, model: Darknet, layers: set[int]) -> None:
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, x: Tensor) -> list[Tensor | None]:
        """Run (N, C, H, W)."""
        return [out if index in self.layers else None for index, out in enumerate(self.model.layer_outputs(x))]


class Parallel:
    """The processes of a run, or this one alone.

    Each computes the gradients of its share of a batch, which are summed up: as one process does with so many times the
    `subdivisions`. Each batch norm sees its own share; its rolling statistics are averaged after every batch.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        outputs: the network to run.
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
                self.outputs, broadcast_buffers=False, find_unused_parameters=True
            )

    @contextmanager
    def mini_batch(self, *, is_last: bool) -> Iterator[None]:
        """Around forward and backward: gradients are exchanged with the last mini-batch."""
        if isinstance(self.outputs, nn.parallel.DistributedDataParallel) and not is_last:
            with self.outputs.no_sync():
                yield
        else:
            yield

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if not self._is_single:
            distributed.all_reduce(values)
        return values

    def any(self, value: bool) -> bool:
        """Whether it is so in any process."""
        return bool(self.sum(torch.tensor(float(value), device=self._device)).item()) if not self._is_single else value

    def average_statistics(self) -> None:
        """Give all the mean of their rolling statistics."""
        for buffer in () if self._is_single else self._statistics:
            distributed.all_reduce(buffer)
            buffer /= self.size


def get_device(name: str | None) -> torch.device:
    """Return a device by its name, or the best there is; of several GPUs that of this process.

    Raises:
        DarkparseError: torch cannot compute on a device of that name.
    """
    if name is not None:
        check_device(name)
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
