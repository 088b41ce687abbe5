"""Export of a network with its weights to an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from darkparse.errors import DarkparseError, NoWeightsError
from darkparse.network import Network, compile
from darkparse.network.compile_options import CompileOptions
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.dynamic_axes import DynamicAxes, Heads, check_export_form
from darkparse.network.suppression import get_suppression
from darkparse.onnx.in_place import WeightsReference, check_directory
from darkparse.onnx.metadata import collect_metadata
from darkparse.onnx.model import NetworkGraph
from darkparse.onnx.parameters import get_module_arrays
from darkparse.onnx.serialization import OnnxModel, write_onnx
from darkparse.onnx.validate import check_structure
from darkparse.syntax import Config
from darkparse.weights.buffer import Arrays, FileBuffer, WeightsSource, open_source
from darkparse.weights.completion import complete_arrays
from darkparse.weights.fitting import compile_with_weights, read_weights
from darkparse.weights.header import Header

if TYPE_CHECKING:
    from torch import Tensor

    from darkparse.model import Darknet
    from darkparse.model.verification import CheckResult
    from darkparse.weights.arrays import LoadedArrays

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
    in_place: bool = False,
    threshold: float = DetectionSettings.threshold,
    nms: float = DetectionSettings.nms,
    classes: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    verify: bool = False,
    image: Tensor | None = None,
) -> CheckResult | None:
    """Export a network to an ONNX file. Only `verify` and modules require torch; `in_place` requires no numpy.

    A stateful layer has an additional input for its state, such as `layers.3.cell.state`, and an output with the same
    name and the suffix `.next`. Pass zeros in the first call.

    Args:
        model: Module in eval mode, with weights; or a compiled network or any argument of `compile`, with `weights`.
        path: Output file; weights of more than 2 GB are written to `<path>.data`.
        weights: Weights of the network: a file, or the result of `darkparse.weights.read`.
        heads: Output form. `raw`: one output per head, as in `model(x)`. `decoded`: one output `boxes`
            (N, B, 4 + classes) with center x, center y, width and height as fractions of the input, followed by the
            class scores. `yolov5`: one output `output0` (N, B, 5 + classes) with center x, center y, width and height
            in pixels of the input, objectness, and class probabilities without the objectness. `yolov8`: one output
            `output0` (N, 4 + classes, B) with the same four values, then objectness × probability. `nms`: one output
            `detections` (K, 7) with image, class, score, center x, center y, width and height. `features`: the maps
            that the heads read, such as `convolutional_81`, for compilers that take no other operators; the metadata
            describe the heads.
        dynamic_batch: Allow any batch size.
        dynamic_size: Allow any height and width that are multiples of the network's stride.
        opset: Opset version, one of `OPSETS`.
        half: Use float16 for weights and arithmetic; inputs and outputs stay float32.
        fold: Fold batch norm into the weights, in double precision, instead of writing it as an operator.
        in_place: Refer to the arrays of the `.weights` file `weights` instead of copying them. The graph must be
            written to the directory of that file. Batch norm is not folded.
        threshold: Scores less than or equal to it are dropped (`nms`).
        nms: Overlap above which the box with the lower score is removed, per class (`nms`).
        classes: Indices of the classes to detect (`nms`); None for all. Class indices in the output do not change.
        names: Class names, for the metadata.
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
        raise DarkparseError(f"opset must be {OPSETS[0]} to {OPSETS[-1]}, got {opset}")
    if in_place and half:
        raise DarkparseError("in_place requires half=False, because .weights files store float32; got half=True")
    source = _open(model, weights, in_place=in_place)
    network = source.network
    if source.weights is not None:
        check_directory(Path(path), source.weights)
    dynamic_axes = DynamicAxes(dynamic_batch, dynamic_size)
    check_export_form(network, heads, dynamic_axes)
    graph = NetworkGraph(
        network,
        source.arrays,
        dynamic_axes=dynamic_axes,
        half=half,
        fold=fold and source.reference is None,
        skips_heads=heads == "features",
    )
    if heads == "nms":
        suppression = get_suppression(network)
        if suppression.kind == "cornersnms":
            raise DarkparseError("nms_kind=cornersnms cannot be exported; use heads decoded")
        selected = None if classes is None else check_classes(network, classes)
        graph.add_nms_output(DetectionSettings.hierarchy, threshold, nms, suppression.exponent, selected)
    elif heads == "decoded":
        graph.add_decoded_output(DetectionSettings.hierarchy)
    elif heads in ("yolov5", "yolov8"):
        graph.add_yolo_output(heads, DetectionSettings.hierarchy)
    else:
        graph.add_raw_outputs()
    graph.graph.prune()
    metadata = collect_metadata(network, heads, threshold=threshold, nms=nms, names=names)
    reference = source.reference
    if reference is not None:
        metadata |= reference.to_metadata()
    onnx_model = OnnxModel(graph.graph, opset, metadata, reference.file if reference else None)
    with write_onnx(onnx_model, path) as file:
        check_structure(file.path, file.external_sizes)
        if not verify:
            return None
        from darkparse.onnx.check import check_onnx

        return check_onnx(
            source.get_module(),
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


@dataclass(frozen=True, eq=False)
class _Source:
    """Network with its arrays, and other data for the export."""

    network: Network
    arrays: Arrays
    get_module: Callable[[], Darknet]
    reference: WeightsReference | None = None
    """Reference to the weights file if `in_place` is set."""
    weights: Path | None = None
    """Path of that file."""


def _open(
    model: Darknet | Network | Config | str | os.PathLike[str],
    weights: WeightsSource | LoadedArrays | None,
    *,
    in_place: bool,
) -> _Source:
    if not isinstance(model, Network | Config | str | os.PathLike):
        if in_place:
            raise DarkparseError("in_place refers to a .weights file, got a module; expected a cfg and weights=")
        return _open_module(model)
    if in_place and isinstance(weights, str | os.PathLike | FileBuffer):
        file = open_source(weights)
        network = compile_with_weights(model, file, CompileOptions())
        if file.container is not None:
            WeightsReference.from_file(network, file, None)
        fitted = read_weights(file, network)
        arrays, header = complete_arrays(fitted.arrays, network), fitted.file.header
        return _open_in_place(network, arrays, file, header)
    loaded = _read(model, weights)
    if in_place:
        return _open_in_place(loaded.network, loaded.arrays, loaded.file, loaded.header)
    return _Source(loaded.network, loaded.arrays, lambda: _load(loaded.network, loaded))


def _open_in_place(network: Network, arrays: Arrays, file: FileBuffer, header: Header | None) -> _Source:
    reference = WeightsReference.from_file(network, file, header)
    return _Source(network, arrays, lambda: _load(network, file.path), reference, file.path)


def _open_module(model: Darknet) -> _Source:
    from darkparse.model.darknet import require_weights, unwrap_model

    module = require_weights(model, "exporting")
    if module.training:
        raise DarkparseError("cannot export a model in training mode; export model.eval()")
    return _Source(module.network, get_module_arrays(module), lambda: unwrap_model(model))


def _read(cfg: Network | Config | str | os.PathLike[str], weights: WeightsSource | LoadedArrays | None) -> LoadedArrays:
    from darkparse.weights.arrays import read

    loaded = read(cfg, weights)
    if loaded is None:
        raise NoWeightsError(f"{compile(cfg).name}: no weights to export; pass a weights file or a module")
    return loaded


def _load(network: Network, weights: LoadedArrays | Path | None) -> Darknet:
    from darkparse.model import load

    return load(network, weights)
