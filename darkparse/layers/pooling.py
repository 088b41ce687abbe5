"""Max and average pooling layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from darkparse.layers.base import Layer, LayerError, keys, layer, option
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import (
    MODULES_PACKAGE,
    compute_blurred_length,
    count_blur_macs,
    make_blur_module,
    make_blurred_windows,
)
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Deviation, LayerContext, ModuleSpec
from darkparse.layers.window import Window, make_square_window


@layer("maxpool", "max")
class Maxpool(Layer):
    """The maximum over a window, or over every n-th channel (`maxpool_depth`) (parser.c parse_maxpool)."""

    needs_map = True
    mechanism = "pool"
    role = "pool"
    training = keys(
        dialect="alexeyab", maxpool_zero_nonmax="Set all values but the maximum of each window to 0 in the gradient."
    )

    stride: int = option(default=1, help="Step of the window in pixels.")
    stride_x: int = option(
        dialect="alexeyab", factory=lambda p: p.stride, formula="stride", help="Horizontal step in pixels."
    )
    stride_y: int = option(
        dialect="alexeyab", factory=lambda p: p.stride, formula="stride", help="Vertical step in pixels."
    )
    size: int = option(factory=lambda p: p.stride, formula="stride", help="Side of the window in pixels.")
    padding: int = option(
        factory=lambda p: p.size - 1, formula="size - 1", help="Padding in pixels, both sides together."
    )
    maxpool_depth: bool = option(
        default=False, dialect="alexeyab", help="Take the maximum over channels instead of positions."
    )
    out_channels: int = option(default=1, dialect="alexeyab", help="Output channels with `maxpool_depth`.")
    antialiasing: int = option(
        default=0, dialect="alexeyab", help="Move the stride to a blur after the layer: 2 for 2×2, otherwise 3×3."
    )

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        x = inputs[0]
        if self.maxpool_depth:
            if not 1 <= self.out_channels <= x.c:
                raise LayerError(
                    f"out_channels must be 1 to {x.c}, the number of input channels; got {self.out_channels}",
                    option="out_channels",
                )
            return Shape(self.out_channels, x.h, x.w)
        pooled_shape = self._infer_pooled_shape(x)
        if not self.antialiasing:
            return pooled_shape
        if min(self.stride_y, self.stride_x) < 1:
            raise LayerError(
                f"stride must be at least 1 with antialiasing, got {min(self.stride_y, self.stride_x)}", option="stride"
            )
        h, w = (
            compute_blurred_length(n, self.antialiasing, s)
            for n, s in ((pooled_shape.h, self.stride_y), (pooled_shape.w, self.stride_x))
        )
        return Shape(x.c, h, w)

    def _infer_pooled_shape(self, x: Shape) -> Shape:
        return infer_pooled_shape(x, self.size, self._strides, self.padding)

    @property
    def _strides(self) -> tuple[int, int]:
        """Strides of the pooling itself; with antialiasing the blur applies the stride instead."""
        return (1, 1) if self.antialiasing else (self.stride_y, self.stride_x)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        if self.maxpool_depth:
            return ()
        return make_blurred_windows(self.size, (self.stride_y, self.stride_x), self.antialiasing)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        if self.maxpool_depth:
            return (ModuleSpec("pool", f"{MODULES_PACKAGE}.ChannelMaxPool", {"out_channels": self.out_channels}),)
        if (self.size, self._strides, self.padding) == (2, (2, 2), 1):
            # One pixel of padding after the map only affects the last window of an odd side; ceil_mode does the same.
            chain = [
                ModuleSpec(
                    "pool", "torch.nn.MaxPool2d", {"kernel_size": 2, "stride": (2, 2), "padding": 0, "ceil_mode": True}
                )
            ]
        else:
            chain = [make_pool_module("MaxPool2d", self.size, self._strides, self.padding)]
        if self.antialiasing:
            chain.append(make_blur_module(ctx.input.c, self.antialiasing, (self.stride_y, self.stride_x)))
        return tuple(chain)

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        if self.maxpool_depth:
            yield from _find_channel_deviations(ctx.input.c, self.out_channels)
            return
        _, *blur = self.modules(ctx)
        before = int(self.padding / 2)
        after = self.padding - before
        plain = ModuleSpec("pool", "torch.nn.MaxPool2d", {"kernel_size": self.size, "stride": self._strides})
        zeros = ModuleSpec("pad", "torch.nn.ConstantPad2d", {"padding": (before, after) * 2, "value": 0.0})
        mirrored = zeros.with_kwargs(padding=(after, before) * 2, value=-inf)
        symmetric = plain.with_kwargs(padding=self.size // 2)
        mean = replace(plain, target="torch.nn.AvgPool2d")
        yield Deviation("max-pool padded with zeros", (zeros, plain, *blur))
        yield Deviation("max-pool padded with more before the map than after it", (mirrored, plain, *blur))
        yield Deviation("max-pool without padding", (plain, *blur))
        yield Deviation("max-pool padded on both sides, size // 2", (symmetric, *blur))
        yield Deviation("the mean instead of the maximum", (zeros, mean, *blur))
        if blur:
            strided = make_pool_module("MaxPool2d", self.size, (self.stride_y, self.stride_x), self.padding)
            yield Deviation("max-pool with its stride, without the blur of antialiasing", (strided,))

    def macs(self, ctx: LayerContext) -> int:
        return count_blur_macs(ctx.output.size, self.antialiasing)

    def printed_flops(self, ctx: LayerContext) -> float:
        pooled_shape = (
            Shape(self.out_channels, ctx.input.h, ctx.input.w)
            if self.maxpool_depth
            else self._infer_pooled_shape(ctx.input)
        )
        return float(self.size**2 * ctx.input.c * pooled_shape.area)

    def summary(self, ctx: LayerContext) -> str:
        if self.maxpool_depth:
            return f"maxpool channels, {self.out_channels}"
        return f"maxpool {format_window(self.size, self.stride_y, self.stride_x)}"


@layer("local_avgpool", "local_avg", dialect="alexeyab")
class LocalAvgpool(Layer):
    """The mean over the part of a window that lies inside the map (maxpool_layer.c forward_local_avgpool_layer)."""

    needs_map = True
    mechanism = "pool"
    role = "pool"

    stride: int = option(default=1, help="Step of the window in pixels.")
    stride_x: int = option(factory=lambda p: p.stride, formula="stride", help="Horizontal step in pixels.")
    stride_y: int = option(factory=lambda p: p.stride, formula="stride", help="Vertical step in pixels.")
    size: int = option(factory=lambda p: p.stride, formula="stride", help="Side of the window in pixels.")
    padding: int = option(
        factory=lambda p: p.size - 1, formula="size - 1", help="Padding in pixels, both sides together."
    )

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        return infer_pooled_shape(inputs[0], self.size, (self.stride_y, self.stride_x), self.padding)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return (make_square_window(self.size, self.stride_y, self.stride_x),)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (
            make_pool_module(
                "AvgPool2d", self.size, (self.stride_y, self.stride_x), self.padding, count_include_pad=False
            ),
        )

    def macs(self, ctx: LayerContext) -> int:
        return ctx.output.size * self.size**2

    def printed_flops(self, ctx: LayerContext) -> float:
        return float(self.size**2 * ctx.output.size)

    def summary(self, ctx: LayerContext) -> str:
        return f"avgpool {format_window(self.size, self.stride_y, self.stride_x)}"


@layer("avgpool", "avg")
class Avgpool(Layer):
    """The mean over all positions (avgpool_layer.c)."""

    needs_map = True
    mechanism = "global pool"
    role = "global"

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        return Shape(inputs[0].c, 1, 1)

    def windows(self, ctx: LayerContext) -> None:
        return None

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("pool", "torch.nn.AdaptiveAvgPool2d", {"output_size": 1}),)

    def macs(self, ctx: LayerContext) -> int:
        return ctx.input.size

    def summary(self, ctx: LayerContext) -> str:
        return "global avgpool"


def _find_channel_deviations(channels: int, groups: int) -> Iterable[Deviation]:
    """Yield deviations from the maximum over every `groups`-th channel."""
    kwargs = {"kernel_size": (-(-channels // groups), 1, 1), "ceil_mode": True}
    for description, name in (
        ("the maximum over neighboring channels", "MaxPool3d"),
        ("the mean over the channels", "AvgPool3d"),
    ):
        yield Deviation(f"{description}", (ModuleSpec("pool", f"torch.nn.{name}", kwargs),))


def infer_pooled_shape(x: Shape, size: int, strides: tuple[int, int], padding: int) -> Shape:
    """Return the shape after pooling with `padding` pixels in total per axis (maxpool_layer.c:30).

    Raises:
        LayerError: The size or a stride is below 1.
    """
    for key, value in (("size", size), ("stride", min(strides))):
        if value < 1:
            raise LayerError(f"{key} must be at least 1, got {value}", option=key)
    h, w = ((n + padding - size) // s + 1 for n, s in zip((x.h, x.w), strides, strict=True))
    return Shape(x.c, h, w)


def make_pool_module(name: str, size: int, strides: tuple[int, int], padding: int, **options: bool) -> ModuleSpec:
    """Return a pooling module: torch's if it is equivalent, otherwise Darknet's.

    torch's pads all sides equally, by at most half a window.

    Args:
        name: Class name, which is the same in torch.nn and `darkparse.model.modules`.
        size: Side of the window.
        strides: Vertical and horizontal stride.
        padding: Total padding per axis in pixels.
        options: Further arguments of torch's module.
    """
    if padding % 2 == 0 and 0 <= padding <= size:
        return ModuleSpec(
            "pool", f"torch.nn.{name}", {"kernel_size": size, "stride": strides, "padding": padding // 2, **options}
        )
    return ModuleSpec("pool", f"{MODULES_PACKAGE}.{name}", {"size": size, "stride": strides, "padding": padding})


def format_window(size: int, stride_y: int, stride_x: int) -> str:
    """Format a window with its strides, such as `2×2 /2`; strides of 1 are omitted."""
    stride = f" /{stride_y}" if stride_y == stride_x else f" /{stride_y}×{stride_x}"
    return f"{size}×{size}{stride if (stride_y, stride_x) != (1, 1) else ''}"
