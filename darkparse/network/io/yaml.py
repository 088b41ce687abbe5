"""Writing a network as YAML."""

from __future__ import annotations

from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from darkparse.layers import Layer
from darkparse.layers.base import get_bound_fields, get_known_keys
from darkparse.layers.net import Net
from darkparse.network.io.cfg import find_changes
from darkparse.syntax import Section

if TYPE_CHECKING:
    import yaml

    from darkparse.layers import Dialect
    from darkparse.network.network import Network
    from darkparse.network.node import Node


def to_yaml(network: Network) -> str:
    """Write a network as YAML: the dialect and, by layer, options other than defaults, inputs, output shape and cost.

    Shapes are [channels, height, width]. `macs` are multiply-adds per image. `training` contains the options that only
    affect training, with their text in the cfg.

    Args:
        network: Network from `compile` or `edit`.

    Returns:
        Text that `compile` can read.

    Raises:
        DarkparseError: The network's dialect cannot express the value of an option.

    >>> print(darkparse.to_yaml(darkparse.compile("yolov3-tiny"))[:73])
    name: yolov3-tiny
    dialect: pjreddie
    input: [3, 416, 416]
    outputs: [16, 23
    """
    document = {
        "name": network.name,
        "dialect": network.dialect.name,
        "input": list(network.input_shape),
        "outputs": list(network.outputs),
        "parameters": network.cost.params,
        "macs": network.cost.macs,
        "net": _options_to_dict(network.net, network.config.net, network.dialect),
        "layers": [_layer_to_dict(node) for node in network.nodes],
    }
    import yaml

    return yaml.dump(document, Dumper=_make_dumper(), sort_keys=False, width=120, allow_unicode=True)


def _layer_to_dict(node: Node) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "index": node.index,
        "kind": node.kind,
        **_options_to_dict(node.layer, node.section, node.dialect),
    }
    entry |= {"inputs": list(node.inputs), "output": list(node.out_shape)}
    if node.params:
        entry["parameters"] = node.params
    if node.macs:
        entry["macs"] = node.macs
    return entry


def _options_to_dict(layer: Layer | Net, section: Section, dialect: Dialect) -> dict[str, dict[str, Any]]:
    """Return `options` as plain values, and `training`; empty ones are omitted.

    Options are those that differ from the defaults, and those by which the dialect of the section is detected.
    """
    changed = {item.name for item in find_changes(layer, None, dialect)}
    known_options, lineage = get_known_keys(type(layer)), {ancestor.name for ancestor in dialect.lineage}
    typed = {
        item.keys[0]: _to_plain_value(getattr(layer, item.name))
        for item in get_bound_fields(type(layer))
        if item.name in changed or any(known_options.get(key) in lineage and section.find(key) for key in item.keys)
    }
    bound_keys = {key for item in get_bound_fields(type(layer)) for key in item.keys}
    training = {
        option.key: option.text
        for option in reversed(section.options)
        if option.text and option.key in known_options and option.key not in bound_keys
    }
    parts = {"options": typed, "training": dict(reversed(training.items()))}
    return {name: options for name, options in parts.items() if options}


def _to_plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, PurePath) else value


@cache
def _make_dumper() -> type[yaml.SafeDumper]:
    """Make the dumper: block style, with lists of numbers on one line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(list, _represent_list)
    Dumper.add_representer(str, _represent_text)
    return Dumper


def _represent_list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    flow = all(isinstance(item, int | float) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    # YAML 1.1 also treats these characters as line ends and folds them to spaces; double quotes escape them.
    style = '"' if any(end in value for end in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)
