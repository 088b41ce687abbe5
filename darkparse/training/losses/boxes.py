"""Overlap of boxes and Darknet's version of its derivative.

Boxes have the shape (…, 4): center x, center y, width, height.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor


def _hull(a: Tensor, b: Tensor) -> Tensor:
    """Return width and height of the smallest box around both (box.c box_c)."""
    high = torch.maximum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    return high - torch.minimum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)


def _intersection_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the areas of the intersection and of the union (box.c box_intersection, box_union)."""
    ax, ay, aw, ah = a.unbind(-1)
    bx, by, bw, bh = b.unbind(-1)
    width = torch.minimum(ax + aw / 2, bx + bw / 2) - torch.maximum(ax - aw / 2, bx - bw / 2)
    height = torch.minimum(ay + ah / 2, by + bh / 2) - torch.maximum(ay - ah / 2, by - bh / 2)
    intersection = width.clamp(min=0) * height.clamp(min=0)
    return intersection, aw * ah + bw * bh - intersection


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the intersection over union; 0 without an intersection (box.c box_iou)."""
    intersection, union = _intersection_union(a, b)
    return torch.where(intersection == 0, 0.0, intersection / union)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Compute IoU - (hull - union) / hull (box.c box_giou)."""
    hull = _hull(a, b).prod(-1)
    return iou(a, b) - torch.where(hull == 0, 0.0, (hull - _intersection_union(a, b)[1]) / hull)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance of the centers divided by the hull's squared diagonal."""
    diagonal = _hull(a, b).square().sum(-1)
    return torch.where(diagonal == 0, 0.0, (a[..., :2] - b[..., :2]).square().sum(-1) / diagonal)


def diou(a: Tensor, b: Tensor) -> Tensor:
    """Compute IoU - distance^0.6 (box.c box_diou)."""
    return iou(a, b) - _distance(a, b) ** 0.6


def ciou(a: Tensor, b: Tensor) -> Tensor:
    """Compute IoU - distance - α · difference of the aspect ratios (box.c box_ciou)."""
    overlap = iou(a, b)
    aspect = 4 / pi**2 * _angle_difference(a, b).square()
    return overlap - _distance(a, b) - aspect / (1 - overlap + aspect + 1e-6) * aspect


def _angle_difference(a: Tensor, b: Tensor) -> Tensor:
    return torch.atan(b[..., 2] / b[..., 3]) - torch.atan(a[..., 2] / a[..., 3])


IOU_FUNCTIONS = {"iou": iou, "giou": giou, "diou": diou, "ciou": ciou}


def overlap_delta(box: Tensor, truth: Tensor, kind: str) -> Tensor:
    """Compute Darknet's delta (k, 4) of x, y, w and h under an IoU loss (AlexeyAB box.c dx_box_iou).

    As in Darknet, it deviates from the derivative of the IoU: w and h get twice the derivative, the intersection of
    disjoint boxes is a product of two lengths that may both be negative, and some signs of the distance terms are
    wrong.

    Args:
        box: (k, 4), predicted boxes.
        truth: (k, 4), true boxes.
        kind: "iou", "giou", "diou" or "ciou".
    """
    low, high = box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2
    truth_low, truth_high = truth[:, :2] - truth[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2
    common = torch.minimum(high, truth_high) - torch.maximum(low, truth_low)
    hull = torch.maximum(high, truth_high) - torch.minimum(low, truth_low)
    size = high - low
    intersection = common.prod(1, keepdim=True)
    union = size.prod(1, keepdim=True) + (truth_high - truth_low).prod(1, keepdim=True) - intersection

    # Derivatives by the low and the high edge of each axis: an area changes by the length along the other axis.
    edges = []
    for sign, inner, outer in ((-1, low > truth_low, low < truth_low), (1, high < truth_high, high > truth_high)):
        d_intersection = torch.where(inner, sign * common.flip(1), 0.0)
        d_union = sign * size.flip(1) - d_intersection
        edge = torch.where(union > 0, (union * d_intersection - intersection * d_union) / (union * union), 0.0)
        if kind == "giou":
            area = hull.prod(1, keepdim=True)
            d_area = torch.where(outer, sign * hull.flip(1), 0.0)
            term = (area * d_union - union * d_area) / (area * area)
            edge = torch.where((common <= 0).any(1, keepdim=True), term, torch.where(area > 0, edge + term, edge))
        edges.append(edge)
    center, extent = edges[0] + edges[1], edges[1] - edges[0]
    if kind in ("diou", "ciou"):
        center, extent = _add_distance(center, extent, box, truth, common, hull, kind, intersection / union)
    return torch.cat((center, extent), 1)


def _add_distance(
    center: Tensor,
    extent: Tensor,
    box: Tensor,
    truth: Tensor,
    common: Tensor,
    hull: Tensor,
    kind: str,
    ratio: Tensor,
) -> tuple[Tensor, Tensor]:
    """Add the terms of DIoU and CIoU to the deltas of center and extent; they replace those of disjoint boxes."""
    low_out = box[:, :2] - box[:, 2:] / 2 < truth[:, :2] - truth[:, 2:] / 2
    high_out = box[:, :2] + box[:, 2:] / 2 > truth[:, :2] + truth[:, 2:] / 2
    offset = truth[:, :2] - box[:, :2]
    distance, diagonal = offset.square().sum(1, keepdim=True), hull.square().sum(1, keepdim=True)
    d_center = 2 * hull * (high_out.to(hull.dtype) - low_out.to(hull.dtype))
    d_extent = hull * (high_out.to(hull.dtype) + low_out.to(hull.dtype))
    center_term = (2 * offset * diagonal - d_center * distance) / (diagonal * diagonal)
    extent_term = d_extent * distance / (diagonal * diagonal)
    if kind == "ciou":
        angle = _angle_difference(box, truth)[:, None]
        aspect = 4 / pi**2 * angle.square()
        alpha = aspect / (1 - ratio + aspect + 1e-6)
        extent_term = extent_term + alpha * 8 / pi**2 * angle * torch.cat((box[:, 3:], -box[:, 2:3]), 1)
    is_apart = (common <= 0).any(1, keepdim=True)
    return torch.where(is_apart, center_term, center + center_term), torch.where(
        is_apart, extent_term, extent + extent_term
    )
