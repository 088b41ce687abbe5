"""Stateful layers: rnn, gru, lstm, their convolutional variants, and history.

One call is one time step. The module stores the state between calls, as Darknet does in `l.state`.
"""

from __future__ import annotations

from abc import abstractmethod
from math import prod
from typing import Any

from darkparse.layers.activations import Activation
from darkparse.layers.base import Layer, LayerError, keys, layer, option
from darkparse.layers.convolutional import Padded, compute_conv_length
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import Weights
from darkparse.layers.shape import Shape
from darkparse.layers.specs import LayerContext, ModuleSpec, TensorSpec
from darkparse.layers.window import WHOLE_MAP, Window

RECURRENT_MODULE = "darkparse.model.recurrent"


def _get_norm_kwargs(dialect: Dialect) -> dict[str, Any]:
    """Return the keyword arguments that configure batch norm inside a recurrent module."""
    return {"epsilon": dialect.batchnorm_epsilon, "epsilon_on_root": dialect.epsilon_on_root}


class VectorMemory(Layer):
    """Base class of rnn, gru and lstm, whose output is a vector."""

    has_state = True
    mechanism = "recurrence"

    output: int
    batch_normalize: bool

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        return Shape.flat(self.output) if self.kind in dialect.flat_recurrences else Shape.vector(self.output)

    @abstractmethod
    def get_weight_shapes(self, ctx: LayerContext) -> dict[str, tuple[int, int]]:
        """Return (outputs, inputs) of each matrix, in file order."""

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        parts = self.get_weight_shapes(ctx).items()
        return tuple(
            t for name, shape in parts for t in Weights(shape, self.batch_normalize, f"cell.{name}.").make_connected()
        )


@layer("rnn")
class Rnn(VectorMemory):
    """A simple recurrent layer: state from input and state, output from state (rnn_layer.c)."""

    output: int = option(default=1, minimum=1, help="Length of the output.")
    hidden: int = option(default=1, minimum=1, help="Length of the state; pjreddie's fork uses `output`.")
    activation: Activation = option(default="logistic", help="Activation of state and output.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )
    logistic: int = option(
        default=0,
        dialect="alexeyab",
        help="Activation of the state: 1 for logistic, 2 for loggy, otherwise `activation`.",
    )
    shortcut: bool = option(default=False, help="Add the old state to the new one instead of replacing it.")

    @property
    def self_activation(self) -> str:
        """Activation of the state; `logistic=1` and `logistic=2` replace `activation` (rnn_layer.c make_rnn_layer)."""
        return {1: "logistic", 2: "loggy"}.get(self.logistic, self.activation)

    def get_weight_shapes(self, ctx: LayerContext) -> dict[str, tuple[int, int]]:
        hidden = self._get_state_size(ctx)
        return {"input": (hidden, ctx.input.size), "self": (hidden, hidden), "output": (self.output, hidden)}

    def _get_state_size(self, ctx: LayerContext) -> int:
        """Return the size of the state; pjreddie's fork ignores `hidden`."""
        return self.output if ctx.dialect.rnn_state_is_output else self.hidden

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"inputs": ctx.input.size, "hidden": self._get_state_size(ctx), "outputs": self.output}
        kwargs |= self.options("activation", "self_activation", "shortcut", "batch_normalize")
        return (ModuleSpec("cell", f"{RECURRENT_MODULE}.Rnn", kwargs | _get_norm_kwargs(ctx.dialect)),)

    def macs(self, ctx: LayerContext) -> int:
        return sum(prod(shape) for shape in self.get_weight_shapes(ctx).values())

    def summary(self, ctx: LayerContext) -> str:
        return f"rnn, state {self._get_state_size(ctx)}, {self.output}"


class GatedVectorMemory(VectorMemory):
    """Base class of gru and lstm; each gate has a matrix for the state (`w…`) and one for the input (`u…`)."""

    @abstractmethod
    def get_matrix_order(self, dialect: Dialect) -> tuple[str, ...]:
        """Return the names of the matrices, in file order."""

    def get_weight_shapes(self, ctx: LayerContext) -> dict[str, tuple[int, int]]:
        columns = {"u": ctx.input.size, "w": self.output}
        return {name: (self.output, columns[name[0]]) for name in self.get_matrix_order(ctx.dialect)}

    def macs(self, ctx: LayerContext) -> int:
        # Each gate has two matrix products; three elementwise products follow.
        gates = len(self.get_matrix_order(ctx.dialect)) // 2
        return gates * self.output * (ctx.input.size + self.output) + 3 * self.output

    def get_arguments(self, ctx: LayerContext) -> dict[str, Any]:
        """Return the keyword arguments that the modules of gru and lstm share."""
        return {
            "inputs": ctx.input.size,
            "outputs": self.output,
            "batch_normalize": self.batch_normalize,
        } | _get_norm_kwargs(ctx.dialect)

    def summary(self, ctx: LayerContext) -> str:
        return f"{self.kind} {self.output}"


