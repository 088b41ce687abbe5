"""ONNX Runtime and OpenVINO on the CPU, behind one interface."""

from __future__ import annotations

import functools
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from darkparse.detect.preprocess import Floats
from darkparse.errors import DarkparseError
from darkparse.onnx.serialization import OnnxModel

Run = Callable[[Mapping[str, Floats]], Sequence[Floats]]
"""Function from inputs by name to outputs in the graph's order; several threads may call it."""
GraphFile = bytes | Path
"""An ONNX file: its bytes or its path."""
MAX_BYTES_IN_MEMORY = 8 << 20
"""Size of a graph's weights up to which a runtime gets the bytes of the file instead of a temporary file."""
EXTERNAL_DATA_NAME = None if os.name == "nt" else "graph.data"
"""Name of the temporary file for weights; None on Windows, which does not delete mapped files."""
PRECISIONS = {"float32": ("f32", "FP32"), "bfloat16": ("bf16", "BF16"), "float16": ("f16", "FP16")}
"""OpenVINO's name of each dtype as a setting, and as a capability of the processor."""


@contextmanager
def write_graph(model: OnnxModel) -> Iterator[GraphFile]:
    """Yield a graph for a runtime: its bytes, or the path of a temporary file if it is large.

    A runtime that gets bytes copies them, so that all weights are in memory once more than if it reads a file. It maps
    the weights if they are in an external data file, and keeps them mapped after the file is deleted.
    """
    with ExitStack() as stack:
        if model.nbytes > MAX_BYTES_IN_MEMORY:
            try:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="darkparse-", ignore_cleanup_errors=True)
                )
                path = Path(folder) / "graph.onnx"
                if EXTERNAL_DATA_NAME is not None:
                    with path.with_name(EXTERNAL_DATA_NAME).open("wb") as data:
                        data.writelines(model.iter_data_chunks())
                with path.open("wb") as file:
                    file.writelines(model.iter_file_chunks(EXTERNAL_DATA_NAME))
            except OSError:
                stack.close()  # no directory for temporary files, or no space: memory will do
            else:
                yield path
                return
        yield b"".join(model.iter_file_chunks())


def check_dtype(engine: str, dtype: str) -> None:
    """Raise DarkparseError if the processor has no instructions for a dtype, which OpenVINO would ignore."""
    if engine != "openvino" or dtype == "float32":
        return
    with _openvino_lock:
        capabilities = _load_openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if PRECISIONS[dtype][1] not in capabilities:
        raise DarkparseError(
            f"engine openvino does not compute in {dtype} on this processor; expected float32\n"
            f"hint: use engine torch for {dtype}, which is slow on this processor"
        )


def _make_onnxruntime(graph: GraphFile, workers: int, threads: int, dtype: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, dict(feeds))


_openvino_lock = threading.Lock()
"""Held while a graph is compiled and run for the first time.

What OpenVINO's Python module initializes at its first use requires Python's global lock. If two threads do so at once,
one waits for the initialization with the global lock, and the other for the global lock: forever (OpenVINO 2026.4).
"""


@functools.cache
def _load_openvino_core() -> Any:
    """Load OpenVINO's core once and keep it until the process ends.

    Its CPU plugin moves the calling thread's alternate signal stack into its own memory, and frees that memory with the
    core. If another thread deletes the core, the first thread has no valid signal stack, and the next signal with a
    handler ends the process with SIGSEGV (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def _make_openvino(graph: GraphFile, workers: int, threads: int, dtype: str) -> Run:
    # Without a precision, OpenVINO uses bfloat16 on some processors.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": PRECISIONS[dtype][0], "PERFORMANCE_HINT": "LATENCY"}
    if workers > 1:
        settings |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": workers}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = workers * threads
    with _openvino_lock:
        core = _load_openvino_core()
        model = core.read_model(io.BytesIO(graph) if isinstance(graph, bytes) else graph)
        compiled = core.compile_model(model, "CPU", settings)
    thread_local = threading.local()
    is_first = True

    def run(feeds: Mapping[str, Floats]) -> Sequence[Floats]:
        nonlocal is_first
        with _openvino_lock if is_first else nullcontext():
            if not hasattr(thread_local, "request"):
                thread_local.request = compiled.create_infer_request()
            outputs = list(thread_local.request.infer(dict(feeds), share_inputs=True).values())
            is_first = False
        return outputs

    return run


RUNTIMES: dict[str, Callable[[GraphFile, int, int, str], Run]] = {
    "onnxruntime": _make_onnxruntime,
    "openvino": _make_openvino,
}
"""Each takes a graph, the number of threads that call it at once, the number per call (0: all) and the dtype."""
