"""The check at the end of a conversion: the new file and the module on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.model.tracing import make_example_input, make_smooth_image
from darkparse.network.dynamic_axes import DynamicAxes, compute_size_step

if TYPE_CHECKING:
    from darkparse.network import Network

# Rounding alone comes to 2e-4 in deep networks with random weights (yolov4-csp, module against itself in float64).
MAX_FLOAT_DIFFERENCE = 1e-3
MAX_HALF_DIFFERENCE = 3e-2
"""Largest difference accepted, as a part of the output's largest value (or of 1, where all are smaller)."""

MAX_TRIES, NUM_CERTAIN = 20, 3
"""Random inputs to try where signs are taken, and how many to compare on."""

Runner = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a conversion's check found."""

    difference: float
    """Largest difference of any value."""
    scale: float
    """Largest magnitude of any value, at least 1."""
    runs: int

    def __str__(self) -> str:
        runs = f"{self.runs} input{'s' if self.runs > 1 else ''}"
        return f"largest difference from the module {self.difference:.1e} on {runs}"


def make_inputs(network: Network, dynamic_axes: DynamicAxes) -> Iterator[Tensor]:
    """A random batch, a smooth picture, and what else the free axes allow."""
    net = network.net
    yield make_example_input(network, 3 if dynamic_axes.batch else 1, seed=1)
    yield make_smooth_image(network)
    if dynamic_axes.size:
        step = compute_size_step(network)
        yield make_example_input(network, 1, (net.height + step, max(net.width - step, step)), seed=2)


def compare_outputs(
    network: Network,
    expected: Runner,
    actual: Runner,
    dynamic_axes: DynamicAxes,
    *,
    half: bool = False,
    image: Tensor | None = None,
    exact: Runner | None = None,
) -> CheckResult:
    """Run both on the same inputs.

    Args:
        network: whose inputs to make.
        expected, actual: the module, and what was made of it.
        dynamic_axes: the axes that may differ.
        half: whether the new one computes in float16, which is bounded less tightly.
        image: a picture (1, C, H, W) to compare on too.
        exact: the module in double precision, of a network that takes signs: where a sum is so near 0 that rounding
            decides its sign, there is nothing to compare, and other inputs are tried.

    Raises:
        DarkparseError: an output's shape differs, or where it is finite, or a value by more than the bound.
    """
    tolerance = MAX_HALF_DIFFERENCE if half else MAX_FLOAT_DIFFERENCE
    difference, scale, runs = 0.0, 1.0, 0
    check_inputs = (*make_inputs(network, dynamic_axes), *([image] if image is not None else []))
    for x in check_inputs if exact is None else _select_certain(network, expected, exact, check_inputs, tolerance):
        with torch.no_grad():
            expected_outputs = expected(x)
        actual_outputs = actual(x)
        runs += 1
        for a, b in zip(expected_outputs, actual_outputs, strict=True):
            output_difference, largest = _compare_output(a, b, tolerance)
            difference, scale = max(difference, output_difference), max(scale, largest)
    return CheckResult(difference, scale, runs)


def _select_certain(
    network: Network, module: Runner, exact: Runner, check_inputs: Iterable[Tensor], tolerance: float
) -> Iterator[Tensor]:
    """The inputs on which rounding decides no sign, single pictures of them and random ones."""
    count = 0
    for x in (
        *(image for batch in check_inputs for image in batch.split(1)),
        *(make_example_input(network, 1, seed=n) for n in range(MAX_TRIES)),
    ):
        with torch.no_grad():
            pairs = list(zip(module(x), exact(x.double()), strict=True))
        if all(float((a - b).abs().max()) <= tolerance * max(float(a.abs().max()), 1.0) / 3 for a, b in pairs):
            count += 1
            yield x
        if count == NUM_CERTAIN:
            return
    if not count:
        raise DarkparseError(
            f"{network.name} takes signs of sums that are nearly 0 on every input tried, so that its file cannot be "
            "compared with it (verify=False writes it unseen)"
        )


def _compare_output(expected: Tensor, actual: Tensor, tolerance: float) -> tuple[float, float]:
    """Largest difference of an output from the module's, and the module's largest magnitude, of finite values."""
    if expected.shape != actual.shape:
        raise DarkparseError(
            f"the exported file gives {tuple(actual.shape)} where the module gives {tuple(expected.shape)}"
        )
    finite = expected.isfinite()
    num_mismatches = int((finite != actual.isfinite()).sum())
    if num_mismatches:
        # A NaN is neither more nor less than any bound, so it must be looked for by itself.
        raise DarkparseError(
            f"{num_mismatches} of {finite.numel()} values are finite in the module or in the exported file alone; "
            "it was not kept"
        )
    difference, largest = (float(values.where(finite, 0).abs().max()) for values in (expected - actual, expected))
    bound = tolerance * max(largest, 1.0)
    if not difference <= bound:
        raise DarkparseError(
            f"the exported file differs from the module by {difference:.2e}, more than {bound:.1e}; it was not kept"
        )
    return difference, largest
