"""Conversion of a Darknet layer to a constructor call or an expression over its inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from darkparse.export.source.calls import Arg, Call, Slot, expressions, literal
from darkparse.layers import ModuleSpec, Shape
from darkparse.layers.parts import find_activation
from darkparse.network import Network, Node


@dataclass(frozen=True, slots=True)
class Item:
    """Layer or block of layers, with its inputs."""

    first: int
    last: int
    """Index of the last layer; its output is the output of the item."""
    reads: tuple[int, ...]
    """Indices of the input layers, skipping layers that return their input; -1 is the network's input."""
    call: Call | None
    """Constructor call of the module; None for a pure expression."""
    inline: str | None
    """Expression over the inputs, such as `{0} + {1}`; its value is the module's input if there is a module."""
    wrap: str
    """Expression to apply to the module's output, such as `F.relu({0})`."""
    in_shape: Shape
    out_shape: Shape
    tags: frozenset[str] = field(default=frozenset())
    """Kinds of operations in the item.

    For a layer its role (`head`, `upsample`, `reorg`, `cat`, `add`, `gate`, `pool`, `global`, `dense` or `conv`), and
    `projection` if a head decodes it. A block with branches has `block`, and `stack` if it is or contains a residual
    block.
    """
    loose: str = field(init=False, repr=False, compare=False)
    """Key that is equal for copies, ignoring their inputs; interned because the block search compares only keys."""
    strict: str = field(init=False, repr=False, compare=False)
    """As `loose`, including kernel sizes and strides."""

    def __post_init__(self) -> None:
        for name, strict in (("loose", False), ("strict", True)):
            shape = self.call.shape(strict=strict) if self.call else None
            object.__setattr__(self, name, intern(repr((shape, self.inline, self.wrap))))

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(self.call.slots()) if self.call else ()

    @property
    def kernels(self) -> tuple[float, ...]:
        """Kernel sizes of convolutions and pooling layers."""
        return tuple(slot.value for slot in self.slots if slot.kind == "size")

    @property
    def is_module(self) -> bool:
        """Whether the item is a module without a surrounding expression."""
        return self.call is not None and self.inline is None and self.wrap == "{0}"

    @property
    def is_repeat(self) -> bool:
        """Whether the item represents consecutive copies of one block."""
        return self.call is not None and self.call.name == "repeat"

    @property
    def names(self) -> frozenset[str]:
        """Names of all classes and functions it calls."""
        return frozenset(_called_names(self.call)) if self.call else frozenset()


def _called_names(call: Call) -> Iterator[str]:
    yield call.name
    for arg in call.args:
        if isinstance(arg.value, Call):
            yield from _called_names(arg.value)


Key = tuple[str | None, str | None]
"""Texts of the batch norm and the activation after a convolution."""


@dataclass(frozen=True, slots=True)
class ConvClass:
    """Class for convolutions with the same batch norm and activation."""

    name: str
    norm: str | None
    """Constructor call of the batch norm; None without batch norm."""
    activation: str | None
    grouped: bool
    strided: bool


ARGUMENT_NAMES = {"LeakyReLU": "Leaky", "SiLU": "Swish", "": "Linear"}


class LayerExpressions:
    """Layers of a network as items; convolutions with the same batch norm and activation share a class."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.convs = _conv_classes(network)
        self.sources = _sources(network)

    def items(self) -> list[Item]:
        """Return an item for each layer that computes a new value, in order."""
        return [self.item(node) for node in self.network.nodes if self.sources[node.index] == node.index]

    def item(self, node: Node) -> Item:
        reads = tuple(self.sources.get(i, i) for i in node.inputs) or (-1,)
        call, inline, wrap = self._call(node)
        projects = self.network.find_projected_head(node.index) is not None
        tags = {node.layer.role, "projection" if projects else ""} - {""}
        return Item(node.index, node.index, reads, call, inline, wrap, _shape_in(node), node.out_shape, frozenset(tags))

    def _call(self, node: Node) -> tuple[Call | None, str | None, str]:
        chain = node.modules
        conv = self.conv(node)
        if conv is not None:
            return conv, None, "{0}"
        join = _join(chain[0], node)
        if join is not None:
            rest = chain[1:]
            if not rest:
                return None, join, "{0}"
            wrap = _functional(rest[0]) if len(rest) == 1 else None
            return (None, wrap.replace("{}", join), "{0}") if wrap else (_chain(rest), join, "{0}")
        if node.tensors:
            return layer_call(chain), None, "{0}"
        if len(node.inputs) > 1 and len(chain) == 2:
            wrap = _functional(chain[1]) or "{}"
            return module_call(chain[0]), None, wrap.replace("{}", "{0}")
        return _chain(chain), None, "{0}"

    def module(self, node: Node) -> Call:
        """Return a layer as a module call, for source code with one line per layer."""
        conv = self.conv(node)
        if conv is not None:
            return conv
        chain = node.modules
        if node.tensors or takes_several(node):
            return layer_call(chain)
        return _chain(chain) if chain else Call("nn.Identity")

    def conv(self, node: Node) -> Call | None:
        """Return a call of the convolution's shared class; None if it has none."""
        conv_class = self.convs.get(_conv_key(node) or ("", ""))
        if conv_class is None:
            return None
        kwargs = node.modules[0].kwargs
        arguments = [
            Arg(Slot(kwargs["in_channels"])),
            Arg(Slot(kwargs["out_channels"])),
            Arg(Slot(kwargs["kernel_size"], "size")),
            Arg(Slot(_single(kwargs["stride"]), "stride"), "stride", "1"),
            Arg(Slot(kwargs["groups"]), "groups", "1"),
        ]
        return Call(conv_class.name, tuple(arguments))


