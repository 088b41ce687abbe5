"""Engine for an ONNX graph in memory, run by ONNX Runtime or OpenVINO on the CPU without torch."""

from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from darkparse.detect.engines.engine import Engine, SelectedBoxes
from darkparse.detect.preprocess import Floats
from darkparse.errors import DarkparseError
from darkparse.network import Network
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.dynamic_axes import DynamicAxes
from darkparse.onnx.model import NetworkGraph, output_name
from darkparse.onnx.serialization import MAX_INLINE_SIZE, OnnxModel
from darkparse.weights.buffer import Arrays

Run = Callable[[Mapping[str, Floats]], Sequence[Floats]]
"""Function from inputs by name to outputs in the graph's order; several threads may call it."""


def _make_onnxruntime(content: bytes, workers: int, threads: int, dtype: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, dict(feeds))


@functools.cache
def _load_openvino_core() -> Any:
    """Load OpenVINO's core once and keep it until the process ends.

    Its CPU plugin moves the calling thread's alternate signal stack into its own memory, and frees that memory with the
    core. If another thread deletes the core, the first thread has no valid signal stack, and the next signal with a
    handler ends the process with SIGSEGV (OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def check_dtype(engine: str, dtype: str) -> None:
    """Raise DarkparseError if the processor has no instructions for a dtype, which OpenVINO would ignore."""
    if engine != "openvino" or dtype == "float32":
        return
    if PRECISIONS[dtype][1] not in _load_openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise DarkparseError(
            f"engine openvino does not compute in {dtype} on this processor; expected float32\n"
            f"hint: use engine torch for {dtype}, which is slow on this processor"
        )


PRECISIONS = {"float32": ("f32", "FP32"), "bfloat16": ("bf16", "BF16"), "float16": ("f16", "FP16")}
"""OpenVINO's name of each dtype as a setting, and as a capability of the processor."""


def _make_openvino(content: bytes, workers: int, threads: int, dtype: str) -> Run:
    core = _load_openvino_core()
    # Without a precision, OpenVINO uses bfloat16 on some processors.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": PRECISIONS[dtype][0], "PERFORMANCE_HINT": "LATENCY"}
    if workers > 1:
        settings |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": workers}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = workers * threads
    compiled = core.compile_model(core.read_model(io.BytesIO(content)), "CPU", settings)
    thread_local = threading.local()

    def run(feeds: Mapping[str, Floats]) -> Sequence[Floats]:
        if not hasattr(thread_local, "request"):
            thread_local.request = compiled.create_infer_request()
        return list(thread_local.request.infer(dict(feeds), share_inputs=True).values())

    return run


RUNTIMES: dict[str, Callable[[bytes, int, int, str], Run]] = {
    "onnxruntime": _make_onnxruntime,
    "openvino": _make_openvino,
}
"""Each takes a graph, the number of threads that call it at once, the number per call (0: all) and the dtype."""

MAX_SINGLE_THREAD_BFLOPS = 0.05
"""Networks with fewer BFLOPs use one thread, because waking a second one takes as long as it saves.

MobileNetV2-YOLO-Fastest has 0.03 at 160×160, where two threads gain nothing in either runtime, and 0.13 at 320×320,
where they do.
"""


class GraphEngine(Engine):
    """Engine that runs one image after the other through a graph with fixed shapes.

    Args:
        name: Name of the runtime.
        network: Compiled network.
        arrays: Parameters of the network.
        dtype: Name of the dtype to compute in.
        fold: See `Detector`.
        use_class_map: See `Detector`.
    """

    batch = 1

    def __init__(
        self,
        name: str,
        network: Network,
        arrays: Arrays,
        *,
        dtype: str = "float32",
        fold: bool,
        use_class_map: bool,
    ) -> None:
        self.name, self.network, self.use_class_map = name, network, use_class_map
        self._arrays, self._dtype, self._fold = arrays, dtype, fold
        check_dtype(name, dtype)
        self._has_tree = any(getattr(network.nodes[i].layer, "tree", None) is not None for i in network.heads)
        self._runs: dict[tuple[float, int], Run] = {}
        self._lock, self._workers = threading.Lock(), 1
        self._default_model = self._build_model(DetectionSettings.hierarchy)
        graph = self._default_model.graph
        self._outputs = [port.value.name for port in graph.outputs]
        self._state = {port.value.name: np.zeros(port.shape, np.float32) for port in graph.inputs[1:]}

    def _get_run(self, hierarchy: float) -> Run:
        """Return the compiled graph, built on first use; the threshold of a word tree is part of the graph."""
        key = hierarchy if self._has_tree else 0.0, self._workers
        with self._lock:
            if key not in self._runs:
                graph_bytes = b"".join(
                    (self._build_model(hierarchy) if self._has_tree else self._default_model).iter_file_chunks()
                )
                threads_per_worker = max(1, (os.cpu_count() or 1) // self._workers) if self._workers > 1 else 0
                threads = 1 if self.network.bflops < MAX_SINGLE_THREAD_BFLOPS else threads_per_worker
                self._runs[key] = RUNTIMES[self.name](graph_bytes, self._workers, threads, self._dtype)
            return self._runs[key]

    def _build_model(self, hierarchy: float) -> OnnxModel:
        network_graph = NetworkGraph(self.network, self._arrays, dynamic_axes=DynamicAxes(batch=False), fold=self._fold)
        if self.network.heads:
            network_graph.add_candidate_outputs(hierarchy, self.use_class_map)
        else:
            network_graph.add_raw_outputs()
        network_graph.graph.prune()
        model = OnnxModel(network_graph.graph, 18, {})
        if model.nbytes >= MAX_INLINE_SIZE:
            raise DarkparseError(f"{self.network.name} is too large for an in-memory graph; use engine torch")
        return model

    def _run(self, image: Floats, hierarchy: float) -> Mapping[str, Floats]:
        run = self._get_run(hierarchy)
        outputs = dict(zip(self._outputs, run({"image": image, **self._state}), strict=True))
        self._state = {name: outputs[f"{name}.next"] for name in self._state}
        return outputs

    def class_scores(self, images: Floats) -> Floats:
        name = output_name(self.network.nodes[self.network.outputs[0]])
        return np.concatenate([self._run(image[None], DetectionSettings.hierarchy)[name] for image in images])

    def candidates(self, images: Floats, threshold: float, hierarchy: float) -> list[SelectedBoxes]:
        results = [self._run(image[None], hierarchy) for image in images]
        names = ("boxes", "scores", "objectness")
        heads = [
            [_concatenate([result[f"{name}_{index}"] for result in results]) for name in names]
            for index in self.network.heads
        ]
        return self.select_boxes(
            [(boxes, scores, head_objectness[..., 0]) for boxes, scores, head_objectness in heads], threshold, np
        )

    @contextmanager
    def share_cores(self, workers: int) -> Iterator[Callable[[], None]]:
        """Divide the cores among `workers` threads, by running a graph that is compiled for that number."""
        self._workers = workers
        try:
            yield lambda: None
        finally:
            self._workers = 1

    def reset_state(self) -> None:
        self._state = {name: np.zeros_like(value) for name, value in self._state.items()}


def _concatenate(parts: Sequence[Floats]) -> Floats:
    return np.concatenate(parts) if len(parts) > 1 else parts[0]
