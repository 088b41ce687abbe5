"""Convolutions and transposed convolutions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from math import ceil, prod

from darkparse.layers.activations import Activation
from darkparse.layers.base import Layer, LayerError, keys, layer, option, to_absolute_index
from darkparse.layers.capabilities import ChannelCut, Channels, Convolution, Cuttable, Mixing
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import (
    MODULES_PACKAGE,
    Weights,
    compute_blurred_length,
    count_blur_macs,
    make_activation_modules,
    make_batchnorm_module,
    make_blur_module,
    make_blurred_windows,
)
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Deviation, LayerContext, ModuleSpec, TensorSpec
from darkparse.layers.window import Window, make_square_window


def compute_conv_length(length: int, size: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Compute the output length of an axis (convolutional_layer.c convolutional_out_height).

    Args:
        length: Input length.
        size: Kernel size.
        stride: Stride.
        padding: Padding on each side before dilation; it is multiplied by the dilation.
        dilation: Dilation.
    """
    return (length + 2 * padding * dilation - dilation * (size - 1) - 1) // stride + 1


class Padded(Layer):
    """Layer kind with a convolution's options `size`, `pad` and `padding`."""

    size: int
    pad: bool
    padding: int

    @property
    def effective_padding(self) -> int:
        """Padding on each side in pixels, before dilation; `pad=1` means size // 2 and overrides `padding`."""
        return self.size // 2 if self.pad else self.padding


