"""A module as ONNX, by torch's exporter, with names that tell the Darknet layer."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from darkparse._version import __version__
from darkparse.detect.settings import DetectionSettings
from darkparse.export.suppression import append_suppression
from darkparse.export.tracing import Exported, Free, Heads, prepare, trace
from darkparse.export.verification import Check, compare
from darkparse.files import unfinished
from darkparse.syntax import DarkparseError

if TYPE_CHECKING:
    from darkparse.model import Darknet
    from darkparse.network import Network

OPSET = 18
"""Version of the operators that torch's exporter writes: the lowest, and the default."""
LARGEST_FILE = 2**31 - 2**24
"""Bytes of weights that one ONNX file can hold besides the graph; more go to a file beside it."""


def to_onnx(
    model: Darknet,
    path: str | os.PathLike[str],
    *,
    heads: Heads = "raw",
    dynamic_batch: bool = True,
    dynamic_size: bool = False,
    opset: int = OPSET,
    half: bool = False,
    threshold: float = DetectionSettings.threshold,
    nms: float = DetectionSettings.nms,
    verify: bool = True,
    image: Tensor | None = None,
) -> Check | None:
    """Write a module as an ONNX file.

    Args:
        model: in eval mode, with weights.
        path: the file; weights of more than 2 GB go to `<path>.data` beside it.
        heads: `raw`: an output for each head, as `model(x)` gives them. `decoded`: one output `boxes`
            (N, B, 4 + classes), centre x, y, width and height as fractions of the input, then a score for each class.
            `nms`: one output `detections` (K, 7), a row for each: image, class, score, centre x, y, width, height.
        dynamic_batch: leave the number of pictures free.
        dynamic_size: leave height and width free, in steps of the network's stride.
        opset: version of the operators, `OPSET` or higher.
        half: weights and arithmetic in float16; inputs and outputs stay float32.
        threshold: scores up to it are no detections (`nms`).
        nms: overlap above which the lesser of two boxes of a class goes (`nms`).
        verify: run the file in ONNX Runtime and compare it with the module.
        image: a picture (1, C, H, W) to compare on too.

    Returns:
        What the check found; None without one, or where ONNX Runtime is not installed.

    Raises:
        NoWeightsError: the module has no weights yet.
        DarkparseError: the network cannot be exported so, a library is missing, or the file computes something else.

    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> darkparse.to_onnx(model, "tiny.onnx", heads="decoded").difference < 1e-3
    True
    """
    _check_libraries(opset)
    free = Free(dynamic_batch, dynamic_size)
    exported = prepare(model, heads, free=free, half=half, threshold=threshold)
    with unfinished(path) as partial:
        proto = _exported(exported, model.network, free, opset)
        if heads == "nms":
            append_suppression(proto, model.network, threshold=threshold, overlap=nms)
        _describe(proto, model.network, heads, threshold=threshold, nms=nms)
        with _saved(proto, partial, Path(os.path.realpath(path))):
            if not verify:
                return None
            return check_onnx(model, partial, heads=heads, free=free, half=half, threshold=threshold, image=image)


def _check_libraries(opset: int) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as problem:
        raise DarkparseError(f"{problem.name} is not installed: pip install 'darkparse[onnx]'") from None
    newest = onnx.defs.onnx_opset_version()
    if not OPSET <= opset <= newest:
        raise DarkparseError(
            f"opset must be {OPSET} to {newest}, the newest that the onnx installed here knows, not {opset}"
        )


def output_names(network: Network, heads: Heads) -> list[str]:
    """`yolo_82` for the output of layer 82; `boxes` and `scores` or `detections` where heads are decoded."""
    if heads == "decoded":
        return ["boxes"]
    if heads == "nms":
        return ["boxes", "scores"]
    return [f"{network.nodes[i].kind.lower()}_{i}" for i in network.outputs]


def _exported(exported: Exported, network: Network, free: Free, opset: int) -> Any:
    program = trace(exported, network, free)
    names = output_names(network, exported.heads)
    with _quiet():
        try:
            made = torch.onnx.export(
                program, (), dynamo=True, input_names=["image"], output_names=names, opset_version=opset, verbose=False
            )
        except Exception as problem:
            raise DarkparseError(
                f"{network.name} cannot be exported to ONNX: {str(problem).strip().partition(chr(10))[0]}"
            ) from problem
    assert made is not None
    proto = made.model_proto
    version = next(item.version for item in proto.opset_import if item.domain in ("", "ai.onnx"))
    if version != opset:
        raise DarkparseError(f"torch's exporter writes opset {version} and cannot convert this network to {opset}")
    _name_nodes(proto, network)
    _name_axes(proto, free)
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes: what matters in them is in the error that it raises, or in the file."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _name_nodes(proto: Any, network: Network) -> None:
    """`L12_convolutional/Conv`, numbered where a layer has several of one operator;
    no trace of this machine's files."""
    taken: dict[str, int] = {}
    for node in proto.graph.node:
        scopes = next((item.value for item in node.metadata_props if item.key == "pkg.torch.onnx.name_scopes"), "")
        match = re.search(r"layers\.(\d+)", scopes)
        owner = f"L{match[1]}_{network.nodes[int(match[1])].kind.lower()}" if match else "heads"
        name = f"{owner}/{node.op_type}"
        taken[name] = taken.get(name, 0) + 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"
    for thing in (
        proto,
        proto.graph,
        *proto.graph.node,
        *proto.graph.input,
        *proto.graph.output,
        *proto.graph.value_info,
    ):
        del thing.metadata_props[:]
        thing.doc_string = ""
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    del proto.graph.value_info[:]