@layer("gru")
class Gru(GatedVectorMemory):
    """A gated recurrent unit (gru_layer.c); the candidate is logistic unless `tanh`."""

    output: int = option(default=1, minimum=1, help="Length of the output.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )
    tanh: bool = option(
        default=False, dialect="pjreddie", help="Use tanh for the candidate state instead of the logistic function."
    )

    def get_matrix_order(self, dialect: Dialect) -> tuple[str, ...]:
        return dialect.gru_order

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        # AlexeyAB's gru_layer.c only uses tanh under `#ifdef USET`, which is never defined.
        return (ModuleSpec("cell", f"{RECURRENT_MODULE}.Gru", self.get_arguments(ctx) | {"tanh": self.tanh}),)


@layer("lstm")
class Lstm(GatedVectorMemory):
    """A long short-term memory (lstm_layer.c)."""

    output: int = option(default=1, minimum=1, help="Length of the output.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )

    def get_matrix_order(self, dialect: Dialect) -> tuple[str, ...]:
        return dialect.lstm_order

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("cell", f"{RECURRENT_MODULE}.Lstm", self.get_arguments(ctx)),)


class ConvolutionalMemory(Padded):
    """Base class of crnn and conv_lstm, whose convolutions over input and state share one geometry."""

    needs_map = True
    has_state = True
    mechanism = "recurrence"

    stride: int
    dilation: int
    groups: int
    batch_normalize: bool

    def get_geometry(self) -> dict[str, int]:
        """Return the keyword arguments that all convolutions of the layer share."""
        return {
            "size": self.size,
            "stride": self.stride,
            "padding": self.effective_padding * self.dilation,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def infer_conv_shape(self, x: Shape, filters: int) -> Shape:
        """Return the output shape of one convolution, which must preserve the height and width of the state.

        Raises:
            LayerError: The size changes, or the groups do not divide the channels.
        """
        if x.c % self.groups or filters % self.groups:
            raise LayerError(
                f"groups={self.groups} does not divide {x.c} channels and {filters} filters", option="groups"
            )
        h, w = (
            compute_conv_length(n, self.size, self.stride, self.effective_padding, self.dilation) for n in (x.h, x.w)
        )
        if (h, w) != (x.h, x.w):
            raise LayerError(
                f"its convolutions change the size from {x.h}×{x.w} to {h}×{w}, but the state must keep its size; "
                "use pad=1",
                option="pad",
            )
        return Shape(filters, h, w)

    def windows(self, ctx: LayerContext) -> tuple[Window, ...]:
        return (WHOLE_MAP,)

    @abstractmethod
    def get_weight_shapes(self, ctx: LayerContext) -> dict[str, tuple[int, int, int, int]]:
        """Return each weight shape (filters, input channels per group, size, size) by convolution, in file order."""

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        parts = self.get_weight_shapes(ctx).items()
        return tuple(
            t
            for name, shape in parts
            for t in Weights(shape, self.batch_normalize, f"cell.{name}.").make_convolutional()
        )

    def count_products(self, ctx: LayerContext) -> int:
        """Count the multiply-adds of all convolutions."""
        return ctx.output.area * sum(prod(shape) for shape in self.get_weight_shapes(ctx).values())

    def get_weight_shape(self, x: int, filters: int) -> tuple[int, int, int, int]:
        return (filters, x // max(self.groups, 1), self.size, self.size)


@layer("crnn")
class Crnn(ConvolutionalMemory):
    """A recurrent layer whose matrices are convolutions (crnn_layer.c)."""

    hidden: int = option(default=1, keys="hidden hidden_filters", minimum=1, help="Channels of the state.")
    output: int = option(default=1, keys="output output_filters", minimum=1, help="Output channels.")
    activation: Activation = option(default="logistic", help="Activation of state and output.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )
    shortcut: bool = option(default=False, help="Add the old state to the new one instead of replacing it.")
    size: int = option(default=3, dialect="alexeyab", minimum=1, help="Side of the kernel in pixels.")
    stride: int = option(default=1, dialect="alexeyab", minimum=1, help="Step of the window in pixels.")
    dilation: int = option(
        default=1, dialect="alexeyab", minimum=1, help="Distance of neighboring kernel values in pixels."
    )
    pad: bool = option(default=False, dialect="alexeyab", help="Pad by size // 2 on each side; replaces `padding`.")
    padding: int = option(
        default=0, dialect="alexeyab", dialect_default="crnn_padding", minimum=0, help="Padding on each side in pixels."
    )
    groups: int = option(
        default=1, dialect="alexeyab", minimum=1, help="Groups of channels that are convolved separately."
    )
    xnor: bool = option(default=False, dialect="alexeyab", help="Use signs of weights and inputs (XNOR-Net).")

    def get_weight_shapes(self, ctx: LayerContext) -> dict[str, tuple[int, int, int, int]]:
        channels = {
            "input": (ctx.input.c, self.hidden),
            "self": (self.hidden, self.hidden),
            "output": (self.hidden, self.output),
        }
        return {name: self.get_weight_shape(c, n) for name, (c, n) in channels.items()}

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        return self.infer_conv_shape(self.infer_conv_shape(inputs[0], self.hidden), self.output)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"inputs": ctx.input.c, "hidden": self.hidden, "outputs": self.output}
        kwargs |= self.options("activation", "shortcut", "batch_normalize")
        return (
            ModuleSpec(
                "cell", f"{RECURRENT_MODULE}.Crnn", kwargs | self.get_geometry() | _get_norm_kwargs(ctx.dialect)
            ),
        )

    def macs(self, ctx: LayerContext) -> int:
        return self.count_products(ctx)

    def printed_flops(self, ctx: LayerContext) -> float:
        return 2.0 * self.macs(ctx)

    def summary(self, ctx: LayerContext) -> str:
        return f"crnn {self.size}×{self.size}, state {self.hidden}, {self.output}"


@layer("conv_lstm", dialect="alexeyab")
class ConvLstm(ConvolutionalMemory):
    """An LSTM whose matrices are convolutions (conv_lstm_layer.c).

    Darknet's CPU code ignores `lstm_activation` and uses tanh, and it cannot run `bottleneck`. The GPU code supports
    both, and darkparse follows it.
    """

    training = keys(
        time_normalizer="Factor of the gradient for each step back in time.",
        xnor="Use signs of weights and inputs.",
    )

    output: int = option(default=1, minimum=1, help="Output channels.")
    size: int = option(default=3, minimum=1, help="Side of the kernel in pixels.")
    stride: int = option(default=1, minimum=1, help="Step of the window in pixels.")
    dilation: int = option(default=1, minimum=1, help="Distance of neighboring kernel values in pixels.")
    pad: bool = option(default=False, help="Pad by size // 2 on each side; replaces `padding`.")
    padding: int = option(default=0, minimum=0, help="Padding on each side in pixels.")
    groups: int = option(default=1, minimum=1, help="Groups of channels that are convolved separately.")
    activation: Activation = option(default="linear", help="Activation of the convolutions.")
    lstm_activation: Activation = option(default="tanh", help="Activation of cell and output.")
    batch_normalize: bool = option(
        default=False, help="Normalize with batch norm, whose biases replace those of the layer."
    )
    peephole: bool = option(default=False, help="Gates also read the cell state.")
    bottleneck: bool = option(default=False, help="One convolution of input and state feeds all gates.")
    shortcut: bool = option(
        default=False, help="With `bottleneck`, add half of the bottleneck's channels to the output."
    )
    state_constrain: int = option(default=32, help="Limit of the cell state's absolute value.")

    def get_weight_shapes(self, ctx: LayerContext) -> dict[str, tuple[int, int, int, int]]:
        """Return the weight shape of each convolution, in file order (parser.c load_weights_upto, CONV_LSTM)."""
        n, c = self.output, ctx.input.c
        state = {name: self.get_weight_shape(n, n) for name in ("wf", "wi", "wg", "wo")}
        if self.bottleneck:
            state = {"wf": self.get_weight_shape(2 * n, n)}
        peephole = {name: self.get_weight_shape(n, n) for name in ("vf", "vi", "vo")} if self.peephole else {}
        return peephole | state | {name: self.get_weight_shape(c, n) for name in ("uf", "ui", "ug", "uo")}

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.bottleneck and inputs[0].c != self.output:
            raise LayerError(
                f"output must equal the number of input channels with bottleneck=1, got {self.output}; expected "
                f"{inputs[0].c}",
                option="output",
                input=0,
            )
        return self.infer_conv_shape(inputs[0], self.output)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"inputs": ctx.input.c, "outputs": self.output}
        kwargs |= self.options("activation", "lstm_activation", "peephole", "bottleneck", "shortcut")
        kwargs |= {"constrain": self.state_constrain, "batch_normalize": self.batch_normalize}
        return (
            ModuleSpec(
                "cell", f"{RECURRENT_MODULE}.ConvLstm", kwargs | self.get_geometry() | _get_norm_kwargs(ctx.dialect)
            ),
        )

    def macs(self, ctx: LayerContext) -> int:
        return self.count_products(ctx) + 3 * ctx.output.size

    def printed_flops(self, ctx: LayerContext) -> float:
        return 2.0 * self.count_products(ctx) + (12 if self.peephole else 9) * ctx.output.size

    def summary(self, ctx: LayerContext) -> str:
        return f"conv lstm {self.size}×{self.size}, {self.output}"


@layer("history", dialect="alexeyab")
class History(Layer):
    """The last inputs concatenated, newest first (conv_lstm_layer.c forward_history_layer).

    With one time step per call Darknet copies the input and leaves the rest at 0. darkparse follows Darknet's code for
    several steps.
    """

    needs_map = True
    has_state = True
    mechanism = "history"

    history_size: int = option(default=4, minimum=1, help="Inputs that are stored.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        c, h, w = inputs[0]
        return Shape(c * self.history_size, h, w)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("history", f"{RECURRENT_MODULE}.History", {"size": self.history_size}),)

    def summary(self, ctx: LayerContext) -> str:
        return f"history, {self.history_size}"
