"""Result of a head's loss."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class HeadResult(NamedTuple):
    """Delta and cost of a head, and what Darknet prints about its objects."""

    delta: Tensor
    """Delta at the head's input, in the input's shape and memory order."""
    cost: Tensor
    """Cost that Darknet reports."""
    overlaps: Tensor | None = None
    """(k,), IoU of each predictor that is assigned a true box with that box; None for a head without boxes."""
    objectness: Tensor | None = None
    """Highest objectness of any predictor; None for a head without boxes."""
