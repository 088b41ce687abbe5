"""Memory for training, extrapolated to a mini-batch from steps with few images."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.network import Network
from darkparse.network.analysis.memory import compute_training_memory
from darkparse.network.training_schedule import check_batch_norm
from darkparse.training.distributed import SelectedOutputs
from darkparse.training.losses import Losses
from darkparse.training.optimizers import DarknetOptimizer
from darkparse.training.precision import Precision

Shape = tuple[int, int, int, int]
"""Rows, channels, height and width of a mini-batch; recurrent networks have `time_steps` rows per image."""

MIN_DIFFERENCE = 1 << 28
"""Bytes by which the two measured steps should differ: an allocator keeps or returns tens of millions of them."""
PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Linux: the file with the peak memory of the process, and the file that resets it."""
RESET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Peak memory of a training, extended from two measured steps.

    Attributes:
        fixed: Bytes that do not depend on the mini-batch: libraries, parameters, gradients, optimizer.
        per_image: Bytes of each image of a mini-batch.
        images: Images of a mini-batch.
        measured: Images of the two steps.
    """

    fixed: int
    per_image: int
    images: int
    measured: tuple[int, int]

    @property
    def peak(self) -> int:
        """Bytes of a step with a mini-batch."""
        return self.fixed + self.per_image * self.images


def measure_memory(
    outputs: SelectedOutputs, losses: Losses, optimizer: DarknetOptimizer, precision: Precision, shape: Shape
) -> MemoryEstimate | None:
    """Measure a training step with 1 image and one with 2, and extend the peaks to a mini-batch.

    Where an image takes too little to be measured, multiples of 1 and 2 images are used. The steps train on noise, so
    the model is of no use afterwards.

    Args:
        outputs: Network to train, in training mode.
        losses: Losses of the network.
        optimizer: Optimizer of the network.
        precision: Precision of the forward pass.
        shape: Largest mini-batch of the training.

    Returns:
        The estimate; None where the system does not report the peak memory of a process.

    Raises:
        DarkparseError: The steps do not fit into the memory of the device.
    """
    network, device = outputs.model.network, next(outputs.parameters()).device
    steps = network.net.time_steps
    images = shape[0] // steps
    few = _choose_images(network, images)
    peaks = []
    # The first step creates the state of the optimizer; the first step of each size leaves gaps in the heap.
    for count in (few, few, 2 * few, 2 * few):
        _reset_peak(device)
        _run_step(outputs, losses, optimizer, precision, (count * steps, *shape[1:]))
        peaks.append(_read_peak(device))
    _, first, _, second = peaks
    if first is None or second is None:
        return None
    per_image = max(0, second - first) // few
    return MemoryEstimate(first - few * per_image, per_image, images, (few, 2 * few))


def _choose_images(network: Network, images: int) -> int:
    """Return the number of images of the smaller step."""
    per_image = max(1, compute_training_memory(network).saved)
    few = max(1, min(images // 2, MIN_DIFFERENCE // per_image))
    try:
        check_batch_norm(network, images // few)
    except DarkparseError:  # batch norm of a single value has no variance
        return few + 1
    return few


def _run_step(
    outputs: SelectedOutputs, losses: Losses, optimizer: DarknetOptimizer, precision: Precision, shape: Shape
) -> None:
    """Train one step on noise with an object in each image."""
    network, device = outputs.model.network, next(outputs.parameters()).device
    try:
        with precision.autocast():
            values = outputs(torch.rand(shape, device=device))
        loss = losses(values, _make_truth(network, shape[0]), seen=shape[0])
        precision.scaler.scale(loss.total).backward()
        precision.scaler.step(optimizer)
        precision.scaler.update()
    except torch.OutOfMemoryError:
        raise _explain_shortage(shape, device) from None
    finally:
        optimizer.zero_grad()


def reserve_memory(outputs: SelectedOutputs, losses: Losses, precision: Precision, shape: Shape) -> None:
    """Run a mini-batch forward and backward, so that an allocator reserves memory for it.

    Raises:
        DarkparseError: There is not enough memory.
    """
    device = next(outputs.parameters()).device
    try:
        with precision.autocast():
            values = outputs(torch.zeros(shape, device=device))
        torch.stack([values[entry].float().sum() for entry in losses.entries.values()]).sum().backward()
    except torch.OutOfMemoryError:
        raise _explain_shortage(shape, device) from None


def _make_truth(network: Network, rows: int) -> list[Tensor] | Tensor:
    if network.heads:
        return [torch.tensor([[0.5, 0.5, 0.25, 0.25, 0.0]])] * rows
    truth = torch.zeros(rows, network.nodes[network.outputs[-1]].out_shape.size)
    truth[:, 0] = 1
    return truth


def _explain_shortage(shape: Shape, device: torch.device) -> DarkparseError:
    message = f"{shape[0]} images of {shape[3]}×{shape[2]} do not fit into the memory of {device}"
    return DarkparseError(f"{message}\nhint: increase subdivisions=")


def _reset_peak(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        PEAK[1].write_text(RESET_PEAK)


def _read_peak(device: torch.device) -> int | None:
    """Return the peak bytes since the last reset: of the GPU's tensors, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        lines = PEAK[0].read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return _read_peak_usage()


def _read_peak_usage() -> int | None:
    """Return the peak bytes of this process since its start, which rise from step to step."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
