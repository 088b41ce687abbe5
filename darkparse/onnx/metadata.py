"""Metadata of an ONNX file, with which a program can fill its input and read its outputs without the cfg."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction

from darkparse.network import Network
from darkparse.network.dynamic_axes import Heads
from darkparse.network.image_input import default_resize


def collect_metadata(
    network: Network, heads: Heads, *, threshold: float, nms: float, names: Sequence[str] | None = None
) -> dict[str, str]:
    """Collect the metadata; lists and numbers are JSON, lists have one item per head.

    Args:
        network: Compiled network.
        heads: Form of the outputs.
        threshold: Minimum score (`nms`).
        nms: NMS IoU threshold (`nms`).
        names: Class names.
    """
    layers = [network.nodes[i].layer for i in network.heads]
    metadata = {
        "name": network.name,
        "cfg": network.cfg_text.encode("utf-8", "replace").decode(),
        "dialect": network.dialect.name,
        "heads": heads,
        "classes": str(max((getattr(layer, "classes", 0) for layer in layers), default=0)),
        "anchors": json.dumps([[list(box) for box in getattr(layer, "boxes", ())] for layer in layers]),
        "strides": json.dumps([_to_number(stride[0]) if (stride := network.strides[i]) else 0 for i in network.heads]),
        "new_coords": json.dumps([bool(getattr(layer, "new_coords", False)) for layer in layers]),
        "scale_x_y": json.dumps([getattr(layer, "scale_x_y", 1.0) for layer in layers]),
        **_describe_input(network),
    }
    if names is not None:
        metadata["names"] = json.dumps(list(names), ensure_ascii=False)
    return metadata | ({"threshold": str(threshold), "nms": str(nms)} if heads == "nms" else {})


def _describe_input(network: Network) -> dict[str, str]:
    net = network.net
    if not net.has_image:
        return {"input": "vector"}
    colors = "rgb" if net.channels == 3 else f"{net.channels} channels"
    return {
        "input": f"{colors} 0..1 nchw",
        "size": json.dumps([net.height, net.width]),
        "resize": default_resize(network, classifies=not network.heads),
        "fill": "0.5",
    }


def _to_number(stride: Fraction) -> int | float:
    return stride.numerator if stride.denominator == 1 else float(stride)
