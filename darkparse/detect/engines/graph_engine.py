"""Engine for an ONNX graph that is made when it is needed, run by ONNX Runtime or OpenVINO on the CPU without torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from darkparse._utils.cores import count_cores
from darkparse.detect.engines.engine import Engine, SelectedBoxes
from darkparse.detect.engines.runtimes import RUNTIMES, Run, check_dtype, write_graph
from darkparse.detect.preprocess import Floats
from darkparse.errors import DarkparseError
from darkparse.network import Network
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.dynamic_axes import DynamicAxes
from darkparse.onnx.model import NetworkGraph, output_name
from darkparse.onnx.serialization import MAX_INLINE_SIZE, OnnxModel
from darkparse.weights.buffer import Arrays

OPSET = 18
"""Opset of the graphs: the oldest one that darkparse writes, which every version of the runtimes supports."""
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
        release: Called when a graph has been written, to release memory that `arrays` can read again.
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
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self.network, self.use_class_map = name, network, use_class_map
        self._arrays, self._dtype, self._fold, self._release = arrays, dtype, fold, release
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
                threads = 1 if self.network.bflops < MAX_SINGLE_THREAD_BFLOPS else self._count_threads()
                with write_graph(self._build_model(hierarchy) if self._has_tree else self._default_model) as graph:
                    self._release()
                    self._runs[key] = RUNTIMES[self.name](graph, self._workers, threads, self._dtype)
            return self._runs[key]

    def _count_threads(self) -> int:
        """Return the number of threads per worker; 0 for the runtime's default, if it may use all cores."""
        cores = count_cores()
        return 0 if self._workers == 1 and cores == os.cpu_count() else max(1, cores // self._workers)

    def _build_model(self, hierarchy: float) -> OnnxModel:
        network_graph = NetworkGraph(self.network, self._arrays, dynamic_axes=DynamicAxes(batch=False), fold=self._fold)
        if self.network.heads:
            network_graph.add_candidate_outputs(hierarchy, self.use_class_map)
        else:
            network_graph.add_raw_outputs()
        network_graph.graph.prune()
        model = OnnxModel(network_graph.graph, OPSET, {})
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
