"""Rules that lower the sections of a foreign cfg to Darknet's layers: one function per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from darkparse.diagnostics.source import truncate
from darkparse.errors import CfgError
from darkparse.layers.dialect import LOWERING_TARGET
from darkparse.layers.values import ValueTextError, read_int
from darkparse.syntax import Config, Section
from darkparse.transform.lowering.families import BATCHNORM_LAYER_EPSILON, Family
from darkparse.transform.lowering.graph import Graph, Item, affine_item
from darkparse.transform.lowering.state import State, Values
from darkparse.transform.transformation import make_refusal

SHORTCUT_EPSILON = 1e-4
"""Value that AlexeyAB's Darknet adds to the sum of a shortcut's weights (blas.c shortcut_multilayer_cpu)."""
DEFAULT_REDUCTION = 4


@dataclass(eq=False)
class Lowering:
    """State of lowering a cfg: the layers so far, and the output of each section."""

    config: Config
    family: Family
    state: State
    graph: Graph = field(default_factory=Graph)
    outputs: list[Item] = field(default_factory=list)

    def add(self, item: Item) -> Item:
        """Append a layer."""
        self.graph.items.append(item)
        return item


@dataclass(frozen=True, eq=False)
class Layer:
    """Section of the foreign cfg with its index."""

    lowering: Lowering
    index: int
    section: Section
    image: Item

    @property
    def family(self) -> Family:
        return self.lowering.family

    @property
    def previous(self) -> Item:
        """Output of the previous section."""
        return self.lowering.outputs[-1] if self.index else self.image

    def get_int(self, key: str, default: int | None = None) -> int:
        """Return an integer option. Raises CfgError if it is missing or not a number."""
        option = self.section.find(key)
        if option is None and default is not None:
            return default
        if option is None:
            raise self._make_missing_error(key)
        try:
            return int(read_int(option.text or "", LOWERING_TARGET).value)
        except ValueTextError as problem:
            raise make_refusal(f"{key}={truncate(option.text or '')}: {problem}", option.value_span) from None

    def get_text(self, key: str) -> str:
        """Return the text of an option. Raises CfgError if it is missing."""
        option = self.section.find(key)
        if option is None:
            raise self._make_missing_error(key)
        return option.text or ""

    def _make_missing_error(self, key: str) -> CfgError:
        message = f"missing option {key}=, which {self.family.title} requires in [{self.section.kind}]"
        return make_refusal(message, self.section.span)

    def resolve(self, key: str) -> list[Item]:
        """Return the layers that an option refers to by absolute or negative relative numbers."""
        text, span, items = self.get_text(key), self.section.locate(key), []
        for part in text.rstrip(",").split(","):
            try:
                position = read_int(part, LOWERING_TARGET).value
            except ValueTextError as problem:
                raise make_refusal(f"{key}={truncate(text)}: {problem}", span) from None
            index = position if position >= 0 else self.index + position
            if not 0 <= index < self.index:
                message = f"{key}={part} refers to layer {index}; expected an earlier layer, 0 to {self.index - 1}"
                raise make_refusal(message, span)
            items.append(self.lowering.outputs[index])
        return items

    def take(self, item: Item, path: str, part: str, shape: tuple[int, ...]) -> Values:
        """Return an array of the state dict, and store its key for `path` in the layer."""
        item.keys[path], values = self.lowering.state.take(self.index, self.section, part, shape)
        return values

    def copy_options(self, *without: str) -> dict[str, str]:
        """Return the text of the options without some keys; the first option of each key counts."""
        options = {option.key: option.text for option in reversed(self.section.options) if option.text}
        return {key: text for key, text in reversed(options.items()) if key not in without}


def pass_on(layer: Layer) -> Item:
    """Return the output of the previous section unchanged."""
    return layer.previous


def keep(layer: Layer) -> Item:
    """Return a layer of the same kind, which reads the previous section."""
    x = layer.previous
    return layer.lowering.add(Item(layer.section.kind, layer.section, x.channels, [x], layer.copy_options()))


def lower_convolution(layer: Layer) -> Item:
    """Return a convolution; depthwise ones have as many groups as input channels."""
    x, section, is_depthwise = layer.previous, layer.section, layer.section.kind == "depthwise"
    for key in ("size", "filters"):
        option = section.find(key)
        if option is not None and "," in (option.text or ""):
            message = f"cannot lower convolutions of several sizes in one layer, got {key}={option.text}"
            raise make_refusal(message, option.value_span)
    padding_option = section.find("padding")
    if padding_option is not None:
        raise make_refusal(f"{layer.family.title} does not support padding=; remove it", padding_option.span)
    size, filters = layer.get_int("size"), layer.get_int("filters")
    groups = x.channels if is_depthwise else layer.get_int("groups", 1)
    is_padded = layer.get_int("pad") != 0
    padding = is_padded * ((size - 1) // 2 if layer.family.floors_padding else size // 2)
    for key, count in (("groups", x.channels), ("filters", filters)):
        if min(size, filters, groups) < 1 or count % groups:
            raise make_refusal(f"groups={groups} does not divide {count} channels", section.locate(key))
    activation = layer.family.activations.get(layer.get_text("activation"), "linear")
    item = Item("convolutional", section, filters, [x], layer.copy_options())
    item.options["pad"] = "1" if is_padded and padding == size // 2 else "0"
    if item.options["pad"] == "0" and padding:
        item.options["padding"] = str(padding)
    if groups > 1:
        item.options["groups"] = str(groups)
    shape = (filters, x.channels // groups, size, size)
    _take_convolution(layer, item, "DepthWise2d" if is_depthwise else "Conv2d", shape)
    layer.lowering.add(item)
    if activation != "h_swish":
        item.options["activation"] = activation
        return item
    return _add_hard_swish(layer.lowering, item)


def _take_convolution(layer: Layer, item: Item, name: str, shape: tuple[int, ...]) -> None:
    """Take the arrays of a convolution: with batch norm, or with a bias if batch norm is folded or absent."""
    is_fused = layer.lowering.state.has(layer.index, "0.bias")
    name = "0" if is_fused else name
    item.arrays["conv.weight"] = layer.take(item, "conv.weight", f"{name}.weight", shape)
    if is_fused or not layer.get_int("batch_normalize", None if layer.section.kind == "depthwise" else 0):
        item.options["batch_normalize"] = "0"
        item.arrays["conv.bias"] = layer.take(item, "conv.bias", f"{name}.bias", shape[:1])
        return
    _take_batch_norm(layer, item, "BatchNorm2d.", shape[0], layer.family.epsilon)


def _take_batch_norm(layer: Layer, item: Item, prefix: str, channels: int, epsilon: float) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
        item.arrays[f"norm.{part}"] = layer.take(item, f"norm.{part}", f"{prefix}{part}", (channels,))
    variance = item.arrays["norm.running_var"].astype(np.float64) + (epsilon - LOWERING_TARGET.batchnorm_epsilon)
    item.arrays["norm.running_var"] = variance.astype(np.float32)


def _add_hard_swish(lowering: Lowering, item: Item) -> Item:
    """Append x · relu6(x + 3) / 6 to a convolution as y + y · hardtan(2 y / 3) with y = x / 2.

    AlexeyAB's CPU code computes 0 for relu6, so it is written with hardtan.
    """
    item.options["activation"] = "linear"
    section = item.section
    half = item
    for path in ("norm.weight", "norm.bias") if item.is_normalized else ("conv.weight", "conv.bias"):
        half.arrays[path] = half.arrays[path] * np.float32(0.5)
    gate = lowering.add(make_pointwise(half, section, scale=2 / 3, activation="hardtan"))
    options = {"activation": "linear"}
    product = lowering.add(Item("sam", section, item.channels, [gate, half], dict(options)))
    return lowering.add(Item("shortcut", section, item.channels, [product, half], dict(options)))


def make_pointwise(x: Item, section: Section, *, scale: float, bias: float = 0.0, activation: str = "linear") -> Item:
    """Return a depthwise 1×1 convolution with one weight and one bias for all channels."""
    channels = x.channels
    options = {"filters": str(channels), "groups": str(channels), "size": "1", "stride": "1", "pad": "0"}
    arrays = {
        "conv.bias": np.full(channels, bias, np.float32),
        "conv.weight": np.full((channels, 1, 1, 1), scale, np.float32),
    }
    return Item("convolutional", section, channels, [x], options | {"activation": activation}, arrays)


def lower_batch_norm(layer: Layer) -> Item:
    """Return batch norm as a layer."""
    item = Item("batchnorm", layer.section, layer.previous.channels, [layer.previous])
    _take_batch_norm(layer, item, "", item.channels, BATCHNORM_LAYER_EPSILON)
    return layer.lowering.add(item)


def lower_excitation(layer: Layer) -> Item:
    """Return squeeze and excitation: a gate from the mean of each channel."""
    x, section, add = layer.previous, layer.section, layer.lowering.add
    channels = x.channels
    reduction = layer.get_int("reduction", DEFAULT_REDUCTION)
    if not 1 <= reduction <= channels:
        message = f"reduction must be 1 to {channels}, the number of channels; got {reduction}"
        raise make_refusal(message, section.locate("reduction"))
    reduced = channels // reduction
    mean = add(Item("avgpool", section, channels, [x]))
    squeeze = Item("convolutional", section, reduced, [mean], _pointwise_options(reduced, "relu"))
    weights = layer.take(squeeze, "conv.weight", "se.fc.0.weight", (reduced, channels))
    squeeze.arrays = {"conv.bias": np.zeros(reduced, np.float32), "conv.weight": weights[..., None, None]}
    add(squeeze)
    # relu6(v + 3) / 6 = hardtan(v / 3) / 2 + 1/2; AlexeyAB's CPU code computes 0 for relu6.
    excite = Item("convolutional", section, channels, [squeeze], _pointwise_options(channels, "hardtan"))
    weights = layer.take(excite, "conv.weight", "se.fc.2.weight", (channels, reduced))
    thirds = (weights.astype(np.float64) / 3).astype(np.float32)
    excite.arrays = {"conv.bias": np.zeros(channels, np.float32), "conv.weight": thirds[..., None, None]}
    add(excite)
    gate = add(make_pointwise(excite, section, scale=0.5, bias=0.5))
    return add(Item("scale_channels", section, channels, [gate, x], {"activation": "linear"}))


def _pointwise_options(filters: int, activation: str) -> dict[str, str]:
    return {"filters": str(filters), "size": "1", "stride": "1", "pad": "0", "activation": activation}


def lower_constant(layer: Layer) -> Item:
    """Return a learned constant, one value per channel."""
    channels = layer.get_int("filters")
    item = Item("implicit", layer.section, channels, [], {"filters": str(channels)})
    values = layer.take(item, "implicit.weight", "implicit", (1, channels, 1, 1))
    item.arrays["implicit.weight"] = values.reshape(channels, 1, 1)
    return layer.lowering.add(item)


def lower_affine(layer: Layer) -> Item:
    """Return the previous layer plus or times a constant."""
    x = layer.previous
    (constant,) = _resolve_single(layer)
    if constant.kind != "implicit":
        message = f"from= must refer to a learned constant, got [{constant.section.kind}]"
        raise make_refusal(message, layer.section.locate("from"))
    if constant.channels != x.channels:
        message = f"from= must refer to a constant of {x.channels} channels, got {constant.channels}"
        raise make_refusal(message, layer.section.locate("from"))
    values = constant.arrays["implicit.weight"].reshape(-1)
    is_shift = layer.section.kind == "shift_channels"
    item = affine_item(x, layer.section, **({"shift": values} if is_shift else {"scale": values}))
    item.inputs.append(constant)
    return layer.lowering.add(item)


def _resolve_single(layer: Layer) -> list[Item]:
    items = layer.resolve("from")
    if len(items) > 1:
        raise make_refusal(f"from= must refer to one layer, got {len(items)}", layer.section.locate("from"))
    return items


def lower_focus(layer: Layer) -> Item:
    """Return YOLOR's `[reorg]`, which orders the quarters differently from `[reorg3d]`."""
    x = layer.previous
    return layer.lowering.add(Item("focus", layer.section, 4 * x.channels, [x], {"stride": "2"}))


