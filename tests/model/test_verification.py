"""Comparison of a module with its exported file, with functions in place of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

import darkparse
from darkparse.model.verification import MAX_TRIES, NUM_CERTAIN, compare_outputs
from darkparse.network.dynamic_axes import DynamicAxes

NETWORK = darkparse.compile("[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\n")
FIXED, DYNAMIC = DynamicAxes(batch=False), DynamicAxes(size=True)


def twice(x: Tensor) -> Sequence[Tensor]:
    return (2 * x, x[:, :1] - 3)


def changed(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Sequence[Tensor]]:
    """Return a function like `twice` with another second output."""
    return lambda x: (2 * x, change(x[:, :1] - 3))


@pytest.mark.parametrize(("axes", "runs"), [(FIXED, 2), (DynamicAxes(), 2), (DYNAMIC, 3)])
def test_compare_outputs_runs_every_input(axes: DynamicAxes, runs: int) -> None:
    shapes: list[tuple[int, ...]] = []

    def run(x: Tensor) -> Sequence[Tensor]:
        shapes.append(tuple(x.shape))
        return twice(x)

    result = compare_outputs(NETWORK, twice, run, axes, image=torch.ones(1, 3, 8, 8))
    assert (result.difference, result.runs) == (0, runs + 1)
    assert 2 < result.scale <= 3
    assert str(result) == f"largest difference from the module 0.0e+00 on {runs + 1} inputs"
    assert shapes[0][0] == (3 if axes.batch else 1)
    assert len({shape[2:] for shape in shapes}) == (2 if axes.size else 1)


@pytest.mark.parametrize(
    ("difference", "half", "accepted"),
    [(2e-3, False, True), (4e-3, False, False), (4e-3, True, True), (0.08, True, True), (0.1, True, False)],
)
def test_compare_outputs_bounds_the_difference_by_the_largest_value(
    difference: float, half: bool, accepted: bool
) -> None:
    """The largest value of the output is between 2 and 3."""
    run = changed(lambda x: x + difference)
    if not accepted:
        with pytest.raises(darkparse.DarkparseError, match=f"differs from the module by {difference:.2e}"):
            compare_outputs(NETWORK, twice, run, FIXED, half=half)
        return
    assert compare_outputs(NETWORK, twice, run, FIXED, half=half).difference == pytest.approx(difference, abs=1e-6)


def test_compare_outputs_of_other_number_raises() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compare_outputs(NETWORK, twice, lambda x: twice(x)[:1], FIXED)


def test_compare_outputs_of_other_shape_or_finite_values_raises() -> None:
    infinite = changed(lambda x: x / torch.zeros(()))
    assert compare_outputs(NETWORK, infinite, infinite, FIXED).runs == 2
    for actual, message in (
        (infinite, "64 of 64 values are finite in only one of them"),
        (changed(lambda x: x.flatten()), r"got \(64,\); expected \(1, 1, 8, 8\)"),
    ):
        with pytest.raises(darkparse.DarkparseError, match=message):
            compare_outputs(NETWORK, twice, actual, FIXED)
    with pytest.raises(ValueError, match="argument"):
        compare_outputs(NETWORK, twice, lambda x: (2 * x,), FIXED)


def test_compare_outputs_of_signs_skips_inputs_that_rounding_decides() -> None:
    """Only inputs on which single and double precision agree are compared, three of them."""
    seen: list[float] = []

    def exact(x: Tensor) -> Sequence[Tensor]:
        return twice(x + (len(seen) % 2)) if x.dtype == torch.double else twice(x)

    def module(x: Tensor) -> Sequence[Tensor]:
        seen.append(float(x.sum()))
        return twice(x)

    assert compare_outputs(NETWORK, module, twice, FIXED, exact=exact).runs == NUM_CERTAIN
    with pytest.raises(darkparse.DarkparseError, match="rounding decides the sign of a sum for every input tried"):
        compare_outputs(NETWORK, twice, twice, FIXED, exact=lambda x: twice(x + 1))
    tried: list[Tensor] = []
    with pytest.raises(darkparse.DarkparseError, match="rounding"):
        compare_outputs(NETWORK, lambda x: tried.append(x) or twice(x), twice, FIXED, exact=lambda x: twice(x + 1))  # type: ignore[func-returns-value]
    assert len(tried) == 2 + MAX_TRIES
