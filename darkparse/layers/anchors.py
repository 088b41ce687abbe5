"""Checks and conversion of a head's anchors."""

from __future__ import annotations

from darkparse.layers.base import LayerError

MAX_ANCHOR_IN_CELLS = 20
"""Anchors with fractions, all below this value, are in cells rather than pixels: YOLOv2's largest grid has 19 cells."""


def check_anchors(
    anchors: tuple[float, ...], num: int, indices: tuple[int, ...], chosen_by: str
) -> tuple[LayerError, ...]:
    """Return a warning if a list of anchors is empty, incomplete or too long.

    Args:
        anchors: Widths and heights in turn, as in the cfg.
        num: Value of `num=`, the number of anchors that Darknet allocates.
        indices: Positions of the anchors in use.
        chosen_by: Option that selects these positions.
    """
    count = len(anchors)
    if not anchors:
        message, option = "head without anchors=: Darknet uses 0.5×0.5 for every box", None
    elif count % 2:
        message, option = (
            f"odd number of values in anchors=, got {count}; expected pairs of width and height",
            "anchors",
        )
    elif 2 * num < count:
        message = (
            f"too many values in anchors=, got {count}; expected at most {2 * num} for num={num} (pjreddie/darknet "
        )
        message += "and hank-ai/darknet write past their array, AlexeyAB/darknet ignores the rest)"
        option = "anchors"
    elif count <= 2 * max(indices):
        first, last = min(indices), max(indices)
        names = f"anchor {last}" if first == last else f"anchors {first} to {last}"
        message = (
            f"{chosen_by}= selects {names}, but anchors= has {count // 2} pairs: Darknet uses 0.5×0.5 for the rest"
        )
        option = chosen_by
    else:
        return ()
    return (LayerError(message, option=option, code="anchors"),)


def get_anchor_pairs(anchors: tuple[float, ...], indices: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """Return (width, height) of each selected anchor; missing values are 0.5 (yolo_layer.c make_yolo_layer)."""
    sides = ((2 * i, 2 * i + 1) for i in indices)
    return tuple((anchors[w] if w < len(anchors) else 0.5, anchors[h] if h < len(anchors) else 0.5) for w, h in sides)
