"""Reference for comparisons: outputs of another implementation's layers in a file, or an ONNX model that is run."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import DarkparseError
from darkparse.network import Node
from darkparse.onnx.in_place import follow_reference
from darkparse.syntax.files import describe_error
from darkparse.weights import open_source
from darkparse.weights.containers import read_npz

Floats = NDArray[np.float32]


class Reference(ABC):
    """Outputs of another implementation by layer."""

    input: Floats | None = None
    """Input of the outputs, (1, C, H, W); None if it is unknown."""
    is_exact = True
    """Whether outputs are matched to layers by name rather than by value."""
    outputs: Sequence[Floats] = ()
    """Outputs of the whole model."""

    @abstractmethod
    def output(self, node: Node, ours: Floats) -> Floats | None:
        """Return the output of a layer, in the shape of `ours`; None if it is missing."""


def open_reference(path: Path, image: Floats) -> Reference:
    """Open a dump (`.npz`), or run an ONNX model on an input (1, C, H, W).

    Raises:
        DarkparseError: The file is missing or invalid, has another type, or does not fit.
    """
    if not path.is_file():
        raise DarkparseError(f"{path}: no such file")
    if path.suffix == ".onnx":
        return OnnxReference(path, image)
    if path.suffix == ".npz":
        return Dump(path)
    raise DarkparseError(
        f"{path}: unsupported reference; expected an .npz file with one array per layer, or an .onnx model"
    )


class Dump(Reference):
    """Arrays by layer: the last number in a key is the layer (`12`, `layer_12`, `layers.12`); `input` is the input."""

    def __init__(self, path: Path) -> None:
        try:
            arrays = {key: np.asarray(array, np.float32) for key, array in read_npz(open_source(path)).items()}
        except (ValueError, TypeError, OverflowError, MemoryError):
            raise DarkparseError(f"{path}: not an .npz file of numeric arrays") from None
        self.path = path
        self.input = arrays.pop("input", None)
        self._layers: dict[int, Floats] = {}
        for key, array in arrays.items():
            numbers = re.findall(r"\d{1,9}", key)
            if not numbers:
                raise DarkparseError(
                    f"{path}: array {quote_safe(key)} does not name a layer; expected keys `input`, `0`, `1`, … or "
                    "`layer_0`, …"
                )
            self._layers[int(numbers[-1])] = array
        if not self._layers:
            raise DarkparseError(f"{path}: no layers in the file")

    def output(self, node: Node, ours: Floats) -> Floats | None:
        theirs = self._layers.get(node.index)
        if theirs is None or theirs.size == ours.size:
            return None if theirs is None else theirs.reshape(ours.shape)
        place = f"layer {node.index} [{node.kind}]"
        raise DarkparseError(
            f"{self.path}: wrong size of {place}, got {theirs.size:,} values; expected {ours.size:,} {ours.shape}"
        )


class OnnxReference(Reference):
    """Intermediate values of an ONNX model, which does not name Darknet's layers.

    The output of a layer is the closest value of the same size.
    """

    is_exact = False

    def __init__(self, path: Path, image: Floats) -> None:
        follow_reference(path)
        self.path = path
        self._by_size: dict[int, list[Floats]] = {}
        values, num_outputs = _run_onnx(path, image)
        floats = [value.astype(np.float32) if value.dtype.kind == "f" else None for value in values]
        self.outputs = [value for value in floats[:num_outputs] if value is not None]
        for value in floats:
            if value is not None:
                self._by_size.setdefault(value.size, []).append(value.ravel())

    def output(self, node: Node, ours: Floats) -> Floats | None:
        flat = ours.ravel()
        nearest = min(
            self._by_size.get(flat.size, []),
            key=lambda value: float(np.nan_to_num(np.abs(value - flat), nan=np.inf).mean()),
            default=None,
        )
        return None if nearest is None else nearest.reshape(ours.shape)


def _run_onnx(path: Path, image: Floats) -> tuple[list[NDArray[Any]], int]:
    """Run an ONNX model and return all intermediate values, the model's outputs first, and the number of outputs."""
    try:
        import onnx
        import onnxruntime as ort
    except ImportError:
        raise DarkparseError(
            "comparing with an ONNX model requires onnx and onnxruntime\nhint: pip install 'darkparse[onnx]'"
        ) from None
    try:
        model = onnx.load(str(path))
        output_names = {value.name for value in model.graph.output}
        names = [name for node in model.graph.node for name in node.output if name and name not in output_names]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        options = ort.SessionOptions()
        # Optimization would fuse the layers to compare.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the model runs once
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        values: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: image})
    except _get_onnx_errors() as problem:
        raise DarkparseError(
            f"{path}: the model failed for an input {image.shape}: {describe_error(problem)}"
        ) from None
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    return arrays, sum(isinstance(value, np.ndarray) for value in values[: len(output_names)])


def _get_onnx_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that protobuf, onnx and onnxruntime raise for an invalid model."""
    from google.protobuf.message import Error
    from onnx.checker import ValidationError
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    runtime_errors = tuple(
        error for error in vars(state).values() if isinstance(error, type) and issubclass(error, Exception)
    )
    return (
        *runtime_errors,
        ValidationError,
        Error,
        RuntimeError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OSError,
        MemoryError,
    )
