"""Sliding windows of layers, from which receptive fields are computed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf

Step = Fraction | int


@dataclass(frozen=True, slots=True)
class Window:
    """Sliding window over a map; sizes and steps are (vertical, horizontal), in positions of that map."""

    size: tuple[float, float]
    """Height and width; infinite for the whole map."""
    step: tuple[Step, Step]
    """Distance between the windows of adjacent values; below 1 if several values share a window."""
    stagger: tuple[int, int] = (0, 0)
    """Number of positions by which values alternately lie before and after their regular positions."""


def make_square_window(size: float, step: Step = 1, step_x: Step | None = None) -> Window:
    """Return a square window; `step` applies to both axes unless `step_x` is given."""
    return Window((size, size), (step, step if step_x is None else step_x))


WHOLE_MAP = make_square_window(inf)
"""Window of unlimited size with a step of 1: the whole map around each value."""
