"""A network as an ONNX graph, layer by layer from its module specs, and what it gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from darkparse.errors import DarkparseError
from darkparse.layers import ModuleSpec
from darkparse.network import Network, Node
from darkparse.network.dynamic_axes import DynamicAxes
from darkparse.network.heads import get_decoder, thresholds_objectness
from darkparse.onnx import emitters  # noqa: F401 - they register themselves
from darkparse.onnx.context import EMITTERS, EmitContext, batched
from darkparse.onnx.emitters.decoders import GraphBoxes
from darkparse.onnx.graph import Dim, Graph, Value
from darkparse.onnx.nms import suppress
from darkparse.onnx.parameters import GraphParameters
from darkparse.weights.arrays import Arrays

NORMALIZED = ("torch.nn.Conv2d", "torch.nn.ConvTranspose2d", "torch.nn.Linear")
"""Targets whose emitters write the batch norm behind them too."""


def output_name(node: Node) -> str:
    """What `raw` calls a layer's output: `yolo_82`."""
    return f"{node.kind.lower()}_{node.index}"


class NetworkGraph:
    """A network's layers as a graph whose outputs are chosen by one call of `raw`, `decoded`, `nms` or `candidates`.

    Args:
        network: what `compile` made.
        arrays: its parameters.
        free: axes that may differ from run to run.
        half: weights and arithmetic of the layers in float16; inputs, outputs and what stands behind the heads stay
            float32.
        fold: batch norm becomes part of the weights.

    Raises:
        DarkparseError: a layer has no ONNX form.
    """

    def __init__(
        self, network: Network, arrays: Arrays, *, free: DynamicAxes, half: bool = False, fold: bool = True
    ) -> None:
        self.network, self.free = network, free
        self.graph = Graph(network.name, np.dtype("f2" if half else "f4"))
        self.parameters = GraphParameters(arrays, network.dialect, fold=fold, floats=self.graph.floats)
        rest: tuple[Dim, ...] = network.input_shape.tensor
        self.image = self.graph.input("image", batched(free, *((rest[0], "height", "width") if free.size else rest)))
        self.values = self._layers()

    def _layers(self) -> list[Value]:
        """The values of the network's outputs, in float32."""
        graph, values = self.graph, list[Value]()
        graph.scope, half = "input", graph.floats.itemsize == 2
        first = graph.op("Cast", self.image, to=10) if half else self.image
        for node in self.network.nodes:
            graph.scope = f"L{node.index}_{node.kind.lower()}"
            values.append(self._layer(node, [values[i] if i >= 0 else first for i in node.inputs] or [first]))
        graph.scope, graph.floats = "heads", np.dtype("f4")
        found = [values[i] for i in self.network.outputs]
        return [graph.op("Cast", value, to=1) for value in found] if half else found

    def _layer(self, node: Node, inputs: list[Value]) -> Value:
        before = ""
        for spec in node.modules:
            if not (spec.name == "norm" and before in NORMALIZED):
                inputs = [self._emitted(node, spec, inputs)]
            before = spec.target
        return inputs[0]

    def _emitted(self, node: Node, spec: ModuleSpec, inputs: list[Value]) -> Any:
        if spec.target not in EMITTERS:
            where = f"{node.section.span}: layer {node.index} [{node.kind}]"
            raise DarkparseError(f"{where} has no ONNX form: nothing writes {spec.target}")
        path = f"layers.{node.index}.{spec.name}"
        at = EmitContext(self.graph, node, path, self.parameters, self.free, self.image, self.network.input_shape)
        return EMITTERS[spec.target](at, *inputs, **spec.kwargs)

    def raw(self) -> None:
        """An output for each head, or for the last layer: `yolo_82` for layer 82."""
        for index, value in zip(self.network.outputs, self.values, strict=True):
            node = self.network.nodes[index]
            name, known = output_name(node), node.out_shape.tensor
            free: tuple[Dim, ...] = tuple(f"{name}_{axis}" for axis in range(1, len(known) + 1))
            self.graph.output(name, value, batched(self.free, *(free if self.free.size else known)))

    def candidates(self, hierarchy: float, use_class_map: bool) -> None:
        """Three outputs for each head: `boxes_82` (N, B, 4), `scores_82` (N, B, classes), `objectness_82` (N, B, 1)."""
        for index, head in zip(self.network.heads, self._boxes(hierarchy, use_class_map), strict=True):
            for name in ("boxes", "scores", "objectness"):
                self.graph.output(f"{name}_{index}", getattr(head, name), None)

    def decoded(self, hierarchy: float) -> None:
        """One output `boxes` (N, B, 4 + classes)."""
        heads = self._boxes(hierarchy)
        joined = self._joined([self.graph.op("Concat", head.boxes, head.scores, axis=2) for head in heads])
        self.graph.output("boxes", joined, batched(self.free, "boxes", 4 + heads[0].classes))

    def nms(self, hierarchy: float, threshold: float, overlap: float, exponent: float | None) -> None:
        """One output `detections` (K, 7); `boxes` and `scores` are the names of what is in front of the suppression."""
        heads = self._boxes(hierarchy)
        self.graph.scope = "nms"
        # Scores count where Darknet asks for them: they are 0 where the objectness is too low.
        opened = []
        for node, head in zip((self.network.nodes[i] for i in self.network.heads), heads, strict=True):
            asks = thresholds_objectness(node, use_class_map=False)
            kept = head.objectness > threshold if asks else self.graph.op("Abs", head.objectness) > 0.0
            opened.append(self.graph.op("Where", kept, head.scores, 0.0))
        boxes, scores = self._joined([head.boxes for head in heads]), self._joined(opened)
        found = suppress(self.graph, boxes, scores, threshold=threshold, overlap=overlap, exponent=exponent)
        self.graph.output("detections", found, ("found", 7))
        boxes.name, scores.name = "boxes", "scores"

    def _boxes(self, hierarchy: float, use_class_map: bool = False) -> list[GraphBoxes]:
        """What each head is decoded to. Raises DarkparseError if one predicts no boxes."""
        found = []
        for index, value in zip(self.network.heads, self.values, strict=True):
            self.graph.scope = f"decode_{index}"
            node = self.network.nodes[index]
            found.append(
                self._emitted(node, get_decoder(node, hierarchy=hierarchy, use_class_map=use_class_map), [value])
            )
        self.graph.scope = "heads"
        return found

    def _joined(self, parts: list[Value]) -> Value:
        return self.graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
