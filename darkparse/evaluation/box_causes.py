"""Causes that can be estimated from the boxes: anchors from ratios of sizes, scale_x_y from centers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from darkparse.evaluation.differences import Floats
from darkparse.layers.head import Head

SAME_ANCHOR = 0.01
"""Relative difference of sides up to which an anchor counts as equal to one of the cfg's."""


class BoxCause(NamedTuple):
    """Likely cause, and the values of one quantity of the boxes if it applies."""

    description: str
    values: Floats


def compute_ratios(ours: Floats, theirs: Floats) -> Floats:
    """Compute the median ratio of sizes (rows, columns, anchors, 2) for each anchor: (anchors, 2), NaN if unknown."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all values of an anchor are 0 or infinite
        ratios = theirs.astype(np.float64) / ours
        return np.nanmedian(np.where(np.isfinite(ratios), ratios, np.nan), axis=(0, 1)).astype(np.float32)


def estimate_anchors(head: Head, ours: Floats, theirs: Floats) -> BoxCause | None:
    """Estimate the anchors of the reference from its sizes (rows, columns, anchors, 2); None if the head has none."""
    ratios = compute_ratios(ours, theirs)
    if len(head.boxes) != len(ratios) or not np.isfinite(ratios).all():
        return None
    return BoxCause(_describe_anchors(head, ratios * np.array(head.boxes, np.float32)), ours * ratios)


def _describe_anchors(head: Head, anchors: Floats) -> str:
    description = f"other anchors ({_format_anchors(anchors)} instead of {_format_anchors(head.boxes)})"
    indices = _find_anchors(head.listed_anchors, anchors)
    if not indices:
        return description
    return f"mask={_format_mask(indices)} instead of {_format_mask(head.indices)}: {description}"


def _find_anchors(listed: Sequence[tuple[float, float]], anchors: Floats) -> list[int]:
    """Find the positions of anchors in a list; empty if the list does not contain all of them."""
    if not listed:
        return []
    distances = np.abs(anchors[:, None] / np.array(listed, np.float32) - 1).max(2)
    return [int(i) for i in distances.argmin(1)] if (distances.min(1) <= SAME_ANCHOR).all() else []


def estimate_scale(head: Head, ours: Floats, theirs: Floats) -> BoxCause | None:
    """Estimate the scale_x_y of the reference from its positions in cells; None for a head without that option."""
    scale = getattr(head, "scale_x_y", None)
    center, other_center = ours - 0.5, theirs - 0.5
    spread = float((center.astype(np.float64) ** 2).sum())
    if scale is None or not spread:
        return None
    ratio = float((center.astype(np.float64) * other_center).sum()) / spread
    other_scale = ratio * scale
    description = f"x and y with scale_x_y={other_scale:.3g} instead of {scale:g}"
    if scale != 1 and abs(other_scale - 1) < SAME_ANCHOR:
        description = f"x and y without scale_x_y={scale:g}"
    return BoxCause(description, center * ratio + 0.5)


def _format_anchors(anchors: Iterable[Sequence[float]] | Floats) -> str:
    return ", ".join(f"{width:.3g}×{height:.3g}" for width, height in anchors)


def _format_mask(indices: Iterable[int]) -> str:
    return ",".join(map(str, indices))
