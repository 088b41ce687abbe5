"""Lowering of a foreign cfg and its state dict to a plain AlexeyAB network with its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from darkparse.diagnostics import Source, Span
from darkparse.errors import DarkparseError
from darkparse.layers.dialect import LOWERING_TARGET
from darkparse.network import Network, compile
from darkparse.network.io.edit import assemble
from darkparse.syntax import Config, Option, Section
from darkparse.syntax import read as read_cfg
from darkparse.transform.lowering.diagnosis import make_mismatch_error
from darkparse.transform.lowering.families import Family, choose_family
from darkparse.transform.lowering.folding import fold
from darkparse.transform.lowering.graph import Item, Numbered, number_items
from darkparse.transform.lowering.rules import RULES, Layer, Lowering
from darkparse.transform.lowering.state import State, make_lazy
from darkparse.transform.transformation import make_refusal
from darkparse.weights import LazyArray, LoadedArrays
from darkparse.weights.layout import state_key

if TYPE_CHECKING:
    import os

    from darkparse.weights import WeightsSource


def lower(
    cfg: str | os.PathLike[str] | Config, state: WeightsSource, *, family: str | None = None
) -> tuple[Network, LoadedArrays]:
    """Lower the cfg of a PyTorch project and its state dict to a plain AlexeyAB network with its arrays.

    The map before each head and its boxes are equal up to float32 rounding. Layer numbers change, because constants
    are folded into convolutions where that is exact, and become separate layers elsewhere.

    Args:
        cfg: A path, the text of a cfg, or a parsed Config.
        state: The state dict or checkpoint of the project's training; no code in it is run.
        family: Name of the project, `yolor`, `pytorch-yolov4` or `spurslipu`; None to detect it.

    Returns:
        The network, and its arrays for `darkparse.load`, `darkparse.to_onnx` and `LoadedArrays.save`.

    Raises:
        CfgError: A section is unknown or cannot be lowered exactly; the message shows its place.
        WeightsError: The state dict cannot be read or does not fit the cfg.
        DarkparseError: The project is unknown.

    >>> darkparse.lower("yolov3-tiny", "tiny.weights")
    Traceback (most recent call last):
    darkparse.errors.WeightsError: tiny.weights: got floats without names; expected the state dict that ...
    """
    config, file = read_cfg(cfg), State.read(state)
    rules = choose_family(family, config, file.arrays)
    lowering = _lower_sections(config, rules, file)
    if (problem := file.find_problem()) is not None:
        raise _explain_mismatch(lowering, problem)
    fold(lowering.graph)
    numbered = number_items(lowering.graph.items)
    network = _rebuild(_compile_draft(lowering, numbered), config)
    return network, LoadedArrays(network, file.file, None, _collect_arrays(network, numbered))


def _lower_sections(config: Config, family: Family, state: State) -> Lowering:
    """Lower each section by the rule of its kind."""
    lowering = Lowering(config, family, state)
    image = Item("image", config.net, _count_image_channels(config, family, state))
    for index, section in enumerate(config.sections):
        if section.kind not in family.kinds:
            reason = f"cannot lower [{section.kind}]: its rule in {family.title} is not known"
            raise make_refusal(reason, section.span)
        layer = Layer(lowering, index, section, image)
        _check_previous(layer)
        lowering.outputs.append(RULES[section.kind](layer))
    return lowering


_READS_PREVIOUS = frozenset(RULES) - {"route", "route_lhalf", "implicit_add", "implicit_mul"}


def _check_previous(layer: Layer) -> None:
    if layer.section.kind in _READS_PREVIOUS and layer.previous.kind == "yolo":
        raise make_refusal("cannot lower a layer that reads a head; expected a [route] after it", layer.section.span)


def _count_image_channels(config: Config, family: Family, state: State) -> int:
    """Return the number of input channels; if the family allows several, that of the first convolution."""
    first = state.arrays.get("module_list.0.Conv2d.weight")
    channels = first.shape[1] if first is not None and len(first.shape) == 4 else family.image_channels[0]
    return channels if channels in family.image_channels else family.image_channels[0]


def _explain_mismatch(lowering: Lowering, problem: str) -> DarkparseError:
    """Return the error for a state dict that does not fit; for the diagnosis, constants remain separate layers."""
    items = [_gate(item) if item.kind == "affine" else item for item in lowering.graph.items]
    replaced = dict(zip(lowering.graph.items, items, strict=True))
    for item in items:
        item.inputs = [replaced.get(source, source) for source in item.inputs]
    numbered = number_items(items)
    keys = {index: layer.item.keys for index, layer in enumerate(numbered) if layer.holds_arrays}
    return make_mismatch_error(lowering.state, problem, _compile_draft(lowering, numbered), keys)


def _gate(item: Item) -> Item:
    """Return a gate in place of an affine layer; its constant has the same number of channels."""
    x, constant = item.inputs
    return Item("scale_channels", item.section, item.channels, [constant, x])


def _compile_draft(lowering: Lowering, numbered: Sequence[Numbered]) -> Network:
    """Compile the lowered layers; errors point to the foreign cfg."""
    config = lowering.config
    source = replace(config.source, is_cfg=False)
    sections = tuple(_make_section(source, layer.kind, layer.options, layer.item.section) for layer in numbered)
    image = next((item for layer in numbered for item in layer.item.inputs if item.kind == "image"), None)
    options = {option.key: option.text for option in reversed(config.net.options) if option.text}
    if image is not None:
        options["channels"] = str(image.channels)
    net = _make_section(source, config.net.kind, options, config.net)
    return compile(Config(source, (), net, sections), dialect=LOWERING_TARGET.name)


def _make_section(source: Source, kind: str, options: dict[str, str], origin: Section) -> Section:
    """Return a section whose options point to those of the foreign cfg, or to its header if it does not have them."""
    made = []
    for key, text in options.items():
        option, start = origin.find(key), origin.span.start
        place = (start, start, origin.span.end) if option is None else (option.start, option.equals, option.end)
        made.append(Option(key, text, source, *place))
    return Section(
        "reorg3d" if kind == "focus" else kind, tuple(made), Span(source, origin.span.start, origin.span.end)
    )


def _rebuild(draft: Network, config: Config) -> Network:
    """Return the network compiled from its own text, in which sections of the foreign cfg are kept if possible."""
    origins = {section.span.start: section for section in config.sections}
    layers = []
    for node in draft.nodes:
        origin = origins.get(node.section.span.start)
        if origin is not None and origin.kind in (node.kind, *node.layer.aliases):
            del origins[node.section.span.start]  # the first layer lowered from the section gets its text
        else:
            origin = None
        layers.append((node.layer, origin))
    return assemble(draft.name, LOWERING_TARGET, (draft.net, config.net), layers, config.source)


def _collect_arrays(network: Network, numbered: Sequence[Numbered]) -> dict[str, LazyArray]:
    arrays = {}
    for node, layer in zip(network.nodes, numbered, strict=True):
        for tensor in node.tensors:
            values = layer.item.arrays[tensor.path].reshape(tensor.shape)
            arrays[state_key(node, tensor)] = make_lazy(np.require(values, np.float32, ("C", "W")))
    return arrays
