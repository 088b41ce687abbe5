"""The check at the end of a conversion: the new file and the module on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.model.tracing import check_image, example
from darkparse.network.dynamic_axes import DynamicAxes, compute_size_step

if TYPE_CHECKING:
    from darkparse.network import Network

# Rounding alone comes to 2e-4 in deep networks with random weights (yolov4-csp, module against itself in float64).
FLOAT_BOUND = 1e-3
HALF_BOUND = 3e-2
"""Largest difference accepted, as a part of the output's largest value (or of 1, where all are smaller)."""

TRIES, ENOUGH = 20, 3
"""Random inputs to try where signs are taken, and how many to compare on."""

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


def inputs(network: Network, free: DynamicAxes) -> Iterator[Tensor]:
    """A random batch, a smooth picture, and what else the free axes allow."""
    net = network.net
    yield example(network, 3 if free.batch else 1, seed=1)
    yield check_image(network)
    if free.size:
        step = compute_size_step(network)
        yield example(network, 1, (net.height + step, max(net.width - step, step)), seed=2)


def compare_outputs(
    network: Network,
    expected: Runner,
    found: Runner,
    free: DynamicAxes,
    *,
    half: bool = False,
    real: Tensor | None = None,
    exact: Runner | None = None,
) -> Check:
    """Run both on the same inputs.

    Args:
        network: whose inputs to make.
        expected, found: the module, and what was made of it.
        free: the axes that may differ.
        half: whether the new one computes in float16, which is bounded less tightly.
        real: a picture (1, C, H, W) to compare on too.
        exact: the module in double precision, of a network that takes signs: where a sum is so near 0 that rounding
            decides its sign, there is nothing to compare, and other inputs are tried.

    Raises:
        DarkparseError: an output's shape differs, or where it is finite, or a value by more than the bound.
    """
    part = HALF_BOUND if half else FLOAT_BOUND
    difference, scale, runs = 0.0, 1.0, 0
    given = (*inputs(network, free), *([real] if real is not None else []))
    for x in given if exact is None else _certain(network, expected, exact, given, part):
        with torch.no_grad():
            mine = expected(x)
        theirs = found(x)
        runs += 1
        for a, b in zip(mine, theirs, strict=True):
            apart, largest = _compared(a, b, part)
            difference, scale = max(difference, apart), max(scale, largest)
    return Check(difference, scale, runs)


def _certain(network: Network, module: Runner, exact: Runner, given: Iterable[Tensor], part: float) -> Iterator[Tensor]:
    """The inputs on which rounding decides no sign, single pictures of them and random ones."""
    tried = 0
    for x in (
        *(image for batch in given for image in batch.split(1)),
        *(example(network, 1, seed=n) for n in range(TRIES)),
    ):
        with torch.no_grad():
            pairs = list(zip(module(x), exact(x.double()), strict=True))
        if all(float((a - b).abs().max()) <= part * max(float(a.abs().max()), 1.0) / 3 for a, b in pairs):
            tried += 1
            yield x
        if tried == ENOUGH:
            return
    if not tried:
        raise DarkparseError(
            f"{network.name} takes signs of sums that are nearly 0 on every input tried, so that its file cannot be "
            "compared with it (verify=False writes it unseen)"
        )


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