def takes_several(node: Node) -> bool:
    """Return whether a layer has several modules and the first takes more than one input.

    The additional inputs are outputs of other layers, or the layer that it shares weights with.
    """
    return len(node.modules) > 1 and (len(node.inputs) > 1 or node.shared_with is not None)


def _shape_in(node: Node) -> Shape:
    return node.in_shape or node.out_shape


def _sources(network: Network) -> dict[int, int]:
    """Map each layer to the layer that computes its output: itself, or the layer whose output it returns."""
    sources = {-1: -1}
    for node in network.nodes:
        passes = not node.modules and node.inputs
        sources[node.index] = sources[node.inputs[0]] if passes else node.index
    return sources


def _conv_key(node: Node) -> Key | None:
    """Return batch norm and activation of a plain convolution, or None.

    A plain convolution has equal strides, no dilation, padding `size // 2`, and at most batch norm and activation.
    """
    chain = node.modules
    if node.layer.role != "conv" or not chain or chain[0].target != "torch.nn.Conv2d" or len(chain) > 3:
        return None
    kwargs = chain[0].kwargs
    stride = kwargs["stride"]
    if (
        (isinstance(stride, tuple) and stride[0] != stride[1])
        or kwargs["dilation"] != 1
        or kwargs["padding"] != kwargs["kernel_size"] // 2
    ):
        return None
    names = {spec.name: spec for spec in chain[1:]}
    if set(names) - {"norm", "activation"}:
        return None
    norm, activation = names.get("norm"), names.get("activation")
    return (_norm_text(norm) if norm else None, str(_text(module_call(activation))) if activation else None)


def _conv_classes(network: Network) -> Mapping[Key, ConvClass]:
    """Choose a class for each combination of batch norm and activation that occurs more than once.

    A single class is named `Conv`; several classes are named after their activations.
    """
    nodes = [(key, node) for node in network.nodes if (key := _conv_key(node)) is not None]
    counts = Counter(key for key, _ in nodes)
    has_norm = any(norm for norm, _ in counts)
    frequent = [key for key, count in counts.most_common() if count > 1 and (key[0] or not has_norm)]
    classes: dict[Key, ConvClass] = {}
    for key in frequent:
        norm, activation = key
        name = f"{_make_activation_prefix(activation)}Conv" if len(frequent) > 1 else "Conv"
        if any(name == other.name for other in classes.values()):
            continue
        kwargs = [node.modules[0].kwargs for k, node in nodes if k == key]
        classes[key] = ConvClass(
            name, norm, activation, any(k["groups"] > 1 for k in kwargs), any(_single(k["stride"]) > 1 for k in kwargs)
        )
    return classes


def _make_activation_prefix(text: str | None) -> str:
    name = (text or "").removeprefix("nn.").partition("(")[0]
    word = (
        text.partition('"')[2].partition('"')[0].title().replace("_", "")
        if text and name == "DarknetActivation"
        else name
    )
    return ARGUMENT_NAMES.get(word, word)


def _single(stride: int | tuple[int, int]) -> int:
    return stride if isinstance(stride, int) else stride[0]


def _norm_text(spec: ModuleSpec) -> str:
    name = spec.target.rpartition(".")[2]
    rest = ", ".join(f"{key}={literal(value)}" for key, value in spec.kwargs.items() if key != "num_features")
    return f"{name}(c_out, {rest})"


def _functional(spec: ModuleSpec) -> str | None:
    row = find_activation(spec)
    return row.expression if row else None


