"""Dynamic axes and outputs of an exported file, and the check that a network supports them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from darkparse._utils.text import join_with_and
from darkparse.errors import DarkparseError
from darkparse.network import Network
from darkparse.network.heads import get_head

Heads = Literal["raw", "decoded", "yolov5", "yolov8", "nms", "features"]
HEAD_FORMS: tuple[Heads, ...] = get_args(Heads)
"""Outputs of an exported file: the module's raw output, decoded boxes with scores, the same in the layout of YOLOv5 or
YOLOv8, detections after NMS, or the maps before the heads."""


@dataclass(frozen=True, slots=True)
class DynamicAxes:
    """Axes of the input that may differ between runs; `size` is height and width."""

    batch: bool = True
    size: bool = False


def check_export_form(network: Network, heads: Heads, dynamic: DynamicAxes) -> None:
    """Check that a network supports a form of export.

    Raises:
        DarkparseError: `heads` is invalid, the network has no head to decode, its heads differ in their number of
            classes, or its input size must be fixed.
    """
    if heads not in HEAD_FORMS:
        raise DarkparseError(f"heads must be one of {', '.join(HEAD_FORMS)}, got {heads!r}")
    if heads != "raw" and not network.heads:
        raise DarkparseError(f"{network.name} has no detection head to decode; expected heads raw, got {heads}")
    counts = [str(count) for count in sorted({get_head(network.nodes[i]).classes for i in network.heads})]
    if heads not in ("raw", "features") and len(counts) > 1:
        raise DarkparseError(
            f"{network.name}: the heads have different numbers of classes, got {join_with_and(counts)}; expected "
            f"one number for heads {heads}\nhint: export each head as a separate output: --heads raw"
        )
    read_heads = [index for index in network.heads if any(index in node.inputs for node in network.nodes)]
    if heads == "features" and read_heads:
        raise DarkparseError(
            f"{network.name}: layer {read_heads[0]} is a head that other layers read; expected heads at the end for "
            "heads features"
        )
    if heads in ("yolov5", "yolov8"):
        _check_yolo_form(network, heads)
    if not dynamic.size:
        return
    if not network.net.has_image:
        raise DarkparseError(f"{network.name} takes a vector, so height and width cannot be dynamic")
    for node in network.nodes:
        before = node.in_shapes[0] if node.in_shapes else None
        fixed = node.layer.is_size_bound or node.layer.has_state
        if fixed and before is not None and before.area > 1:
            raise DarkparseError(
                f"layer {node.index} [{node.kind}] requires a fixed input size, so height and width cannot be dynamic"
            )


def _check_yolo_form(network: Network, heads: Heads) -> None:
    if not network.net.has_image:
        raise DarkparseError(f"{network.name} takes a vector; expected an image for heads {heads}, which are in pixels")
    for node in (network.nodes[i] for i in network.heads):
        if heads == "yolov5" and not get_head(node).has_objectness:
            raise DarkparseError(
                f"{node.section.span}: layer {node.index} [{node.kind}] has no objectness; expected a head with "
                "objectness for heads yolov5\nhint: export the scores alone: --heads yolov8"
            )


def compute_size_step(network: Network) -> int:
    """Compute the step of a dynamic height and width: the LCM of all strides that divide the cfg's size."""
    strides = {s.numerator for pair in network.strides if pair for s in pair}
    return math.lcm(*(s for s in strides if network.net.height % s == 0 and network.net.width % s == 0))
