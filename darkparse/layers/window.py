"""The windows through which a layer's values see its input."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf

Step = Fraction | int


@dataclass(frozen=True, slots=True)
class Window:
    """A window that slides over a map; sizes and steps are downwards and to the right, in positions of that map."""

    size: tuple[float, float]
    """Infinite for all there is."""
    step: tuple[Step, Step]
    """From one value's window to the next; below 1 where several values share one."""
    stagger: tuple[int, int] = (0, 0)
    """By how many positions values stand in turns before and behind their places."""


def make_square_window(size: float, step: Step = 1, step_x: Step | None = None) -> Window:
    """A window as high as wide, with one step for both ways unless there are two."""
    return Window((size, size), (step, step if step_x is None else step_x))


WHOLE_MAP = make_square_window(inf)
"""All of the map, from where each value stands."""