@layer("convolutional", "conv")
class Convolutional(Padded, Convolution, Cuttable):
    """A convolution with optional batch norm and activation (parser.c parse_convolutional)."""

    needs_map = True
    role = "conv"
    training = keys(
        binary="Train with signs of the weights; no effect on inference on the CPU.",
        dot="Train filters to be orthogonal.",
    ) | keys(
        dialect="alexeyab",
        assisted_excitation="Strengthen values at objects while training, for this many iterations.",
        sway="Rotate the kernels by small angles while training.",
        rotate="Rotate the kernels while training.",
        stretch="Stretch the kernels while training.",
        stretch_sway="Stretch and rotate the kernels while training.",
        angle="Maximum angle of `rotate`, `sway` and `stretch_sway` in degrees.",
        grad_centr="Center the gradients of each filter.",
        reverse="Reverse the gradient of the layer.",
        coordconv="Read by Darknet and not used.",
        stream="CUDA stream that runs the layer.",
        wait_stream="CUDA stream to wait for.",
    )

    filters: int = option(default=1, minimum=1, help="Output channels.")
    groups: int = option(default=1, help="Groups of channels that are convolved separately.")
    size: int = option(default=1, minimum=1, help="Side of the kernel in pixels.")
    stride: int = option(default=1, help="Step of the window in pixels.")
    stride_x: int = option(
        dialect="alexeyab", factory=lambda c: c.stride, formula="stride", help="Horizontal step in pixels."
    )
    stride_y: int = option(
        dialect="alexeyab", factory=lambda c: c.stride, formula="stride", help="Vertical step in pixels."
    )
    dilation: int = option(default=1, dialect="alexeyab", help="Distance of neighboring kernel values in pixels.")
    pad: bool = option(default=False, help="Pad by size // 2 on each side; replaces `padding`.")
    padding: int = option(default=0, minimum=0, help="Padding on each side in pixels.")
    activation: Activation = option(default="logistic", help="Activation function.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )
    cbn: bool = option(
        default=False,
        dialect="alexeyab",
        help="Batch norm across mini-batches; the same as `batch_normalize` for inference.",
    )
    flipped: bool = option(default=False, help="Weights are stored transposed.")
    xnor: bool = option(default=False, help="Use signs of weights and inputs (XNOR-Net).")
    bin_output: bool = option(
        default=False, dialect="alexeyab", help="Store the output as bits, for an XNOR layer that follows."
    )
    antialiasing: int = option(
        default=0, dialect="alexeyab", help="Move the stride to a blur after the layer: 2 for 2×2, otherwise 3×3."
    )
    share_index: int | None = option(
        default=None, dialect="alexeyab", help="Layer whose weights this one shares; the weights file has none for it."
    )
    dontloadscales: bool = option(default=False, help="Weights file has no scales, means and variances of batch norm.")
    numload: int = option(default=0, dialect="pjreddie", help="Filters in the weights file, if fewer than `filters`.")
    xnor_joins_groups: bool = option(default=False, keys="", dialect_default="xnor_joins_groups")

    @property
    def normalized(self) -> bool:
        return self.batch_normalize or self.cbn

    @property
    def effective_dilation(self) -> int:
        """Dilation in effect; 1 for a 1×1 kernel."""
        return 1 if self.size == 1 else self.dilation

    @property
    def strides(self) -> tuple[int, int]:
        """Vertical and horizontal stride; a value below 1 falls back to `stride`."""
        return tuple(s if s >= 1 else self.stride for s in (self.stride_y, self.stride_x))  # type: ignore[return-value]

    @property
    def effective_groups(self) -> int:
        """Number of groups in effect; 1 for XNOR in dialects that ignore `groups` there."""
        return 1 if self.xnor and self.xnor_joins_groups else max(self.groups, 1)

    @property
    def is_depthwise(self) -> bool:
        return self.effective_groups > 1 and self.effective_groups == self.filters

    @property
    def mechanism(self) -> str:  # type: ignore[override]
        return "stride" if max(self.strides) > 1 else "projection" if self.size == 1 else "convolution"

    @property
    def mixing(self) -> Mixing:
        if self.is_depthwise:
            return "alone"
        return "channels" if self.size == 1 and max(self.strides) == 1 else "both"

    def shared_with(self, index: int) -> int | None:
        return None if self.share_index is None else to_absolute_index(self.share_index, index)

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        c, (sy, sx) = inputs[0].c, self.strides
        for key, value in (("stride", min(sy, sx)), ("dilation", self.effective_dilation)):
            if value < 1:
                raise LayerError(f"{key} must be at least 1, got {value}", option=key)
        _check_numload(self)
        for label, count in (("input channels", c), ("filters", self.filters)):
            if count % self.effective_groups:
                raise LayerError(
                    f"groups={self.effective_groups} does not divide the {count} {label}", option="groups", input=0
                )
        conv_shape = self._infer_conv_shape(inputs[0])
        if not self.antialiasing:
            return conv_shape
        return Shape(
            self.filters,
            compute_blurred_length(conv_shape.h, self.antialiasing, sy),
            compute_blurred_length(conv_shape.w, self.antialiasing, sx),
        )

    def _infer_conv_shape(self, x: Shape) -> Shape:
        """Return the shape before the blur; with antialiasing the blur applies the stride, not the convolution."""
        sy, sx = (1, 1) if self.antialiasing else self.strides
        h, w = (
            compute_conv_length(n, self.size, s, self.effective_padding, self.effective_dilation)
            for n, s in ((x.h, sy), (x.w, sx))
        )
        return Shape(self.filters, h, w)

    def cut(self, ctx: LayerContext, outputs: Channels | None, inputs: tuple[Channels | None, ...]) -> ChannelCut:
        count = {} if outputs is None else {"filters": len(outputs)}
        groups = self.effective_groups
        if groups == 1:
            return ChannelCut(count, {"conv.weight": (outputs, inputs[0])})
        length = self.filters // groups
        kept = tuple(dict.fromkeys(channel // length for channel in outputs or ()))
        if (outputs, inputs[0]) != (_expand(kept, length), _expand(kept, ctx.input.c // groups)):
            message = f"cannot select channels of a convolution with {groups} groups; expected whole groups"
            raise LayerError(message, option="groups")
        return ChannelCut(count | {"groups": len(kept)}, {})

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return make_blurred_windows((self.size - 1) * self.effective_dilation + 1, self.strides, self.antialiasing)

    def weight_shape(self, x: Shape) -> tuple[int, int, int, int]:
        """Return (filters, input channels per group, size, size) for an input shape."""
        return (self.filters, x.c // self.effective_groups, self.size, self.size)

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        if self.share_index is not None:
            return ()
        return Weights(
            self.weight_shape(ctx.input),
            self.normalized,
            rows=self.numload or None,
            transposed=self.flipped,
            stores_scales=not self.dontloadscales,
        ).make_convolutional()

    def num_elements(self, ctx: LayerContext) -> int:
        if self.share_index is not None:
            return 0
        return prod(self.weight_shape(ctx.input)) + self.filters * (4 if self.normalized else 1)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        convolution = self._make_convolution(ctx)
        if self.share_index is not None:
            kwargs = {key: convolution.kwargs[key] for key in ("stride", "padding", "dilation", "groups")}
            chain = [ModuleSpec("conv", f"{MODULES_PACKAGE}.SharedConvolution", kwargs)]
        else:
            chain = [convolution]
            if self.normalized:
                chain.append(make_batchnorm_module(ctx.dialect, self.filters))
        # With bin_output the next layer reads only the signs (network.c calculate_binary_weights).
        gives_signs = self.xnor and self.bin_output and not ctx.read_whole
        chain += make_activation_modules("linear" if gives_signs else self.activation)
        if self.antialiasing:
            chain.append(make_blur_module(self.filters, self.antialiasing, self.strides))
        return tuple(chain)

    def _make_convolution(self, ctx: LayerContext) -> ModuleSpec:
        kwargs = {
            "in_channels": ctx.input.c,
            "out_channels": self.filters,
            "kernel_size": self.size,
            "stride": 1 if self.antialiasing else self.strides,
            "padding": self.effective_padding * self.effective_dilation,
            "dilation": self.effective_dilation,
            "groups": self.effective_groups,
            "bias": not self.normalized,
        }
        if not self.xnor:
            return ModuleSpec("conv", "torch.nn.Conv2d", kwargs)
        bits = ctx.dialect.xnor_pads_with_minus_one and self.strides[0] == self.strides[1]
        return ModuleSpec("conv", f"{MODULES_PACKAGE}.XnorConv2d", kwargs | {"pad_value": -1.0 if bits else 0.0})

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        if ctx.dialect.pointwise_loses_stride and self.size == 1 and max(self.strides) > 1:
            message = (
                "pjreddie's CPU code ignores the stride of a 1×1 convolution (convolutional_layer.c:468); its GPU code "
                "and darkparse apply it"
            )
            return (LayerError(message, option="stride"),)
        return ()

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        convolution, *rest = self.modules(ctx)
        kwargs = convolution.kwargs
        for padding in sorted({0, self.size // 2} - {kwargs["padding"]}) if self.share_index is None else ():
            description = f"padding {padding} instead of {kwargs['padding']}"
            yield Deviation(description, (convolution.with_kwargs(padding=padding), *rest))
        if self.size > 1 and self.share_index is None:
            total_padding = self.size - (1 if self.antialiasing else max(self.strides))
            sides = (total_padding // 2, total_padding - total_padding // 2) * 2
            pad = ModuleSpec("pad", "torch.nn.ZeroPad2d", {"padding": sides})
            description = "padding as in TensorFlow's SAME, more after the map than before it"
            yield Deviation(description, (pad, convolution.with_kwargs(padding=0), *rest))

    def macs(self, ctx: LayerContext) -> int:
        blur = count_blur_macs(ctx.output.size, self.antialiasing)
        return prod(self.weight_shape(ctx.input)) * self._infer_conv_shape(ctx.input).area + blur

    def printed_flops(self, ctx: LayerContext) -> float:
        flops = 2.0 * prod(self.weight_shape(ctx.input)) * self._infer_conv_shape(ctx.input).area
        return flops / 32 if self.xnor else flops

    def summary(self, ctx: LayerContext) -> str:
        sy, sx = self.strides
        stride = "" if sy == sx == 1 else f" /{sy}" if sy == sx else f" /{sy}×{sx}"
        groups = " dw" if self.is_depthwise else f" g{self.effective_groups}" if self.effective_groups > 1 else ""
        dilation = f" d{self.effective_dilation}" if self.effective_dilation > 1 else ""
        return f"conv {self.size}×{self.size}{stride}, {self.filters}{groups}{dilation}"


def _expand(groups: Channels, length: int) -> Channels:
    """Return the channels of some groups of this length."""
    return tuple(group * length + place for group in groups for place in range(length))


def _check_numload(layer: Convolutional | Deconvolutional) -> None:
    if not 0 <= layer.numload <= layer.filters:
        raise LayerError(
            f"numload must be 0 to {layer.filters}, the number of filters; got {layer.numload}", option="numload"
        )


@layer("deconvolutional", "deconv", dialect="pjreddie")
class Deconvolutional(Padded):
    """A transposed convolution (pjreddie parser.c parse_deconvolutional)."""

    needs_map = True
    mechanism = "transposed convolution"

    filters: int = option(default=1, minimum=1, help="Output channels.")
    size: int = option(default=1, minimum=1, help="Side of the kernel in pixels.")
    stride: int = option(default=1, minimum=1, help="Factor of the upsampling.")
    pad: bool = option(default=False, help="Cut size // 2 pixels from each side; replaces `padding`.")
    padding: int = option(default=0, minimum=0, help="Pixels that are cut from each side of the output.")
    activation: Activation = option(default="logistic", help="Activation function.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )
    dontloadscales: bool = option(default=False, help="Weights file has no scales, means and variances of batch norm.")
    numload: int = option(default=0, help="Filters in the weights file, if fewer than `filters`.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        _check_numload(self)
        if self.numload * inputs[0].c % self.filters:
            message = (
                f"numload={self.numload} of {self.filters} filters would end a weights file within the weights of an "
                "input channel"
            )
            raise LayerError(message, option="numload", input=0)
        h, w = ((n - 1) * self.stride + self.size - 2 * self.effective_padding for n in (inputs[0].h, inputs[0].w))
        return Shape(self.filters, h, w)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return (make_square_window(ceil(self.size / self.stride), Fraction(1, self.stride)),)

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        # deconvolutional_layer.c stores weights as (input channels, filters, size, size), which is also torch's order.
        shape = (ctx.input.c, self.filters, self.size, self.size)
        spread = 0.02 * ctx.output.area / ctx.input.area
        stored_filters, stores_scales = self.numload or None, not self.dontloadscales
        parts = Weights(
            (self.filters, *shape[:1], *shape[2:]),
            self.batch_normalize,
            rows=stored_filters,
            stores_scales=stores_scales,
        )
        *others, weights = parts.make_convolutional("deconv")
        # With numload, load_convolutional_weights reads that many filters' worth of floats from the start of the
        # weights (parser.c:1170). Here the first axis is the input channels, so they are counted in its rows.
        rows = stored_filters and ctx.input.c * stored_filters // self.filters
        return (*others, replace(weights, shape=shape, rows=rows, initial=("normal", 0.0, spread)))

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {
            "in_channels": ctx.input.c,
            "out_channels": self.filters,
            "kernel_size": self.size,
            "stride": self.stride,
            "padding": self.effective_padding,
            "bias": not self.batch_normalize,
        }
        norm = (make_batchnorm_module(ctx.dialect, self.filters),) if self.batch_normalize else ()
        return (
            ModuleSpec("deconv", "torch.nn.ConvTranspose2d", kwargs),
            *norm,
            *make_activation_modules(self.activation),
        )

    def macs(self, ctx: LayerContext) -> int:
        return ctx.input.size * self.filters * self.size**2

    def summary(self, ctx: LayerContext) -> str:
        return f"deconv {self.size}×{self.size} /{self.stride}, {self.filters}"
