"""`to_onnx`: a network with its weights as an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from darkparse.errors import DarkparseError, NoWeightsError
from darkparse.network import Network, compile
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.dynamic_axes import DynamicAxes, Heads, check_export_form
from darkparse.network.suppression import get_suppression
from darkparse.onnx.model import NetworkGraph
from darkparse.onnx.parameters import get_module_arrays
from darkparse.onnx.serialization import OnnxModel, collect_metadata, write_onnx
from darkparse.onnx.validate import check_structure
from darkparse.syntax import Config
from darkparse.weights import LoadedArrays, WeightsSource, read
from darkparse.weights.buffer import Arrays

if TYPE_CHECKING:
    from torch import Tensor

    from darkparse.model import Darknet
    from darkparse.model.verification import CheckResult

OPSETS = range(18, 24)
"""Versions of the operators that can be asked for; what is written is the same in all of them."""


def to_onnx(
    model: Darknet | Network | Config | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    weights: WeightsSource | LoadedArrays | None = None,
    heads: Heads = "raw",
    dynamic_batch: bool = True,
    dynamic_size: bool = False,
    opset: int = OPSETS[0],
    half: bool = False,
    fold: bool = True,
    threshold: float = DetectionSettings.threshold,
    nms: float = DetectionSettings.nms,
    classes: Sequence[int] | None = None,
    verify: bool = False,
    image: Tensor | None = None,
) -> CheckResult | None:
    """Write a network as an ONNX file; torch is not needed but for `verify`.

    A layer with a memory takes its state as a further input, `layers.3.cell.state`, and gives it back as an output of
    that name with `.next` behind it; the first call gets zeros.

    Args:
        model: a module in eval mode, with weights; or what `compile` made or takes, together with `weights`.
        path: the file; weights of more than 2 GB go to `<path>.data` beside it.
        weights: the weights of a network, a file, or what `darkparse.weights.read` made of it.
        heads: `raw`: an output for each head, as `model(x)` gives them. `decoded`: one output `boxes`
            (N, B, 4 + classes), centre x, y, width and height as fractions of the input, then a score for each class.
            `nms`: one output `detections` (K, 7), a row for each: image, class, score, centre x, y, width, height.
        dynamic_batch: leave the number of pictures free.
        dynamic_size: leave height and width free, in steps of the network's stride.
        opset: version of the operators, one of `OPSETS`.
        half: weights and arithmetic in float16; inputs and outputs stay float32.
        fold: batch norm becomes part of the weights, in double precision; otherwise it stays an operator.
        threshold: scores up to it are no detections (`nms`).
        nms: overlap above which the lesser of two boxes of a class goes (`nms`).
        classes: numbers of the classes to detect (`nms`), by default all; they keep their numbers.
        verify: run the file in ONNX Runtime and compare it with the module.
        image: a picture (1, C, H, W) to compare on too.

    Returns:
        What the comparison found; None without one.

    Raises:
        NoWeightsError: the weights are missing.
        DarkparseError: the network cannot be exported so, its weights do not fit, a library is missing, or the file
            computes something else.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_onnx(model, "tiny.onnx", verify=True).difference < 1e-3
    True
    """
    if opset not in OPSETS:
        raise DarkparseError(f"opset must be {OPSETS[0]} to {OPSETS[-1]}, not {opset}")
    source = _read(model, weights) if isinstance(model, Network | Config | str | os.PathLike) else model
    network, arrays = _get_network_and_arrays(source)
    dynamic_axes = DynamicAxes(dynamic_batch, dynamic_size)
    check_export_form(network, heads, dynamic_axes)
    graph = NetworkGraph(network, arrays, dynamic_axes=dynamic_axes, half=half, fold=fold)
    if heads == "nms":
        suppression = get_suppression(network)
        if suppression.kind == "cornersnms":
            raise DarkparseError("nms_kind=cornersnms has no graph: export the decoded boxes instead (heads decoded)")
        selected = None if classes is None else check_classes(network, classes)
        graph.add_nms_output(DetectionSettings.hierarchy, threshold, nms, suppression.exponent, selected)
    else:
        graph.add_decoded_output(DetectionSettings.hierarchy) if heads == "decoded" else graph.add_raw_outputs()
    metadata = collect_metadata(network, heads, threshold=threshold, nms=nms)
    with write_onnx(OnnxModel(graph.graph, opset, metadata), path) as file:
        check_structure(file.path, file.data)
        if not verify:
            return None
        from darkparse.onnx.check import check_onnx

        return check_onnx(
            _get_module(source),
            file,
            heads=heads,
            dynamic_axes=dynamic_axes,
            half=half,
            threshold=threshold,
            image=image,
        )


def check_classes(network: Network, classes: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of classes in ascending order. Raises DarkparseError for an unknown class."""
    count = getattr(network.nodes[network.heads[0]].layer, "classes", 0)
    for number in classes:
        if not 0 <= number < count:
            raise DarkparseError(f"unknown class {number}; expected a number from 0 to {count - 1}")
    if not classes:
        raise DarkparseError("classes must name at least one class, got none")
    return tuple(sorted(set(classes)))


def _read(cfg: Network | Config | str | os.PathLike[str], weights: WeightsSource | LoadedArrays | None) -> LoadedArrays:
    loaded = read(cfg, weights)
    if loaded is None:
        raise NoWeightsError(f"{compile(cfg).name}: a network is exported with its weights, and there are none")
    return loaded


def _get_network_and_arrays(model: Darknet | LoadedArrays) -> tuple[Network, Arrays]:
    if isinstance(model, LoadedArrays):
        return model.network, model.arrays
    from darkparse.model.darknet import require_weights

    module = require_weights(model, "exporting")
    if module.training:
        raise DarkparseError("the model is in training mode: export model.eval()")
    return module.network, get_module_arrays(module)


def _get_module(model: Darknet | LoadedArrays) -> Darknet:
    from darkparse.model import load
    from darkparse.model.darknet import unwrap_model

    return load(model.network, model) if isinstance(model, LoadedArrays) else unwrap_model(model)
