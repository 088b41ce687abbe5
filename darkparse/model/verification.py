"""Compare an exported file with its module on the same inputs."""

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

# Rounding alone reaches 2e-4 in deep networks with random weights (yolov4-csp, module against itself in float64).
MAX_FLOAT_DIFFERENCE = 1e-3
MAX_HALF_DIFFERENCE = 3e-2
"""Maximum accepted difference, as a fraction of the largest magnitude of an output, or of 1 if that is smaller."""

MAX_TRIES, NUM_CERTAIN = 20, 3
"""Random inputs to try for networks that compute signs, and number of inputs to compare."""

Runner = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of comparing an exported file with its module."""

    difference: float
    """Largest absolute difference of any value."""
    scale: float
    """Largest magnitude of any value, at least 1."""
    runs: int

    def __str__(self) -> str:
        runs = f"{self.runs} input{'s' if self.runs > 1 else ''}"
        return f"largest difference from the module {self.difference:.1e} on {runs}"


def make_inputs(network: Network, dynamic_axes: DynamicAxes) -> Iterator[Tensor]:
    """Yield a random batch, a smooth image, and an input of another size if the size is dynamic."""
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
    """Run the module and its exported file on the same inputs and compare their outputs.

    Args:
        network: The network, from which inputs are made.
        expected: Runs the module.
        actual: Runs the exported file.
        dynamic_axes: The dynamic axes of the exported file.
        half: Whether the exported file computes in float16, which allows a larger difference.
        image: An image (1, C, H, W) to compare as well.
        exact: Runs the module in double precision, for a network that computes signs. Inputs on which rounding decides
            the sign of a sum near 0 cannot be compared; other inputs are tried instead.

    Returns:
        The largest difference and magnitude, and the number of inputs.

    Raises:
        DarkparseError: The shape of an output differs, a value is finite in only one of them or differs by more than
            the bound, or no input can be compared.
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
    """Yield single images of the inputs, then random ones, on which rounding does not decide a sign."""
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
            f"cannot verify the file of {network.name}: rounding decides the sign of a sum for every input tried\n"
            "hint: write it without verification by verify=False"
        )


def _compare_output(expected: Tensor, actual: Tensor, tolerance: float) -> tuple[float, float]:
    """Return the largest difference of an output and the largest magnitude of the module's, over finite values."""
    if expected.shape != actual.shape:
        raise DarkparseError(
            f"wrong output shape of the exported file, got {tuple(actual.shape)}; expected {tuple(expected.shape)}"
        )
    finite = expected.isfinite()
    num_mismatches = int((finite != actual.isfinite()).sum())
    if num_mismatches:
        # A NaN compares as false with any bound, so it needs a separate check.
        raise DarkparseError(
            f"the exported file differs from the module: {num_mismatches} of {finite.numel()} values are finite in "
            "only one of them; the file was deleted"
        )
    difference, largest = (float(values.where(finite, 0).abs().max()) for values in (expected - actual, expected))
    bound = tolerance * max(largest, 1.0)
    if not difference <= bound:
        raise DarkparseError(
            f"the exported file differs from the module by {difference:.2e}, more than {bound:.1e}; the file was "
            f"deleted"
        )
    return difference, largest
