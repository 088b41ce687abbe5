"""Layers for vectors: fully connected, softmax, and the learned constant `[implicit]`."""

from __future__ import annotations

from pathlib import PurePath

from darkparse.layers.activations import Activation
from darkparse.layers.base import LayerError, layer, option
from darkparse.layers.capabilities import ChannelCut, Channels, Classifier, Cuttable, LimitedGradient, LossLayer
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import (
    MODULES_PACKAGE,
    Weights,
    check_tree,
    make_activation_modules,
    make_batchnorm_module,
    make_flatten_modules,
)
from darkparse.layers.shape import Shape
from darkparse.layers.specs import LayerContext, LossSpec, ModuleSpec, TensorSpec
from darkparse.layers.training import SoftmaxTraining
from darkparse.layers.tree import read_tree


@layer("connected", "conn")
class Connected(LimitedGradient, Cuttable):
    """A fully connected layer over all values of its input (connected_layer.c)."""

    mechanism = "full connection"
    role = "dense"
    is_size_bound = True

    output: int = option(default=1, minimum=1, help="Length of the output.")
    activation: Activation = option(default="logistic", help="Activation function.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )
    dontloadscales: bool = option(default=False, help="Weights file has no scales, means and variances of batch norm.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        return Shape.vector(self.output)

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        return Weights(
            (self.output, ctx.input.size), self.batch_normalize, stores_scales=not self.dontloadscales
        ).make_connected()

    def cut(self, ctx: LayerContext, outputs: Channels | None, inputs: tuple[Channels | None, ...]) -> ChannelCut:
        area, channels = ctx.input.area, inputs[0]
        values = channels and tuple(channel * area + place for channel in channels for place in range(area))
        return ChannelCut({} if outputs is None else {"output": len(outputs)}, {"linear.weight": (outputs, values)})

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        flatten = make_flatten_modules(ctx.input)
        kwargs = {"in_features": ctx.input.size, "out_features": self.output, "bias": not self.batch_normalize}
        norm = (make_batchnorm_module(ctx.dialect, self.output),) if self.batch_normalize else ()
        return (
            *flatten,
            ModuleSpec("linear", "torch.nn.Linear", kwargs),
            *norm,
            *make_activation_modules(self.activation),
        )

    def macs(self, ctx: LayerContext) -> int:
        return ctx.input.size * self.output

    def summary(self, ctx: LayerContext) -> str:
        return f"fully connected, {self.output}"


@layer("softmax", "soft")
class Softmax(LossLayer, Classifier):
    """Softmax over the vector, over equal parts of it, or over the groups of a word tree (softmax_layer.c)."""

    role = "dense"
    loss_options = SoftmaxTraining
    is_identity_backward = True

    groups: int = option(default=1, help="Equal parts of the vector with a softmax each.")
    temperature: float = option(default=1.0, help="Divisor of the values before the softmax.")
    tree: PurePath | None = option(default=None, is_file=True, help="File with the word tree of the classes.")
    spatial: bool = option(
        default=False, help="Softmax over the channels at each position; only Darknet's GPU code supports it."
    )

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.spatial and inputs[0].is_map:
            return inputs[0].flatten()
        if self.tree is not None:
            check_tree(self.tree, inputs[0].size, "input values")
        if self.groups < 1 or inputs[0].size % self.groups:
            raise LayerError(f"groups={self.groups} does not divide the {inputs[0].size} input values", option="groups")
        return inputs[0].flatten()

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        if self.spatial and ctx.input.is_map:
            # Only Darknet's GPU code supports `spatial`: softmax over the channels at each position.
            return (ModuleSpec("softmax", "torch.nn.Softmax", {"dim": 1}), *make_flatten_modules(ctx.input))
        flatten = make_flatten_modules(ctx.input)
        if self.tree is not None:
            kwargs = {"group_sizes": read_tree(self.tree).group_sizes, "temperature": self.temperature}
            return (*flatten, ModuleSpec("softmax", f"{MODULES_PACKAGE}.TreeSoftmax", kwargs))
        if self.groups == 1 and self.temperature == 1:
            return (*flatten, ModuleSpec("softmax", "torch.nn.Softmax", {"dim": 1}))
        kwargs = {"groups": self.groups, "temperature": self.temperature}
        return (*flatten, ModuleSpec("softmax", f"{MODULES_PACKAGE}.GroupedSoftmax", kwargs))

    def loss(self, ctx: LayerContext, options: SoftmaxTraining, net: Shape) -> LossSpec:
        return LossSpec("darkparse.training.losses.vectors.SoftmaxLoss", {"noloss": options.noloss})

    def macs(self, ctx: LayerContext) -> int:
        return ctx.output.size

    def summary(self, ctx: LayerContext) -> str:
        return "softmax" if self.groups == 1 else f"softmax, {self.groups} groups"


@layer("implicit", dialect="alexeyab")
class Implicit(Cuttable):
    """A learned constant, the same for every image (representation_layer.c)."""

    mean: float = option(default=0.0, help="Mean of the start values.")
    std: float = option(default=0.2, help="Spread of the start values.")
    filters: int = option(default=128, minimum=1, help="Output channels.")
    atoms: int = option(default=1, minimum=1, help="Values per channel.")

    def inputs(self, index: int) -> tuple[int, ...]:
        return ()

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        return Shape(self.filters, self.atoms, 1)

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        return (
            TensorSpec("implicit.weight", (self.filters, self.atoms, 1), ("uniform", self.mean, self.std), "constant"),
        )

    def cut(self, ctx: LayerContext, outputs: Channels | None, inputs: tuple[Channels | None, ...]) -> ChannelCut:
        return ChannelCut({} if outputs is None else {"filters": len(outputs)}, {})

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("implicit", f"{MODULES_PACKAGE}.Implicit", {"shape": ctx.output.tensor}),)

    def summary(self, ctx: LayerContext) -> str:
        return f"learned constant, {self.filters}"