def _join(spec: ModuleSpec, node: Node) -> str | None:
    """Return an equivalent expression for a module that joins inputs, or None."""
    name, kwargs, count = spec.target.rpartition(".")[2], spec.kwargs, len(node.inputs)
    if name == "Add":
        return " + ".join(f"{{{i}}}" for i in range(count))
    if name == "Gate":
        return "{1} * {0}" if node.in_shapes[0].is_map else "{1} * {0}[..., None, None]"
    if name not in ("Route", "FlatRoute"):
        return None
    groups, group = kwargs["groups"], kwargs["group_id"]
    if name == "FlatRoute" and groups > 1:
        return None
    parts = [
        f"{{{i}}}.flatten(1)" if name == "FlatRoute" else _slice_group(f"{{{i}}}", groups, group) for i in range(count)
    ]
    return parts[0] if count == 1 else f"torch.cat(({', '.join(parts)}), 1)"


def _slice_group(x: str, groups: int, group: int) -> str:
    """Return the expression of one group of channels: a slice, because ncnn fails with unread parts of a chunk."""
    if groups == 1:
        return x
    start, end = (f"{x}.shape[1]" + f" * {i}" * (i > 1) + f" // {groups}" for i in (group, group + 1))
    return f"{x}[:, {f'{start} ' if group else ''}:{f' {end}' if group + 1 < groups else ''}]"


def _chain(chain: tuple[ModuleSpec, ...]) -> Call:
    calls = [module_call(spec) for spec in chain]
    return calls[0] if len(calls) == 1 else Call("nn.Sequential", tuple(Arg(call) for call in calls))


def layer_call(chain: tuple[ModuleSpec, ...]) -> Call:
    """Return the call of a layer with parameters, with its modules as keyword arguments."""
    return Call("Layer", tuple(Arg(module_call(spec), spec.name) for spec in chain))


def module_call(spec: ModuleSpec) -> Call:
    """Return the constructor call of a module."""
    bare = spec.target.rpartition(".")[2]
    name = f"nn.{bare}" if spec.target.startswith("torch.nn.") else bare
    if name in _SPECIAL:
        return _SPECIAL[name](name, spec.kwargs)
    positional = bare in (
        "LeakyReLU",
        "AdaptiveAvgPool2d",
        "Dropout",
        "Unflatten",
        "DarknetActivation",
        "ChannelMaxPool",
    )
    return Call(name, tuple(Arg(_value(key, value), "" if positional else key) for key, value in spec.kwargs.items()))


def _value(key: str, value: Any) -> Slot | str:
    if key == "scale_x_y":
        return Slot(value, "scale_x_y")
    return Slot(value) if key == "channels" else literal(value)


def _pool(name: str, kwargs: Mapping[str, Any]) -> Call:
    size, stride = kwargs["kernel_size"], kwargs["stride"]
    step = literal(stride[0]) if stride[0] == stride[1] else literal(stride)
    defaults = {"padding": "0", "ceil_mode": "False", "count_include_pad": "True"}
    options = (Arg(literal(kwargs[key]), key, default) for key, default in defaults.items() if key in kwargs)
    return Call(name, (Arg(literal(size)), Arg(step, "stride", literal(size)), *options))


def _norm(name: str, kwargs: Mapping[str, Any]) -> Call:
    rest = tuple(Arg(literal(kwargs[key]), key) for key in ("eps", "momentum"))
    return Call(name, (Arg(Slot(kwargs["num_features"])), *rest))


def _conv2d(name: str, kwargs: Mapping[str, Any]) -> Call:
    stride = kwargs["stride"]
    even = isinstance(stride, int) or stride[0] == stride[1]
    arguments = [
        Arg(Slot(kwargs["in_channels"])),
        Arg(Slot(kwargs["out_channels"])),
        Arg(Slot(kwargs["kernel_size"], "size")),
        Arg(Slot(_single(stride), "stride") if even else literal(stride), "stride", "1"),
        Arg(literal(kwargs["padding"]), "padding", "0"),
        Arg(literal(kwargs["dilation"]), "dilation", "1"),
        Arg(Slot(kwargs["groups"]), "groups", "1"),
        Arg(literal(kwargs["bias"]), "bias", "True"),
    ]
    return Call(name, tuple(arguments))


def _linear(name: str, kwargs: Mapping[str, Any]) -> Call:
    bias = Arg(literal(kwargs["bias"]), "bias", "True")
    return Call(name, (Arg(Slot(kwargs["in_features"])), Arg(Slot(kwargs["out_features"])), bias))


def _upsample(name: str, kwargs: Mapping[str, Any]) -> Call:
    return Call(name, (Arg(literal(kwargs["scale_factor"]), "scale_factor"),))


def _text(call: Call) -> object:
    return expressions(call, (literal(slot.value) for slot in call.slots()))


_SPECIAL = {
    "nn.MaxPool2d": _pool,
    "nn.AvgPool2d": _pool,
    "BatchNorm": _norm,
    "RootEpsilonBatchNorm": _norm,
    "nn.Conv2d": _conv2d,
    "nn.Linear": _linear,
    "nn.Upsample": _upsample,
}