def lower_route(layer: Layer) -> Item:
    """Return a route, or for a single layer without groups, that layer."""
    items, section = layer.resolve("layers"), layer.section
    options: dict[str, str] = {}
    if section.kind == "route_lhalf":
        options = {"groups": "2", "group_id": "0"}
    elif layer.get_int("groups", 1) > 1:
        if not layer.family.route_takes_second_half:
            message = f"{layer.family.title} does not support groups= in [route]"
            raise make_refusal(message, section.locate("groups"))
        if len(items) == 1:
            items, options = [layer.previous], {"groups": "2", "group_id": "1"}
    if any(item.kind in ("image", "yolo") for item in items):
        raise make_refusal("cannot lower a [route] that reads the input or a head", section.locate("layers"))
    if options and any(item.channels % 2 for item in items):
        raise make_refusal("cannot halve an odd number of channels", section.locate("layers"))
    if len(items) == 1 and not options:
        return items[0]
    channels = sum(item.channels for item in items) // (2 if options else 1)
    return layer.lowering.add(Item("route", section, channels, items, options))


def lower_shortcut(layer: Layer) -> Item:
    """Return a sum; AlexeyAB's Darknet normalizes its weights, so a layer after it restores their sum."""
    x, section, add = layer.previous, layer.section, layer.lowering.add
    item = Item("shortcut", section, x.channels, [x, *layer.resolve("from")], {"activation": "linear"})
    add(item)
    option = section.find("weights_type")
    if option is None or option.text == "none":
        return item
    if not layer.family.decodes_new_coords:
        message = f"cannot lower weighted shortcuts: their rule in {layer.family.title} is not known"
        raise make_refusal(message, option.value_span)
    count = len(item.inputs)
    raw = layer.take(item, "add.weight", "w", (count,)).astype(np.float64)
    weights = 2 / count / (1 + np.exp(-raw))
    item.options |= {"weights_type": "per_feature", "weights_normalization": "relu"}
    item.arrays["add.weight"] = weights.astype(np.float32)
    return add(make_pointwise(item, section, scale=float(weights.sum() + SHORTCUT_EPSILON)))


