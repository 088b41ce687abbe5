"""Layers that change the resolution or move values between positions and channels: upsample, reorg, crop."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import gcd, inf
from typing import ClassVar

from darkparse.layers.base import Layer, LayerError, keys, layer, option
from darkparse.layers.capabilities import Reinterpretable
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import MODULES_PACKAGE
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Deviation, LayerContext, ModuleSpec
from darkparse.layers.window import Window, make_square_window


@layer("upsample")
class Upsample(Layer):
    """Nearest-neighbor upsampling; with a negative stride, the sum over each block (upsample_layer.c)."""

    needs_map = True
    mechanism = "upsampling"
    role = "upsample"

    stride: int = option(default=2, help="Factor of the upsampling; negative for the sum over blocks of that size.")
    scale: float = option(default=1.0, help="Factor of the values.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        c, h, w = inputs[0]
        if self.stride == 0:
            raise LayerError("stride must not be 0", option="stride")
        if self.stride > 0:
            return Shape(c, h * self.stride, w * self.stride)
        if h % -self.stride or w % -self.stride:
            raise LayerError(
                f"cannot divide a map of {inputs[0]} into blocks of {-self.stride}×{-self.stride}",
                option="stride",
                input=0,
            )
        return Shape(c, h // -self.stride, w // -self.stride)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return (
            make_square_window(-self.stride, -self.stride)
            if self.stride < 0
            else make_square_window(1, Fraction(1, self.stride)),
        )

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        if self.stride > 0 and self.scale == 1:
            return (ModuleSpec("upsample", "torch.nn.Upsample", {"scale_factor": self.stride, "mode": "nearest"}),)
        return (
            ModuleSpec("upsample", f"{MODULES_PACKAGE}.ScaledUpsample", {"stride": self.stride, "scale": self.scale}),
        )

    def macs(self, ctx: LayerContext) -> int:
        return ctx.input.size if self.stride < 0 else ctx.output.size if self.scale != 1 else 0

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        for align_corners in (False, True) if self.stride > 0 else ():
            description = f"bilinear upsampling{', corners aligned' if align_corners else ''}"
            kwargs = {"scale_factor": self.stride, "mode": "bilinear", "align_corners": align_corners}
            yield Deviation(description, (ModuleSpec("upsample", "torch.nn.Upsample", kwargs),))

    def summary(self, ctx: LayerContext) -> str:
        return f"upsample ×{self.stride}" if self.stride > 0 else f"block sum /{-self.stride}"


class Rearranging(Layer):
    """Lossless rearrangement of positions to channels, or channels to positions with `reverse`."""

    needs_map = True
    mechanism = "rearrangement"
    role = "reorg"
    consequence: ClassVar[str] = ""
    """What Darknet does with a map that does not divide into blocks."""

    stride: int
    reverse: bool

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return (
            make_square_window(1, Fraction(1, self.stride))
            if self.reverse
            else make_square_window(self.stride, self.stride),
        )

    def _infer_rearranged_shape(self, x: Shape, stride: int, reverse: bool) -> Shape:
        if stride < 1:
            raise LayerError(f"stride must be at least 1, got {stride}", option="stride")
        if reverse:
            if x.c % stride**2:
                raise LayerError(
                    f"cannot divide {x.c} channels into blocks of {stride}×{stride}", option="stride", input=0
                )
            return Shape(x.c // stride**2, x.h * stride, x.w * stride)
        if x.h % stride or x.w % stride:
            message = f"cannot divide a map of {x} into blocks of {stride}×{stride}{self.consequence}"
            raise LayerError(message, option="stride", input=0)
        return Shape(x.c * stride**2, x.h // stride, x.w // stride)


@layer("reorg")
class Reorg(Rearranging, Reinterpretable):
    """Darknet's own reorg: the map is read as if it had fewer channels and more positions (blas.c reorg_cpu).

    Its order differs from `[reorg3d]` and from any pixel-unshuffle. Weights trained with AlexeyAB's fork in early 2018
    expect the order of `[reorg3d]` (AlexeyAB/darknet#489).
    """

    consequence = "; Darknet continues and writes past its buffer (blas.c reorg_cpu)"
    stride: int = option(default=1, help="Side of a block in pixels.")
    reverse: bool = option(default=False, help="Move channels to positions instead.")
    flatten: bool = option(
        default=False, dialect="pjreddie", help="Move whole channels to the end, position by position."
    )
    extra: int = option(
        default=0, dialect="pjreddie", help="Zeros to append to the flattened input, instead of any rearrangement."
    )

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        x = inputs[0]
        if self.extra:
            return Shape.flat(x.size + self.extra)
        out = self._infer_rearranged_shape(x, self.stride, self.reverse)
        if not self.flatten and x.c % self.stride**2:
            raise LayerError(
                f"cannot divide {x.c} channels into blocks of {self.stride}×{self.stride}",
                input=0,
            )
        return out

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        """Return a window that covers Darknet's order, which combines rows from beyond the block.

        The rows are further apart if the height is not divisible by the stride's square. Wraparound at the border is
        ignored.
        """
        if self.flatten:
            return (make_square_window(inf, Fraction(1, self.stride) if self.reverse else self.stride),)
        if self.reverse:
            return super().windows(ctx)
        s = self.stride
        rows = s * (s - 1) + 1 + (s - 1) * (s - gcd(ctx.input.h // s, s))
        return (Window((rows, s), (s, s)),)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        if self.extra:
            return (ModuleSpec("reorg", f"{MODULES_PACKAGE}.AppendZeros", {"count": self.extra}),)
        if self.flatten:
            kwargs = {"stride": self.stride, "reverse": self.reverse}
            return (ModuleSpec("reorg", f"{MODULES_PACKAGE}.FlattenReorg", kwargs),)
        return (ModuleSpec("reorg", f"{MODULES_PACKAGE}.Reorg", {"stride": self.stride, "reverse": self.reverse}),)

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        description = "[reorg] in the order of AlexeyAB's [reorg3d] (marvis, PyTorch-YOLOv4)"
        yield Deviation(description, self.reinterpret().modules(ctx))
        shuffle = ModuleSpec("reorg", "torch.nn.PixelUnshuffle", {"downscale_factor": self.stride})
        yield Deviation("[reorg] as pixel_unshuffle", (shuffle,))

    def reinterpret(self) -> Reorg3d:
        return Reorg3d(stride=self.stride, reverse=self.reverse, dontload=self.dontload)

    def summary(self, ctx: LayerContext) -> str:
        return f"reorg {'×' if self.reverse else '/'}{self.stride}"


@layer("reorg3d", dialect="alexeyab")
class Reorg3d(Rearranging):
    """Blocks of positions moved to channels, in the usual order of space-to-depth (AlexeyAB reorg_layer.c)."""

    stride: int = option(default=1, minimum=1, help="Side of a block in pixels.")
    reverse: bool = option(default=False, help="Move channels to positions instead.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.reverse and inputs[0].c % self.stride**4:
            raise LayerError(
                f"reverse=1 divides the channels twice, got {inputs[0].c}; expected a multiple of {self.stride**4}",
                input=0,
            )
        return self._infer_rearranged_shape(inputs[0], self.stride, self.reverse)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        if not self.reverse:
            return super().windows(ctx)
        # Darknet calls the inverse with the output's sizes, which interleaves rows: 0, 1, 0, 1, 2, 3, 2, 3.
        step = Fraction(1, self.stride)
        return (Window((1, 1), (step, step), (self.stride - 1, 0)),)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("reorg", f"{MODULES_PACKAGE}.Reorg3d", {"stride": self.stride, "reverse": self.reverse}),)

    def summary(self, ctx: LayerContext) -> str:
        return f"reorg3d {'×' if self.reverse else '/'}{self.stride}"


@layer("crop")
class Crop(Layer):
    """The center of the image, scaled from 0…1 to -1…1 unless `noadjust` (crop_layer.c forward_crop_layer)."""

    needs_map = True
    mechanism = "crop"
    is_size_bound = True
    training = keys(
        flip="Mirror half of the images in training.",
        angle="Maximum rotation in degrees in training.",
        saturation="Maximum change of the saturation in training, as a factor.",
        exposure="Maximum change of the brightness in training, as a factor.",
        shift="Maximum shift of each color channel in training.",
    )

    crop_height: int = option(default=1, help="Height of the output in pixels.")
    crop_width: int = option(default=1, help="Width of the output in pixels.")
    noadjust: bool = option(default=False, help="Keep values of 0 to 1 instead of scaling them to -1 to 1.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        c, h, w = inputs[0]
        for key, value, limit in (("crop_height", self.crop_height, h), ("crop_width", self.crop_width, w)):
            if not 1 <= value <= limit:
                raise LayerError(f"{key} must be 1 to {limit}, the size of the input; got {value}", option=key)
        return Shape(c, self.crop_height, self.crop_width)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return ()

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"height": self.crop_height, "width": self.crop_width, "adjust": not self.noadjust}
        return (ModuleSpec("crop", f"{MODULES_PACKAGE}.CenterCrop", kwargs),)

    def macs(self, ctx: LayerContext) -> int:
        return 0 if self.noadjust else ctx.output.size

    def summary(self, ctx: LayerContext) -> str:
        return f"crop {self.crop_height}×{self.crop_width}"
