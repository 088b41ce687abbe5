"""Layers that read layers other than the previous one: route, shortcut, and the gates scale_channels and sam."""

from __future__ import annotations

from collections.abc import Iterable

from darkparse.layers.activations import Activation
from darkparse.layers.base import LayerError, keys, layer, option, to_absolute_index
from darkparse.layers.capabilities import ChannelCut, Channels, ChannelSlice, Cuttable, Joining
from darkparse.layers.dialect import Dialect
from darkparse.layers.parts import MODULES_PACKAGE, make_activation_modules
from darkparse.layers.shape import Layout, Shape
from darkparse.layers.specs import ONE, Deviation, LayerContext, ModuleSpec, TensorSpec
from darkparse.layers.values import read_choice, read_first, read_int


@layer("route")
class Route(Joining, ChannelSlice):
    """Channels of several layers side by side, or a slice of each (parser.c parse_route)."""

    mechanism = "concatenation"
    role = "cat"
    training = keys(
        dialect="alexeyab", stream="CUDA stream that runs the layer.", wait_stream="CUDA stream to wait for."
    )

    layers: tuple[int, ...] = option(help="Layers to read: negative numbers relative to this one, others absolute.")
    groups: int = option(
        default=1, dialect="alexeyab", help="Equal parts into which the channels of each layer are divided."
    )
    group_id: int = option(default=0, dialect="alexeyab", help="Part to read, counted from 0.")

    def inputs(self, index: int) -> tuple[int, ...]:
        return tuple(to_absolute_index(position, index) for position in self.layers)

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.groups < 1 or not 0 <= self.group_id < self.groups:
            raise LayerError(
                f"group_id must be 0 to {self.groups - 1} for groups={self.groups}, got {self.group_id}",
                option="group_id",
            )
        for position, x in enumerate(inputs):
            if x.c % self.groups:
                raise LayerError(
                    f"groups={self.groups} does not divide {x.c} channels", option="groups", input=position
                )
        first, channels = inputs[0], sum(x.c for x in inputs) // self.groups
        layouts = {x.layout for x in inputs}
        if any((x.h, x.w) != (first.h, first.w) for x in inputs) or Layout.FLAT in layouts:
            # parse_route leaves out_w, out_h and out_c at 0, so only the length is known afterwards.
            return Shape.flat(sum(x.size for x in inputs) // self.groups)
        return Shape(channels, first.h, first.w, first.layout) if len(layouts) == 1 else Shape.vector(channels)

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        sizes = {f"{x.h}×{x.w}" for x in ctx.inputs if x.is_map}
        if len(sizes) < 2:
            return ()
        message = (
            f"maps of {' and '.join(sorted(sizes))} are joined, so the output is a vector of {ctx.output.size} values"
        )
        return (LayerError(message, option="layers", code="sizes"),)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        if len(ctx.inputs) == 1 and self.groups == 1:
            return ()
        kwargs = {"groups": self.groups, "group_id": self.group_id}
        fits = all(x.layout == ctx.output.layout for x in ctx.inputs)
        return (ModuleSpec("join", f"{MODULES_PACKAGE}.{'Route' if fits else 'FlatRoute'}", kwargs),)

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        modules = self.modules(ctx)
        if len(ctx.inputs) > 1:
            yield Deviation("joined maps in reverse order", modules, tuple(range(len(ctx.inputs)))[::-1])
        if self.groups == 1:
            return
        for group in set(range(self.groups)) - {self.group_id}:
            yield Deviation(
                f"group {group} of the channels", tuple(spec.with_kwargs(group_id=group) for spec in modules)
            )
        whole = ModuleSpec("whole", f"{MODULES_PACKAGE}.Route", {"groups": 1, "group_id": 0})
        yield Deviation("maps joined before the group is selected", (whole, *modules))

    def summary(self, ctx: LayerContext) -> str:
        part = f" part {self.group_id + 1} of {self.groups}" if self.groups > 1 else ""
        return f"{'concat' if len(self.layers) > 1 else 'branch'}{part}"


@layer("shortcut")
class Shortcut(Joining, Cuttable):
    """The sum of the previous layer and others, plain or weighted (parser.c parse_shortcut)."""

    mechanism = "addition"
    role = "add"

    from_: tuple[int, ...] = option(
        keys="from",
        read=read_first(read_int, fork="pjreddie"),
        help="Layers to add: negative relative to this one, otherwise absolute.",
    )
    activation: Activation = option(default="linear", help="Activation function.")
    alpha: float = option(default=1.0, dialect="pjreddie", help="Factor of the previous layer.")
    beta: float = option(default=1.0, dialect="pjreddie", help="Factor of the earlier layer.")
    weights_type: str = option(
        default="none",
        dialect="alexeyab",
        read=read_choice("none", "per_feature", "per_channel", aliases={"per_layer": "per_feature"}),
        help="Learned factors: none, one per layer (`per_feature`) or one per channel.",
    )
    weights_normalization: str = option(
        default="none",
        dialect="alexeyab",
        read=read_choice("none", "relu", "softmax", aliases={"avg_relu": "relu"}),
        help="How the factors are normalized.",
    )

    def inputs(self, index: int) -> tuple[int, ...]:
        return (index - 1, *(to_absolute_index(position, index) for position in self.from_))

    def reads_whole(self, index: int) -> tuple[int, ...]:
        return self.inputs(index)[:2]

    @property
    def is_weighted(self) -> bool:
        return self.weights_type != "none"

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        out = inputs[0]
        for position, x in enumerate(inputs[1:], start=1):
            if Layout.FLAT in (x.layout, out.layout) and x != out:
                raise LayerError(
                    f"a vector can only be added to a vector of the same length, got {x} and {out}",
                    option="from",
                    input=position,
                )
            # A larger map is read with a stride, a smaller one is added at every n-th position (blas.c shortcut_cpu).
            fits = out.w // x.w == out.h // x.h and x.w // out.w == x.h // out.h
            if not fits:
                message = "cannot add maps whose height and width differ by different factors"
                raise LayerError(message, option="from", code="sizes")
            if self.is_weighted and (x.h, x.w) != (out.h, out.w):
                raise LayerError("a weighted shortcut requires maps of the same size", option="from", code="sizes")
        return out

    def _get_weight_shape(self, ctx: LayerContext) -> tuple[int, ...]:
        rows = len(ctx.inputs)
        return (rows, ctx.output.c) if self.weights_type == "per_channel" else (rows,)

    def tensors(self, ctx: LayerContext) -> tuple[TensorSpec, ...]:
        return (TensorSpec("add.weight", self._get_weight_shape(ctx), ONE, "factor"),) if self.is_weighted else ()

    def cut(self, ctx: LayerContext, outputs: Channels | None, inputs: tuple[Channels | None, ...]) -> ChannelCut:
        return ChannelCut({}, {"add.weight": (None, outputs) if self.weights_type == "per_channel" else (None,)})

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        if self.is_weighted:
            kwargs = {"shape": self._get_weight_shape(ctx), "normalization": self.weights_normalization}
            add = ModuleSpec("add", f"{MODULES_PACKAGE}.WeightedShortcut", kwargs)
        elif self.alpha == self.beta == 1 and all(x.tensor == ctx.output.tensor for x in ctx.inputs):
            add = ModuleSpec("add", f"{MODULES_PACKAGE}.Add", {})
        else:
            add = ModuleSpec("add", f"{MODULES_PACKAGE}.PartialAdd", {"alpha": self.alpha, "beta": self.beta})
        return (add, *make_activation_modules(self.activation))

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield Deviation("no shortcut", (), (0,))

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        mismatched = next((x for x in ctx.inputs if (x.h, x.w) != (ctx.output.h, ctx.output.w)), None)
        if mismatched is not None and ctx.dialect.adds_equal_sizes_only:
            message = (
                f"{ctx.dialect.title} requires maps of the same size, got {mismatched} and {ctx.output}, and exits "
                "here (parser.c:979)"
            )
            consequence = "without assertions it adds wrong positions; pjreddie/darknet adds the overlapping part"
            return (LayerError(f"{message}; {consequence}", option="from", code="sizes"),)
        if self.is_weighted and self.weights_normalization == "none":
            message = (
                "AlexeyAB/darknet rejects weights_type= without weights_normalization= (parser.c:935); darkparse uses "
                "the weights unnormalized"
            )
            return (LayerError(message, option="weights_type"),)
        return ()

    def macs(self, ctx: LayerContext) -> int:
        factors = len(ctx.inputs) if self.is_weighted else (self.alpha != 1) + (self.beta != 1)
        return ctx.output.size * factors

    def printed_flops(self, ctx: LayerContext) -> float:
        return float(ctx.output.size * len(self.from_) * (2 if self.is_weighted else 1))

    def summary(self, ctx: LayerContext) -> str:
        return "weighted add" if self.is_weighted else "add"


class Gate(Joining):
    """Product of an earlier output and the previous layer; a vector is treated as a 1×1 map."""

    needs_map = True
    main_input = 1
    role = "gate"

    from_: int
    activation: Activation

    def inputs(self, index: int) -> tuple[int, ...]:
        return (index - 1, to_absolute_index(self.from_, index))

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        gate = "Gate" if ctx.inputs[1].is_map else "VectorGate"
        return (ModuleSpec("gate", f"{MODULES_PACKAGE}.{gate}", {}), *make_activation_modules(self.activation))

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield Deviation("no gate", (), (1,))

    def macs(self, ctx: LayerContext) -> int:
        return ctx.output.size


@layer("scale_channels", dialect="alexeyab")
class ScaleChannels(Gate):
    """An earlier map times one value per channel, or per position with `scale_wh` (scale_channels_layer.c)."""

    mechanism = "channel gate"

    from_: int = option(keys="from", help="Map to multiply: negative relative to this layer, otherwise absolute.")
    scale_wh: bool = option(default=False, help="One factor per position instead of one per channel.")
    activation: Activation = option(default="linear", help="Activation function.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        gate, x = inputs
        expected = (1, x.h, x.w) if self.scale_wh else (x.c, 1, 1)
        if tuple(gate) != expected:
            raise LayerError(
                f"wrong shape of the gate, got {gate}; expected {Shape(*expected)} for a map of {x}", code="sizes"
            )
        return x

    def summary(self, ctx: LayerContext) -> str:
        return "position gate" if self.scale_wh else "channel gate"


@layer("sam", dialect="alexeyab")
class Sam(Gate):
    """Spatial attention: the elementwise product of an earlier map and the previous layer (sam_layer.c)."""

    mechanism = "gate"

    from_: int = option(keys="from", help="Map to multiply: negative relative to this layer, otherwise absolute.")
    activation: Activation = option(default="linear", help="Activation function.")

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        gate, x = inputs
        if gate != x:
            raise LayerError(f"gate and map must have the same shape, got {gate} and {x}", code="sizes")
        return x

    def summary(self, ctx: LayerContext) -> str:
        return "spatial gate"
