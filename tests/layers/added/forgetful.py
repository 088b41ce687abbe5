"""A kind that changes a map's size and does not say through which windows."""

from __future__ import annotations

from darkparse.layers import Dialect, Layer, LayerContext, ModuleSpec, Shape, layer


@layer("forgetful")
class Forgetful(Layer):
    """Every other position."""

    needs_map = True

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        c, h, w = inputs[0]
        return Shape(c, h // 2, w // 2)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("pool", "torch.nn.MaxPool2d", {"kernel_size": 2}),)
