"""The check at the end of a conversion: the new file and the module on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from darkparse.export.tracing import Free, example, picture, step_of
from darkparse.syntax import DarkparseError

if TYPE_CHECKING:
    from darkparse.network import Network

# Rounding alone comes to 2e-4 in deep networks with random weights (yolov4-csp, module against itself in float64).
FLOAT_BOUND = 1e-3
HALF_BOUND = 3e-2
"""Largest difference accepted, as a part of the output's largest value (or of 1, where all are smaller)."""

Runner = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class Check:
    """What a conversion's check found."""

    difference: float
    """Largest difference of any value."""
    scale: float
    """Largest magnitude of any value, at least 1."""
    runs: int

    def __str__(self) -> str:
        runs = f"{self.runs} input{'s' if self.runs > 1 else ''}"
        return f"largest difference from the module {self.difference:.1e} on {runs}"


def inputs(network: Network, free: Free) -> Iterator[Tensor]:
    """A random batch, a smooth picture, and what else the free axes allow."""
    net = network.net
    yield example(network, 3 if free.batch else 1, seed=1)
    yield picture(network)
    if free.size:
        step = step_of(network)
        yield example(network, 1, (net.height + step, max(net.width - step, step)), seed=2)


def compare(
    network: Network, expected: Runner, found: Runner, free: Free, *, half: bool = False, real: Tensor | None = None
) -> Check:
    """Run both on the same inputs.

    Args:
        network: whose inputs to make.
        expected, found: the module, and what was made of it.
        free: the axes that may differ.
        half: whether the new one computes in float16, which is bounded less tightly.
        real: a picture (1, C, H, W) to compare on too.

    Raises:
        DarkparseError: an output's shape differs, or where it is finite, or a value by more than the bound.
    """
    part = HALF_BOUND if half else FLOAT_BOUND
    difference, scale, runs = 0.0, 1.0, 0
    for x in (*inputs(network, free), *([real] if real is not None else [])):
        with torch.no_grad():
            mine = expected(x)
        theirs = found(x)
        runs += 1
        for a, b in zip(mine, theirs, strict=True):
            apart, largest = _compared(a, b, part)
            difference, scale = max(difference, apart), max(scale, largest)
    return Check(difference, scale, runs)


def _compared(mine: Tensor, theirs: Tensor, part: float) -> tuple[float, float]:
    """Largest difference of an output from the module's, and the module's largest magnitude, of finite values."""
    if mine.shape != theirs.shape:
        raise DarkparseError(
            f"the exported file gives {tuple(theirs.shape)} where the module gives {tuple(mine.shape)}"
        )
    finite = mine.isfinite()
    odd = int((finite != theirs.isfinite()).sum())
    if odd:
        # A NaN is neither more nor less than any bound, so it must be looked for by itself.
        raise DarkparseError(
            f"{odd} of {finite.numel()} values are finite in the module or in the exported file alone; it was not kept"
        )
    apart, largest = (float(values.where(finite, 0).abs().max()) for values in (mine - theirs, mine))
    bound = part * max(largest, 1.0)
    if not apart <= bound:
        raise DarkparseError(
            f"the exported file differs from the module by {apart:.2e}, more than {bound:.1e}; it was not kept"
        )
    return apart, largest
