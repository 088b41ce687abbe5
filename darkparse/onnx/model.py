"""Conversion of a network to an ONNX graph, layer by layer from its module specs, with a choice of outputs."""

from __future__ import annotations

import math
from typing import Any, Literal

from darkparse.errors import DarkparseError
from darkparse.layers import ModuleSpec
from darkparse.network import Network, Node
from darkparse.network.dynamic_axes import DynamicAxes
from darkparse.network.heads import get_decoder, get_head, thresholds_objectness
from darkparse.onnx import emitters  # noqa: F401 - they register themselves
from darkparse.onnx.context import EMITTERS, EmitContext, with_batch
from darkparse.onnx.emitters.decoders import GraphBoxes
from darkparse.onnx.graph import Dim, Graph, Value
from darkparse.onnx.nms import suppress
from darkparse.onnx.parameters import GraphParameters
from darkparse.weights.buffer import Arrays

NORMALIZED = ("torch.nn.Conv2d", "torch.nn.ConvTranspose2d", "torch.nn.Linear")
"""Targets whose emitters also write the batch norm that follows."""


def output_name(node: Node) -> str:
    """Return the name that `add_raw_outputs` gives a layer's output: `yolo_82`."""
    return f"{node.kind.lower()}_{node.index}"


class NetworkGraph:
    """Graph of a network's layers. Exactly one `add_…` method must be called to add outputs.

    Args:
        network: Compiled network.
        arrays: Parameters of the network.
        dynamic_axes: Axes whose length may vary between runs.
        half: Use float16 for the weights and arithmetic of layers. Inputs, outputs and all operations after the heads
            stay float32.
        fold: Fold batch norm into the weights.
        skips_heads: Leave out the heads; the outputs are the maps that they read, in their order.

    Raises:
        DarkparseError: A layer cannot be exported to ONNX.
    """

    def __init__(
        self,
        network: Network,
        arrays: Arrays,
        *,
        dynamic_axes: DynamicAxes,
        half: bool = False,
        fold: bool = True,
        skips_heads: bool = False,
    ) -> None:
        self.outputs = tuple(network.nodes[i].inputs[0] for i in network.heads) if skips_heads else network.outputs
        self._nodes = [node for node in network.nodes if not (skips_heads and node.index in network.heads)]
        self.network, self.dynamic_axes = network, dynamic_axes
        self.graph = Graph(network.name, "float16" if half else "float32")
        self.parameters = GraphParameters(arrays, network.dialect, fold=fold, floats=self.graph.floats)
        input_dims: tuple[Dim, ...] = network.input_shape.tensor
        self.image = self.graph.input(
            "image",
            with_batch(dynamic_axes, *((input_dims[0], "height", "width") if dynamic_axes.size else input_dims)),
        )
        self.values = self._emit_layers()

    def _emit_layers(self) -> list[Value]:
        """Add all layers and return the network's outputs in float32."""
        graph, values = self.graph, dict[int, Value]()
        graph.scope, half = "input", graph.floats == "float16"
        first = graph.op("Cast", self.image, to=10) if half else self.image
        for node in self._nodes:
            graph.scope = f"L{node.index}_{node.kind.lower()}"
            inputs = [values[i] if i >= 0 else first for i in node.inputs] or [first]
            values[node.index] = self._emit_layer(node, inputs)
        graph.scope, graph.floats = "heads", "float32"
        outputs = [values[i] for i in self.outputs]
        return [graph.op("Cast", value, to=1) for value in outputs] if half else outputs

    def _emit_layer(self, node: Node, inputs: list[Value]) -> Value:
        previous_target = ""
        for spec in node.modules:
            if not (spec.name == "norm" and previous_target in NORMALIZED):
                inputs = [self._emit_module(node, spec, inputs)]
            previous_target = spec.target
        return inputs[0]

    def _emit_module(self, node: Node, spec: ModuleSpec, inputs: list[Value]) -> Any:
        if spec.target not in EMITTERS:
            place = f"{node.section.span}: layer {node.index} [{node.kind}]"
            raise DarkparseError(f"{place} cannot be exported to ONNX: no emitter is registered for {spec.target}")
        path = f"layers.{node.index}.{spec.name}"
        ctx = EmitContext(
            self.graph, node, path, self.parameters, self.dynamic_axes, self.image, self.network.input_shape
        )
        return EMITTERS[spec.target].emit(ctx, spec, inputs)

    def add_raw_outputs(self) -> None:
        """Add one output per head, or one for the last layer: `yolo_82` for layer 82."""
        for index, value in zip(self.outputs, self.values, strict=True):
            node = self.network.nodes[index]
            name, known_dims = output_name(node), node.out_shape.tensor
            dynamic_dims: tuple[Dim, ...] = tuple(f"{name}_{axis}" for axis in range(1, len(known_dims) + 1))
            self.graph.output(
                name, value, with_batch(self.dynamic_axes, *(dynamic_dims if self.dynamic_axes.size else known_dims))
            )

    def add_candidate_outputs(self, hierarchy: float, use_class_map: bool) -> None:
        """Add three outputs per head.

        For layer 82 these are `boxes_82` (N, B, 4), `scores_82` (N, B, classes) and `objectness_82` (N, B, 1).

        Args:
            hierarchy: Minimum probability of a class in a word tree.
            use_class_map: Map word tree nodes to classes with the file given by `map=`.
        """
        for index, head in zip(self.network.heads, self._emit_boxes(hierarchy, use_class_map), strict=True):
            for name in ("boxes", "scores", "objectness"):
                self.graph.output(f"{name}_{index}", getattr(head, name), None)

    def add_decoded_output(self, hierarchy: float) -> None:
        """Add one output `boxes` (N, B, 4 + classes)."""
        heads = self._emit_boxes(hierarchy)
        boxes = self._concat_boxes([self.graph.op("Concat", head.boxes, head.scores, axis=2) for head in heads])
        self.graph.output("boxes", boxes, with_batch(self.dynamic_axes, self._count_boxes(), 4 + heads[0].classes))

    def add_yolo_output(self, layout: Literal["yolov5", "yolov8"], hierarchy: float) -> None:
        """Add one output `output0`, boxes in pixels of the input: (N, B, 5 + classes) or (N, 4 + classes, B).

        Args:
            layout: `yolov5`: center x, center y, width, height, objectness and class probabilities. `yolov8`: the same
                four values, then objectness × probability.
            hierarchy: Minimum probability of a class in a word tree.
        """
        heads, size = self._emit_boxes(hierarchy), self._emit_input_size()
        rows = [self.graph.op("Concat", head.boxes * size, *_select_scores(head, layout), axis=2) for head in heads]
        boxes, count, classes = self._concat_boxes(rows), self._count_boxes(), heads[0].classes
        if layout == "yolov8":
            transposed = self.graph.op("Transpose", boxes, perm=(0, 2, 1))
            self.graph.output("output0", transposed, with_batch(self.dynamic_axes, 4 + classes, count))
        else:
            self.graph.output("output0", boxes, with_batch(self.dynamic_axes, count, 5 + classes))

    def _emit_input_size(self) -> Value:
        """Return width, height, width and height of the input in pixels."""
        if not self.dynamic_axes.size:
            _, height, width = self.network.input_shape
            return self.graph.constant((width, height, width, height))
        size = self.graph.op("Cast", self.graph.op("Shape", self.image, start=2), to=1)
        return self.graph.op("Gather", size, self.graph.ints(1, 0, 1, 0))

    def _count_boxes(self) -> Dim:
        """Return the number of boxes of all heads; a name if it depends on the size of the input."""
        if self.dynamic_axes.size:
            return "boxes"
        nodes = [self.network.nodes[i] for i in self.network.heads]
        return sum(math.prod(get_head(n).get_grid(n.in_shapes[0])) * get_head(n).predictors for n in nodes)

    def add_nms_output(
        self,
        hierarchy: float,
        threshold: float,
        overlap: float,
        exponent: float | None,
        classes: tuple[int, ...] | None = None,
    ) -> None:
        """Add one output `detections` (K, 7). The values before suppression are named `boxes` and `scores`.

        Args:
            hierarchy: Minimum probability of a class in a word tree.
            threshold: Scores less than or equal to it are dropped.
            overlap: Overlap above which the box with the lower score is removed.
            exponent: See `suppress`.
            classes: Indices of the classes to detect; None for all.
        """
        heads = self._emit_boxes(hierarchy)
        self.graph.scope = "nms"
        # Darknet ignores the scores of boxes with low objectness, so these are set to 0.
        head_scores = []
        for node, head in zip((self.network.nodes[i] for i in self.network.heads), heads, strict=True):
            by_objectness = thresholds_objectness(node, use_class_map=False)
            selected = head.objectness > threshold if by_objectness else self.graph.op("Abs", head.objectness) > 0.0
            head_scores.append(self.graph.op("Where", selected, head.scores, 0.0))
        boxes, scores = self._concat_boxes([head.boxes for head in heads]), self._concat_boxes(head_scores)
        visible = scores
        if classes is not None:
            mask = [float(number in classes) for number in range(heads[0].classes)]
            visible = self.graph.op("Mul", scores, self.graph.constant(mask))
        detections = suppress(self.graph, boxes, visible, threshold=threshold, overlap=overlap, exponent=exponent)
        self.graph.output("detections", detections, ("found", 7))
        boxes.name, scores.name = "boxes", "scores"

    def _emit_boxes(self, hierarchy: float, use_class_map: bool = False) -> list[GraphBoxes]:
        """Decode each head.

        Raises:
            DarkparseError: A head does not predict boxes.
        """
        decoded_heads = []
        for index, value in zip(self.network.heads, self.values, strict=True):
            self.graph.scope = f"decode_{index}"
            node = self.network.nodes[index]
            decoded_heads.append(
                self._emit_module(node, get_decoder(node, hierarchy=hierarchy, use_class_map=use_class_map), [value])
            )
        self.graph.scope = "heads"
        return decoded_heads

    def _concat_boxes(self, parts: list[Value]) -> Value:
        return self.graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _select_scores(head: GraphBoxes, layout: Literal["yolov5", "yolov8"]) -> tuple[Value, ...]:
    """Return the columns behind the boxes: objectness and probabilities, or the scores."""
    if head.factors is None:
        return (head.scores,)
    objectness, probabilities = head.factors
    return head.factors if layout == "yolov5" else (objectness * probabilities,)
