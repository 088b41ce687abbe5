"""A network as an ONNX graph, layer by layer from its module specs, and what it gives."""

from __future__ import annotations

import numpy as np

from darkparse.errors import DarkparseError
from darkparse.export.form import Free, Heads
from darkparse.export.onnx import emitters  # noqa: F401 - they register themselves
from darkparse.export.onnx.emitters.decoders import Boxes, decode
from darkparse.export.onnx.graph import Dim, Graph, Value
from darkparse.export.onnx.parameters import Arrays, Parameters
from darkparse.export.onnx.place import EMITTERS, Place
from darkparse.export.onnx.suppression import suppress
from darkparse.network import Network, Node

NORMALIZED = ("torch.nn.Conv2d", "torch.nn.ConvTranspose2d", "torch.nn.Linear")
"""Targets whose emitters write the batch norm behind them too."""


class NetworkGraph:
    """A network's layers as a graph whose outputs are to be chosen: `raw`, `decoded` or `nms`.

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

    def __init__(self, network: Network, arrays: Arrays, *, free: Free, half: bool = False, fold: bool = True) -> None:
        self.network, self.free = network, free
        self.graph = Graph(network.name, np.dtype("f2" if half else "f4"))
        self.parameters = Parameters(arrays, network.dialect, fold=fold, floats=self.graph.floats)
        rest: tuple[Dim, ...] = network.input_shape.tensor
        self.image = self.graph.input("image", self._dims(*((rest[0], "height", "width") if free.size else rest)))
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
                if spec.target not in EMITTERS:
                    where = f"{node.section.span}: layer {node.index} [{node.kind}]"
                    raise DarkparseError(f"{where} has no ONNX form: nothing writes {spec.target}")
                at = self._place(node, f"layers.{node.index}.{spec.name}")
                inputs = [EMITTERS[spec.target](at, *inputs, **spec.kwargs)]
            before = spec.target
        return inputs[0]

    def _place(self, node: Node, path: str) -> Place:
        return Place(self.graph, node, path, self.parameters, self.free, self.image, self.network.input_shape)

    def _dims(self, *rest: Dim) -> tuple[Dim, ...]:
        return ("batch" if self.free.batch else 1, *rest)

    def give(self, heads: Heads, *, threshold: float, overlap: float) -> None:
        """Choose the outputs; see `to_onnx`. Raises DarkparseError if the heads cannot be decoded or suppressed so."""
        if heads == "raw":
            self._raw()
            return
        places, boxes = self.boxes()
        scores = [head.scores for head in boxes]
        if heads == "nms":
            scores = [head.opened(at, threshold) for at, head in zip(places, boxes, strict=True)]
        self.graph.scope = "heads" if heads == "decoded" else heads
        all_boxes, all_scores = self._joined([head.boxes for head in boxes]), self._joined(scores)
        if heads == "decoded":
            classes = max(head.classes for head in boxes)
            joined = self.graph.op("Concat", all_boxes, all_scores, axis=2)
            self.graph.output("boxes", joined, self._dims("boxes", 4 + classes))
            return
        found = suppress(self.graph, self.network, all_boxes, all_scores, threshold=threshold, overlap=overlap)
        self.graph.output("detections", found, ("found", 7))
        all_boxes.name, all_scores.name = "boxes", "scores"

    def _raw(self) -> None:
        """An output for each head, or for the last layer: `yolo_82` for layer 82."""
        for index, value in zip(self.network.outputs, self.values, strict=True):
            node = self.network.nodes[index]
            name = f"{node.kind.lower()}_{index}"
            known = node.out_shape.tensor
            free: tuple[Dim, ...] = tuple(f"{name}_{axis}" for axis in range(1, len(known) + 1))
            self.graph.output(name, value, self._dims(*(free if self.free.size else known)))

    def boxes(self, hierarchy: float = 0.5, mapped: bool = False) -> tuple[list[Place], list[Boxes]]:
        """Each head's place, and what it is decoded to."""
        places, found = [], []
        for index, value in zip(self.network.outputs, self.values, strict=True):
            self.graph.scope = f"decode_{index}"
            places.append(self._place(self.network.nodes[index], f"layers.{index}"))
            found.append(decode(places[-1], value, hierarchy, mapped))
        return places, found

    def _joined(self, parts: list[Value]) -> Value:
        return self.graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
