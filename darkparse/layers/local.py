"""Locally connected layers."""

from __future__ import annotations

from darkparse.layers.activations import Activation
from darkparse.layers.base import Layer, LayerError, layer, option
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import MODULES_PACKAGE, make_activation_modules, make_uniform_initial
from darkparse.layers.shape import Shape
from darkparse.layers.specs import LayerContext, ModuleSpec, TensorSpec
from darkparse.layers.window import Window, make_square_window


@layer("local")
class Local(Layer):
    """A convolution with different weights at every position (parser.c parse_local)."""

    needs_map = True
    mechanism = "local convolution"
    is_size_bound = True

    filters: int = option(default=1, minimum=1, help="Output channels.")
    size: int = option(default=1, minimum=1, help="Side of the kernel in pixels.")
    stride: int = option(default=1, minimum=1, help="Step of the window in pixels.")
    pad: int = option(default=0, minimum=0, help="Pad by one pixel on each side.")
    activation: Activation = option(default="logistic", help="Activation function.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        # local_layer.c local_out_height. im2col pads by `pad` pixels, so only size 3 is consistent when padded.
        h, w = ((n - (1 if self.pad else self.size)) // self.stride + 1 for n in (inputs[0].h, inputs[0].w))
        padded_size = [(n + 2 * self.pad - self.size) // self.stride + 1 for n in (inputs[0].h, inputs[0].w)]
        if [h, w] != padded_size:
            raise LayerError(
                f"a padded [local] layer requires size=3 and pad=1, got size={self.size} and pad={self.pad}",
                option="size",
            )
        return Shape(self.filters, h, w)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return (make_square_window(self.size, self.stride),)

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        shape = (ctx.output.area, self.filters, ctx.input.c * self.size**2)
        return (
            TensorSpec("local.bias", ctx.output.tensor, role="bias"),
            TensorSpec("local.weight", shape, make_uniform_initial(shape[2])),
        )

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {
            "in_channels": ctx.input.c,
            "out_channels": self.filters,
            "output_size": (ctx.output.h, ctx.output.w),
            "kernel_size": self.size,
            "stride": self.stride,
            "padding": self.pad,
        }
        return (
            ModuleSpec("local", f"{MODULES_PACKAGE}.LocallyConnected2d", kwargs),
            *make_activation_modules(self.activation),
        )

    def macs(self, ctx: LayerContext) -> int:
        return ctx.output.size * ctx.input.c * self.size**2

    def summary(self, ctx: LayerContext) -> str:
        return f"local {self.size}×{self.size}{f' /{self.stride}' if self.stride > 1 else ''}, {self.filters}"