def lower_pool(layer: Layer) -> Item:
    """Return a max-pool; its padding is minus infinity and rounds down, except zeros for size 2 and stride 1."""
    x, section, add = layer.previous, layer.section, layer.lowering.add
    size, stride = layer.get_int("size"), layer.get_int("stride")
    options = layer.copy_options("padding") | ({} if size % 2 else {"padding": str(max(size - 2, 0))})
    if (size, stride) == (2, 1):
        # A 2×2 convolution with one tap appends a row and a column of zeros to the map.
        border = make_pointwise(x, section, scale=1)
        border.options |= {"size": "2", "padding": "1"}
        tap = np.zeros((x.channels, 1, 2, 2), np.float32)
        tap[:, :, 1, 1] = 1
        border.arrays["conv.weight"] = tap
        x = add(border)
    return add(Item("maxpool", section, x.channels, [x], options))


def lower_gate(layer: Layer) -> Item:
    """Return a gate: an earlier map times the previous layer."""
    (x,) = _resolve_single(layer)
    return layer.lowering.add(
        Item(layer.section.kind, layer.section, x.channels, [layer.previous, x], layer.copy_options("from"))
    )


def lower_head(layer: Layer) -> Item:
    """Return a head with the decoding of the family."""
    options = layer.copy_options("new_coords", "scale_x_y")
    options |= {"scale_x_y": "2", "new_coords": "1"} if layer.family.decodes_new_coords else {"scale_x_y": "1"}
    return layer.lowering.add(Item("yolo", layer.section, layer.previous.channels, [layer.previous], options))


RULES: Mapping[str, Callable[[Layer], Item]] = {
    "convolutional": lower_convolution,
    "depthwise": lower_convolution,
    "BatchNorm2d": lower_batch_norm,
    "se": lower_excitation,
    "implicit_add": lower_constant,
    "implicit_mul": lower_constant,
    "shift_channels": lower_affine,
    "control_channels": lower_affine,
    "reorg": lower_focus,
    "reorg3d": pass_on,
    "route": lower_route,
    "route_lhalf": lower_route,
    "shortcut": lower_shortcut,
    "maxpool": lower_pool,
    "upsample": keep,
    "avgpool": keep,
    "dropout": keep,
    "scale_channels": lower_gate,
    "sam": lower_gate,
    "yolo": lower_head,
}