def _name_axes(proto: Any, free: Free) -> None:
    """`batch`, `height` and `width` for the free axes of the input."""
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    names = {0: "batch"} if free.batch else {}
    if free.size:
        names |= {2: "height", 3: "width"}
    known = {}
    for axis, name in names.items():
        known[dims[axis].dim_param] = name
        dims[axis].dim_param = name
    for output in proto.graph.output:
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            if dim.dim_param:
                dim.dim_param = known.get(dim.dim_param, f"{output.name}_{axis}")


def _describe(proto: Any, network: Network, heads: Heads, *, threshold: float, nms: float) -> None:
    """What a program needs to use the file: the cfg itself, the dialect, classes, anchors, strides, output form."""
    layers = [network.nodes[i] for i in network.heads]
    facts = {
        "name": network.name,
        "cfg": str(network.config).encode("utf-8", "replace").decode(),
        "dialect": network.dialect.name,
        "heads": heads,
        "classes": str(max((getattr(node.layer, "classes", 0) for node in layers), default=0)),
        "anchors": json.dumps([[list(box) for box in getattr(node.layer, "boxes", ())] for node in layers]),
        "strides": json.dumps([_number(stride[0]) if (stride := network.strides[i]) else 0 for i in network.heads]),
    }
    if heads == "nms":
        facts |= {"threshold": str(threshold), "nms": str(nms)}
    for key, value in facts.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = f"darkparse.{key}", value
    proto.producer_name, proto.producer_version = "darkparse", __version__
    proto.graph.name = network.name


def _number(stride: Fraction) -> int | float:
    return stride.numerator if stride.denominator == 1 else float(stride)


@contextmanager
def _saved(proto: Any, partial: Path, target: Path) -> Iterator[None]:
    """Write a graph, and weights too large for its file to one beside the target, which is there at the end alone."""
    import onnx

    # Not ByteSize, which fails above 2 GB.
    if sum(len(tensor.raw_data) for tensor in proto.graph.initializer) < LARGEST_FILE:
        onnx.save_model(proto, str(partial))
        yield
        return
    with unfinished(f"{target}.data") as data:
        onnx.save_model(proto, str(partial), save_as_external_data=True, location=data.name)
        yield
        for tensor in proto.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = f"{target.name}.data"
        partial.write_bytes(proto.SerializeToString())


def check_onnx(
    model: Darknet,
    path: str | os.PathLike[str],
    *,
    heads: Heads = "raw",
    free: Free | None = None,
    half: bool = False,
    threshold: float = DetectionSettings.threshold,
    image: Tensor | None = None,
) -> Check | None:
    """Compare a file with the module in ONNX Runtime; None where that is not installed. See `verification.compare`.

    With `nms` it is the boxes and scores in front of the suppression that are compared: a last bit may decide which of
    two boxes stays.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.fspath(Path(path).resolve().parent)
    )
    session = onnxruntime.InferenceSession(_observed(path, heads), options, providers=["CPUExecutionProvider"])
    names = ["boxes", "scores"] if heads == "nms" else None
    expected = Exported(model, heads, threshold=threshold).eval()

    def module(x: Tensor) -> Sequence[Tensor]:
        out = expected(x)
        return out if isinstance(out, tuple) else (out,)

    def exported(x: Tensor) -> Sequence[Tensor]:
        return [torch.from_numpy(np.asarray(value)) for value in session.run(names, {"image": x.numpy()})]

    return compare(model.network, module, exported, free or Free(), half=half, real=image)


def _observed(path: str | os.PathLike[str], heads: Heads) -> str | bytes:
    """The file, with `boxes` and `scores` among its outputs where they stand inside it;
    weights beside it stay there."""
    if heads != "nms":
        return os.fspath(path)
    import onnx

    proto = onnx.load(os.fspath(path), load_external_data=False)
    for name in ("boxes", "scores"):
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    data: bytes = proto.SerializeToString()
    return data
