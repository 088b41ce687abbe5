"""Verification of an exported file against the module with ONNX Runtime."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.model.tracing import ExportModule
from darkparse.model.verification import CheckResult, Runner, compare_outputs
from darkparse.network.dynamic_axes import DynamicAxes, Heads
from darkparse.onnx.graph import Graph, Value
from darkparse.onnx.protobuf import encode_block
from darkparse.syntax.files import describe_error

if TYPE_CHECKING:
    from darkparse.model import Darknet
    from darkparse.onnx.serialization import OnnxFile


def check_onnx(
    model: Darknet,
    file: OnnxFile,
    *,
    heads: Heads,
    dynamic_axes: DynamicAxes,
    half: bool,
    threshold: float,
    image: Tensor | None,
) -> CheckResult:
    """Compare the outputs of a file with those of the module. See `verification.compare_outputs`.

    With `nms`, boxes and scores before suppression are compared, because the last bit may decide which of two boxes is
    kept. A stateful network processes each input twice, and the second outputs are compared.

    Raises:
        DarkparseError: The outputs differ, or ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise DarkparseError(
            "checking an ONNX file requires onnxruntime\nhint: pip install 'darkparse[onnxruntime]'"
        ) from None
    options = onnxruntime.SessionOptions()
    # A network runs once or twice: threads that wait for more work take longer than that.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(file.path.parent))
    model_bytes = file.read_bytes() + (_make_observer() if heads == "nms" else b"")
    with _runtime_errors():
        session = onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
    states = {value.name: value.shape for value in session.get_inputs() if value.name != "image"}
    names = [value.name for value in session.get_outputs() if not value.name.endswith(".next")]
    names = ["boxes", "scores"] if heads == "nms" else names
    steps = 2 if states else 1
    takes_signs = any(getattr(node.layer, "xnor", False) for node in model.network.nodes)
    exact = _make_runner(copy.deepcopy(model).double(), heads, threshold, steps) if takes_signs else None
    module = _make_runner(model, heads, threshold, steps)

    def run_exported(x: Tensor) -> Sequence[Tensor]:
        state = {name: np.zeros((len(x), *shape[1:]), np.float32) for name, shape in states.items()}
        feeds = {"image": x.numpy(), **state}
        with _runtime_errors():
            if states:
                next_state = session.run([f"{name}.next" for name in states], feeds)
                feeds |= dict(zip(states, next_state, strict=True))
            return [torch.from_numpy(np.asarray(value)) for value in session.run(names, feeds)]

    return compare_outputs(model.network, module, run_exported, dynamic_axes, half=half, image=image, exact=exact)


@contextmanager
def _runtime_errors() -> Iterator[None]:
    """Convert the errors of ONNX Runtime, which have no common class, to DarkparseError."""
    try:
        yield
    except Exception as problem:
        message = f"ONNX Runtime cannot run the written file: {describe_error(problem)}; it was deleted"
        raise DarkparseError(message) from problem


def _make_runner(model: Darknet, heads: Heads, threshold: float, steps: int) -> Runner:
    """Create a function that returns the module's outputs after it has processed an input `steps` times."""
    expected = ExportModule(model, heads, threshold=threshold).eval()

    def run(x: Tensor) -> Sequence[Tensor]:
        model.reset_state()
        for _ in range(steps):
            output = expected(x)
        return output if isinstance(output, tuple) else (output,)

    return run


def _make_observer() -> bytes:
    """Return bytes that, appended to a model file, add `boxes` and `scores` to the outputs.

    Protocol buffer parsers merge repeated occurrences of an embedded message.
    """
    graph = Graph("")
    for name in ("boxes", "scores"):
        graph.output(name, Value(graph, name), None)
    return encode_block(7, *(encode_block(12, port.encode()) for port in graph.outputs))
