"""A pooling kind: the root of the mean square in a window; torch has the module."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from darkparse.layers import Dialect, Layer, LayerContext, ModuleSpec, Shape, layer, option
from darkparse.layers.specs import Deviation
from darkparse.layers.window import Window, make_square_window
from darkparse.onnx.context import EmitContext, emits
from darkparse.onnx.graph import Value


@layer("powerpool")
class Powerpool(Layer):
    """The root of the sum of squares in a window."""

    needs_map = True
    mechanism = "pool"
    role = "pool"

    size: int = option(default=2, minimum=1)
    stride: int = option(default=2, minimum=1)

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        c, h, w = inputs[0]
        return Shape(c, (h - self.size) // self.stride + 1, (w - self.size) // self.stride + 1)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return (make_square_window(self.size, self.stride),)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"norm_type": 2.0, "kernel_size": self.size, "stride": self.stride}
        return (ModuleSpec("pool", "torch.nn.LPPool2d", kwargs),)

    def macs(self, ctx: LayerContext) -> int:
        return ctx.output.size * self.size**2

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        mean = ModuleSpec("pool", "torch.nn.AvgPool2d", {"kernel_size": self.size, "stride": self.stride})
        yield Deviation("the mean instead of the root of squares", (mean,))

    def summary(self, ctx: LayerContext) -> str:
        return f"powerpool {self.size}×{self.size} /{self.stride}"


@dataclass(frozen=True, slots=True)
class PowerPoolParams:
    """Arguments of `LPPool2d`."""

    norm_type: float
    kernel_size: int
    stride: int


@emits("torch.nn.LPPool2d", params=PowerPoolParams)
def _emit_power_pool(ctx: EmitContext, params: PowerPoolParams, x: Value) -> Value:
    kernel, strides = (params.kernel_size,) * 2, (params.stride,) * 2
    return ctx.op("LpPool", x, p=int(params.norm_type), kernel_shape=kernel, strides=strides)
