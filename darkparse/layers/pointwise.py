"""Layers that preserve the shape: activations, normalizations, and layers used only in training."""

from __future__ import annotations

from darkparse.layers.activations import ACTIVATIONS, Activation
from darkparse.layers.base import Layer, LayerError, keys, layer, option
from darkparse.layers.capabilities import ChannelCut, Channels, Cuttable, LossLayer
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import MODULES_PACKAGE, make_activation_modules, make_batchnorm_module
from darkparse.layers.shape import Shape
from darkparse.layers.specs import ONE, LayerContext, LossSpec, ModuleSpec, TensorSpec
from darkparse.layers.training import CostTraining, Training


@layer("activation")
class ActivationLayer(Layer):
    """An activation as a separate layer (activation_layer.c)."""

    activation: Activation = option(default="linear", help="Activation function.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if ACTIVATIONS[self.activation].over_channels and not inputs[0].is_map:
            raise LayerError(
                f"activation={self.activation} requires a map with channels, got a vector", option="activation", input=0
            )
        return inputs[0]

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return make_activation_modules(self.activation)

    def summary(self, ctx: LayerContext) -> str:
        return self.activation


@layer("logistic", dialect="pjreddie")
class Logistic(LossLayer):
    """The logistic function, with a cross-entropy loss in training (logistic_layer.c)."""

    loss_options = Training
    is_identity_backward = True

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return make_activation_modules("logistic")

    def loss(self, ctx: LayerContext, options: Training, net: Shape) -> LossSpec:
        return LossSpec("darkparse.training.losses.vectors.LogisticLoss", {})


@layer("batchnorm")
class Batchnorm(Cuttable):
    """Batch norm as a separate layer (batchnorm_layer.c)."""

    needs_map = True

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        shape = (ctx.input.c,)
        return (
            TensorSpec("norm.bias", shape, role="bias", stored=ctx.dialect.batchnorm_stores_biases),
            TensorSpec("norm.weight", shape, ONE, "scale"),
            TensorSpec("norm.running_mean", shape, role="mean"),
            TensorSpec("norm.running_var", shape, ONE, "variance"),
        )

    def cut(self, ctx: LayerContext, outputs: Channels | None, inputs: tuple[Channels | None, ...]) -> ChannelCut:
        return ChannelCut({}, {})

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (make_batchnorm_module(ctx.dialect, ctx.input.c),)

    def macs(self, ctx: LayerContext) -> int:
        return ctx.output.size

    def summary(self, ctx: LayerContext) -> str:
        return "batch norm"


@layer("normalization", "lrn")
class Normalization(Layer):
    """Local response normalization over neighboring channels (normalization_layer.c)."""

    needs_map = True

    alpha: float = option(default=0.0001, help="Factor of the sum of squares.")
    beta: float = option(default=0.75, help="Exponent of the divisor.")
    kappa: float = option(default=1.0, help="Constant in the divisor.")
    size: int = option(default=5, minimum=1, help="Neighboring channels in the sum.")

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = self.options("size", "alpha", "beta", "kappa")
        return (ModuleSpec("norm", f"{MODULES_PACKAGE}.LocalResponseNorm", kwargs),)

    def macs(self, ctx: LayerContext) -> int:
        # Each value is squared, added to and subtracted from the running sum, and multiplied at the end.
        return 4 * ctx.output.size

    def summary(self, ctx: LayerContext) -> str:
        return f"local response norm, {self.size}"


@layer("l2norm", dialect="pjreddie")
class L2norm(Layer):
    """The channels at each position divided by their Euclidean norm (blas.c l2normalize_cpu)."""

    needs_map = True

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("norm", f"{MODULES_PACKAGE}.L2Norm", {}),)

    def macs(self, ctx: LayerContext) -> int:
        return 2 * ctx.output.size

    def summary(self, ctx: LayerContext) -> str:
        return "l2 norm"


@layer("dropout")
class Dropout(Layer):
    """Dropout: no effect at inference; in training a fraction of the values is set to 0 (dropout_layer.c)."""

    training = keys(
        dialect="alexeyab",
        dropblock="Drop blocks of positions instead of single values.",
        dropblock_size_rel="Side of a block as a fraction of the map.",
        dropblock_size_abs="Side of a block in pixels.",
    )

    probability: float = option(
        default=0.5, dialect_default="dropout_probability", help="Fraction of the values set to 0 in training."
    )

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if not 0 <= self.probability <= 1:
            raise LayerError(f"probability must be 0 to 1, got {self.probability:g}", option="probability")
        return inputs[0]

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("dropout", "torch.nn.Dropout", {"p": self.probability}),)


@layer("empty", "silence", dialect="alexeyab")
class Empty(Layer):
    """No operation: the input passes through."""

    parser = "parse_network_cfg"


@layer("cost")
class CostLayer(LossLayer):
    """A loss; at inference the input passes through (cost_layer.c)."""

    role = "loss"
    training = keys(ratio="Fraction of the largest errors that are trained.") | keys(
        dialect="pjreddie",
        noobj="Factor of errors where the target is 0.",
        thresh="Errors below this are not trained.",
    )
    loss_options = CostTraining

    def loss(self, ctx: LayerContext, options: CostTraining, net: Shape) -> LossSpec:
        return LossSpec("darkparse.training.losses.vectors.CostLoss", {"kind": options.type, "scale": options.scale})


@layer("contrastive", dialect="alexeyab")
class Contrastive(LossLayer):
    """A loss over embeddings; at inference the input passes through (softmax_layer.c make_contrastive_layer)."""

    role = "loss"
    training = keys(
        classes="Number of classes.",
        yolo_layer="Head whose objects are compared.",
        temperature="Divisor of similarities.",
        cls_normalizer="Weight of the loss.",
        max_delta="Limit of a gradient's absolute value.",
        contrastive_neg_max="Maximum number of negative pairs per object.",
    )
    loss_options = Training

    def loss(self, ctx: LayerContext, options: Training, net: Shape) -> LossSpec:
        raise LayerError("[contrastive] cannot be trained: its loss requires objects tracked across images")
