"""A head without anchors, with its decoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from darkparse.layers import Dialect, Head, LayerContext, ModuleSpec, layer, option
from darkparse.model.decoders import DecodedBoxes, Size
from darkparse.onnx.context import EmitContext, NoParams, emits
from darkparse.onnx.emitters import decoders
from darkparse.onnx.graph import Value


@layer("center")
class Center(Head):
    """A box a cell: how far its four sides are from the cell's middle, and classes."""

    needs_map = True

    classes: int = option(default=2, minimum=1)

    @property
    def predictors(self) -> int:
        return 1

    @property
    def entries(self) -> int:
        return 4 + self.classes

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("head", "torch.nn.Sigmoid", {}),)

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
        return ModuleSpec("boxes", f"{__name__}.CenterDecoder", {})

    def summary(self, ctx: LayerContext) -> str:
        return "center head"


class CenterDecoder(nn.Module):
    """Distances as fractions of the input; the best class is what the box holds."""

    def forward(self, output: Tensor, size: Size) -> DecodedBoxes:
        (left, top, right, bottom), scores = output[:, :4].unbind(1), output[:, 4:].permute(0, 2, 3, 1).flatten(1, 2)
        height, width = left.shape[1:]
        y, x = ((torch.arange(height) + 0.5) / height)[:, None], (torch.arange(width) + 0.5) / width
        box = (x + (right - left) / 2, y + (bottom - top) / 2, left + right, top + bottom)
        return DecodedBoxes(torch.stack(box, -1).flatten(1, 2), scores, scores.amax(-1))


@emits(f"{__name__}.CenterDecoder", params=NoParams)
def _emit_decoder(ctx: EmitContext, _: NoParams, x: Value) -> decoders.GraphBoxes:
    height, width = ctx.node.out_shape.h, ctx.node.out_shape.w
    cells = ctx.reshape(ctx.op("Transpose", x, perm=(0, 2, 3, 1)), 0, -1, 6)
    near, far, scores = ctx.split(cells, (2, 2, 2), 2)
    y, x_ = np.divmod(np.arange(height * width), width)
    middle = ctx.graph.constant(np.stack(((x_ + 0.5) / width, (y + 0.5) / height), -1)[None].tolist())
    boxes = ctx.concat(middle + (far - near) / 2.0, near + far, axis=2)
    return decoders.GraphBoxes(boxes, scores, ctx.op("ReduceMax", scores, ctx.graph.ints(2)), 2)
