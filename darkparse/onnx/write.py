"""Export of a network with its weights to an ONNX file."""

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
"""Supported opset versions; the operators used are the same in all of them."""


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
    """Export a network to an ONNX file. Only `verify` and modules require torch.

    A stateful layer has an additional input for its state, such as `layers.3.cell.state`, and an output with the same
    name and the suffix `.next`. Pass zeros in the first call.

    Args:
        model: Module in eval mode, with weights; or a compiled network or any argument of `compile`, with `weights`.
        path: Output file; weights of more than 2 GB are written to `<path>.data`.
        weights: Weights of the network: a file, or the result of `darkparse.weights.read`.
        heads: Output form. `raw`: one output per head, as in `model(x)`. `decoded`: one output `boxes`
            (N, B, 4 + classes) with center x, center y, width and height as fractions of the input, followed by the
            class scores. `nms`: one output `detections` (K, 7) with image, class, score, center x, center y, width and
            height.
        dynamic_batch: Allow any batch size.
        dynamic_size: Allow any height and width that are multiples of the network's stride.
        opset: Opset version, one of `OPSETS`.
        half: Use float16 for weights and arithmetic; inputs and outputs stay float32.
        fold: Fold batch norm into the weights, in double precision, instead of writing it as an operator.
        threshold: Scores less than or equal to it are dropped (`nms`).
        nms: Overlap above which the box with the lower score is removed, per class (`nms`).
        classes: Indices of the classes to detect (`nms`); None for all. Class indices in the output do not change.
        verify: Run the file in ONNX Runtime and compare its outputs with those of the module.
        image: Additional input (1, C, H, W) for verification.

    Returns:
        The result of the comparison; None with `verify=False`.

    Raises:
        NoWeightsError: The weights are missing.
        DarkparseError: The network cannot be exported in this form, its weights do not fit, a library is missing, or
            the outputs of the file differ.

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
    """Return unique class indices in ascending order.

    Raises:
        DarkparseError: A class is unknown, or there are no classes.
    """
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
