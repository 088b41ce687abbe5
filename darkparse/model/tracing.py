"""Prepare modules for torch.export: outputs, dynamic axes and example inputs."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darkparse.errors import DarkparseError
from darkparse.model import Darknet
from darkparse.model.darknet import require_weights
from darkparse.model.decoders import Decoder, HeadDecoder, Size
from darkparse.model.optimize import fuse
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.dynamic_axes import DynamicAxes, Heads, check_export_form, compute_size_step
from darkparse.network.heads import thresholds_objectness

if TYPE_CHECKING:
    from darkparse.network import Network

MAX_BATCH = 4096
MAX_SIDE = 512
"""Largest height and width of an exported input, in multiples of the network's stride."""

# Without it newer versions of torch add guards that reject a height or width of one stride; older ones add none.
_DEFERRED = "prefer_deferred_runtime_asserts_over_guards"
_EXPORT_OPTIONS: dict[str, Any] = {_DEFERRED: True} if _DEFERRED in signature(torch.export.export).parameters else {}


class ExportModule(nn.Module):
    """A Darknet module and the decoding of its heads.

    Args:
        model: A module in eval mode.
        heads: `raw`: The outputs of the module. `decoded`: (N, B, 4 + classes), center x, y, width and height as
            fractions of the input, then one score per class. `yolov5`, `yolov8`: See `to_onnx`. `nms`: Boxes (N, B, 4)
            and scores (N, B, classes) for a following NMS; scores are 0 in boxes that Darknet drops by objectness.
        threshold: Objectness above which Darknet uses a box, for `nms`.
        half: Compute in float16; inputs and outputs stay float32.
    """

    def __init__(
        self,
        model: Darknet,
        heads: Heads = "raw",
        *,
        threshold: float = DetectionSettings.threshold,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.threshold, self.half_precision = model, threshold, half
        self.decoders: nn.ModuleList | None = None
        if heads not in ("raw", "features"):
            self.decoders = Decoder(model.network).heads
        nodes = (model.network.nodes[i] for i in model.network.heads)
        self.thresholds_objectness = [thresholds_objectness(node, use_class_map=False) for node in nodes]
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        if self.heads == "features":
            values = self.model.layer_outputs(x)
            return tuple(values[self.model.network.nodes[i].inputs[0]] for i in self.model.network.heads)
        result = self.model(x.half() if self.half_precision else x)
        outputs = tuple(value.float() for value in (result if isinstance(result, tuple) else (result,)))
        if self.decoders is None:
            return outputs if len(outputs) > 1 else outputs[0]
        size = (x.shape[2], x.shape[3])
        if self.heads in ("yolov5", "yolov8"):
            return self._decode_yolo(outputs, size)
        boxes, scores = [], []
        for head, by_objectness, output in zip(self.decoders, self.thresholds_objectness, outputs, strict=True):
            head_boxes, head_scores, objectness = head(output, size)
            if self.heads == "nms":
                selected = objectness > self.threshold if by_objectness else objectness != 0
                head_scores = torch.where(selected.unsqueeze(-1), head_scores, torch.zeros_like(head_scores))
            boxes.append(head_boxes)
            scores.append(head_scores)
        if self.heads == "nms":
            return torch.cat(boxes, 1), torch.cat(scores, 1)
        return torch.cat((torch.cat(boxes, 1), torch.cat(scores, 1)), 2)

    def _decode_yolo(self, outputs: tuple[Tensor, ...], size: Size) -> Tensor:
        """Decode to (N, B, 5 + classes) for `yolov5`, (N, 4 + classes, B) for `yolov8`."""
        rows = []
        for decoder, output in zip(self.decoders or (), outputs, strict=True):
            decoded = decoder(output, size)
            scores: tuple[Tensor, ...] = (decoded.scores,)
            if isinstance(decoder, HeadDecoder):
                objectness, probabilities = decoder.factor_scores(output)
                confidence = objectness.unsqueeze(-1)
                scores = (confidence, probabilities) if self.heads == "yolov5" else (probabilities * confidence,)
            x, y, width, height = decoded.boxes.unbind(-1)
            pixels = torch.stack((x * size[1], y * size[0], width * size[1], height * size[0]), 2)
            rows.append(torch.cat((pixels, *scores), 2))
        boxes = torch.cat(rows, 1)
        return boxes if self.heads == "yolov5" else boxes.transpose(1, 2)


def prepare_export(
    model: Darknet,
    heads: Heads,
    *,
    dynamic_axes: DynamicAxes,
    half: bool = False,
    threshold: float = DetectionSettings.threshold,
) -> ExportModule:
    """Check that a model can be exported and return the module to export.

    Raises:
        NoWeightsError: The module has no weights yet.
        DarkparseError: The network is stateful, is in training mode, has no heads to decode, or its axes cannot be
            dynamic.
    """
    network = model.network
    check_export_form(network, heads, dynamic_axes)
    stateful = next((node for node in network.nodes if node.layer.has_state), None)
    if stateful is not None:
        raise DarkparseError(f"layer {stateful.index} [{stateful.kind}] is stateful and cannot be exported")
    require_weights(model, "exporting")
    if model.training:
        raise DarkparseError("cannot export a model in training mode; export model.eval()")
    # Folding halves the steps to trace, and works on a copy: the caller's model is unchanged.
    folded = fuse(model)
    return ExportModule(folded.half() if half else folded, heads, half=half, threshold=threshold).eval()


def make_example_input(
    network: Network, batch: int = 2, size: tuple[int, int] | None = None, *, seed: int = 0
) -> Tensor:
    """Return a random input (batch, C, H, W), or (batch, inputs), with values in [0, 1)."""
    shape = network.input_shape.tensor if size is None else (network.input_shape.c, *size)
    return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(seed))


