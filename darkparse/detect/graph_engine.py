"""A network as an ONNX graph in memory, run by ONNX Runtime or OpenVINO on the CPU in float32; torch is not needed."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from darkparse.detect.engine import Engine, Selected
from darkparse.detect.preprocess import Floats
from darkparse.detect.settings import DetectionSettings
from darkparse.errors import DarkparseError, NoWeightsError
from darkparse.export.onnx.form import Free
from darkparse.export.onnx.model import NetworkGraph, output_name
from darkparse.export.onnx.parameters import from_module
from darkparse.export.onnx.serialization import LARGEST_FILE, Model
from darkparse.network import Network
from darkparse.syntax import Config
from darkparse.weights import ReadOptions, WeightsSource
from darkparse.weights.held import Arrays, open_held

Run = Callable[[Mapping[str, Floats]], Sequence[Floats]]
"""Inputs by name to outputs in the graph's order; several threads may call it."""


def _onnxruntime(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda feeds: session.run(None, dict(feeds))


def _openvino(content: bytes) -> Run:
    import openvino

    core = openvino.Core()
    # Some processors would be given bfloat16.
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(io.BytesIO(content)), "CPU", settings)
    own = threading.local()

    def run(feeds: Mapping[str, Floats]) -> Sequence[Floats]:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return list(own.request.infer(dict(feeds)).values())

    return run


RUNTIMES: dict[str, Callable[[bytes], Run]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}


class GraphEngine(Engine):
    """Runs one image after the other through a graph whose shapes are all known.

    Args:
        name: of the runtime.
        network: what `compile` made.
        arrays: its parameters.
        fold: see `Detector`.
        mapped: see `Detector`.
    """

    batch = 1

    def __init__(self, name: str, network: Network, arrays: Arrays, *, fold: bool, mapped: bool) -> None:
        self.name, self.network, self.mapped = name, network, mapped
        self._arrays, self._fold = arrays, fold
        self._has_tree = any(getattr(network.nodes[i].layer, "tree", None) is not None for i in network.heads)
        self._running: dict[float, Run] = {}
        self._outputs: list[str] = []
        self._making = threading.Lock()
        self._memory: dict[str, Floats] = {}
        self._runner(DetectionSettings.hierarchy)

    def _runner(self, hierarchy: float) -> Run:
        """The graph; a word tree's threshold is part of it."""
        key = hierarchy if self._has_tree else 0.0
        with self._making:
            if key not in self._running:
                self._running[key] = self._made(hierarchy)
            return self._running[key]

    def _made(self, hierarchy: float) -> Run:
        made = NetworkGraph(self.network, self._arrays, free=Free(batch=False), fold=self._fold)
        if self.network.heads:
            made.candidates(hierarchy, self.mapped)
        else:
            made.raw()
        states = made.graph.inputs[1:]
        self._outputs = [port.value.name for port in made.graph.outputs]
        self._memory = {port.value.name: np.zeros(port.shape, np.float32) for port in states}
        model = Model(made.graph, 18, {})
        if model.nbytes >= LARGEST_FILE:
            raise DarkparseError(f"{self.network.name} is too large for a graph in memory: use engine torch")
        return RUNTIMES[self.name](b"".join(model.pieces()))

    def _run(self, image: Floats, hierarchy: float) -> Mapping[str, Floats]:
        run = self._runner(hierarchy)
        found = dict(zip(self._outputs, run({"image": image, **self._memory}), strict=True))
        self._memory = {name: found[f"{name}.next"] for name in self._memory}
        return found

    def class_scores(self, images: Floats) -> Floats:
        name = output_name(self.network.nodes[self.network.outputs[0]])
        return np.concatenate([self._run(image[None], DetectionSettings.hierarchy)[name] for image in images])

    def candidates(self, images: Floats, threshold: float, hierarchy: float) -> list[Selected]:
        found = [self._run(image[None], hierarchy) for image in images]
        names = ("boxes", "scores", "objectness")
        heads = [
            [np.concatenate([one[f"{name}_{index}"] for one in found]) for name in names]
            for index in self.network.heads
        ]
        return self.selected([(boxes, scores, it[..., 0]) for boxes, scores, it in heads], threshold, np)

    def reset_state(self) -> None:
        self._memory = {name: np.zeros_like(value) for name, value in self._memory.items()}


def load_graph(
    name: str,
    cfg: str | os.PathLike[str] | Config | Network,
    weights: WeightsSource | None,
    options: ReadOptions,
    *,
    fold: bool,
    mapped: bool,
    **how: Any,
) -> GraphEngine:
    """Compile a cfg and read its weights for an engine; torch is needed where `open_held` says so.

    Raises:
        NoWeightsError: there are no weights.
    """
    held = open_held(cfg, weights, options, **how)
    if held is not None:
        network, arrays = held.network, held.arrays
    else:
        from darkparse.model import load

        model = load(cfg, weights, options, **how)
        if model.loaded is None:
            raise NoWeightsError(f"{model.network.name}: a detector needs weights")
        network, arrays = model.network, from_module(model)
    return GraphEngine(name, network, arrays, fold=fold, mapped=mapped)
