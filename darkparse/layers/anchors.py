"""What is odd about the anchors of a head."""

from __future__ import annotations

from darkparse.layers.base import LayerError

MAX_ANCHOR_IN_CELLS = 20
"""The largest grid of YOLOv2 has 19 cells; anchors with fractions that all lie below this are none in pixels."""


def check_anchors(
    anchors: tuple[float, ...], num: int, indices: tuple[int, ...], chosen_by: str
) -> tuple[LayerError, ...]:
    """What is odd about a list of anchors of which those at some indices are used."""
    count = len(anchors)
    if not anchors:
        message, option = "there are no anchors: Darknet goes on with 0.5×0.5 for every box", None
    elif count % 2:
        message, option = f"anchors= has {count} numbers, which make no pairs of width and height", "anchors"
    elif 2 * num < count:
        message = f"anchors= has {count} numbers, num={num} has room for {2 * num} of them: pjreddie's Darknet writes "
        message += "past its list (hank-ai's too), AlexeyAB's drops the rest"
        option = "anchors"
    elif count <= 2 * max(indices):
        first, last = min(indices), max(indices)
        names = f"anchor {last}" if first == last else f"anchors {first} to {last}"
        message = (
            f"{chosen_by}= names {names}, anchors= has {count // 2} pairs: Darknet goes on with 0.5×0.5 for the rest"
        )
        option = chosen_by
    else:
        return ()
    return (LayerError(message, option=option, code="anchors"),)


def get_anchor_pairs(anchors: tuple[float, ...], indices: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
    """Width and height of some anchors; .5 where the cfg has none (yolo_layer.c make_yolo_layer)."""
    sides = ((2 * i, 2 * i + 1) for i in indices)
    return tuple((anchors[w] if w < len(anchors) else 0.5, anchors[h] if h < len(anchors) else 0.5) for w, h in sides)