def make_smooth_image(network: Network, size: tuple[int, int] | None = None) -> Tensor:
    """Return an input (1, C, H, W) that is smooth like a photograph: waves of a few lengths, values in 0…1.

    A network without an image gets a random input (1, inputs).
    """
    if not network.net.has_image:
        return make_example_input(network, 1, seed=1)
    c, h, w = network.input_shape if size is None else (network.input_shape.c, *size)
    y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
    planes = [torch.sin(6 * (i + 1) * x + i) * torch.cos(4 * (i + 2) * y) for i in range(c)]
    return (torch.stack(planes)[None] + 1) / 2


def make_dynamic_shapes(network: Network, dynamic_axes: DynamicAxes) -> tuple[dict[int, object]]:
    """Return the dynamic axes for torch.export; height and width are multiples of the network's stride."""
    axes: dict[int, object] = {0: torch.export.Dim("batch", min=1, max=MAX_BATCH)} if dynamic_axes.batch else {}
    if dynamic_axes.size:
        step = compute_size_step(network)
        for axis, name in ((2, "rows"), (3, "columns")):
            steps = torch.export.Dim(name, min=1, max=MAX_SIDE)
            axes[axis] = steps * step if step > 1 else steps
    return (axes,)


def trace(exported: ExportModule, network: Network, dynamic_axes: DynamicAxes) -> torch.export.ExportedProgram:
    """Trace a module with torch.export.

    Raises:
        DarkparseError: The module cannot be traced with these dynamic axes.
    """
    batch = 2 if dynamic_axes.batch else 1
    try:
        with torch.no_grad():
            return torch.export.export(
                exported,
                (make_example_input(network, batch),),
                dynamic_shapes=make_dynamic_shapes(network, dynamic_axes),
                strict=False,
                **_EXPORT_OPTIONS,
            )
    except Exception as problem:
        axes = "batch, height and width" if dynamic_axes.size else "batch"
        first_line = str(problem).strip().partition("\n")[0]
        raise DarkparseError(f"cannot trace {network.name} with a dynamic {axes}: {first_line}") from problem
