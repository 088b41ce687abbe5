"""A network as YAML, and back."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import yaml

from darkparse.layers import Layer
from darkparse.layers.base import bound_fields, known_keys
from darkparse.layers.net import Net
from darkparse.network.writing.cfg import changes, value_text
from darkparse.network.writing.plain import read_plain
from darkparse.syntax import DarkparseError, Section, parse
from darkparse.syntax.config import squeeze
from darkparse.syntax.reader import load_source
from darkparse.syntax.source import Source, content

if TYPE_CHECKING:
    from darkparse.layers import Dialect
    from darkparse.network.network import Network
    from darkparse.network.node import Node


def to_yaml(network: Network) -> str:
    """Every layer with its options that differ from the dialect's defaults, its inputs, shapes and cost.

    Shapes are [channels, height, width]; `macs` are multiply-adds for one image; `training` holds the options that
    matter to training only, as the cfg words them.
    """
    document = {
        "name": network.name,
        "dialect": network.dialect.name,
        "input": list(network.input_shape),
        "outputs": list(network.outputs),
        "parameters": network.cost.params,
        "macs": network.cost.macs,
        "net": _options(network.net, network.config.net, network.dialect),
        "layers": [_layer(node) for node in network.nodes],
    }
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def from_yaml(text: str | os.PathLike[str]) -> Network:
    """The network that `to_yaml` printed, from the text or from a file.

    What follows from the options (inputs, shapes, parameters, multiply-adds) is computed again, so that a changed
    option needs no other change.

    Raises:
        DarkparseError: the text is no YAML of a network, or the file cannot be read.
        CfgError: the network in it is wrong; the message shows it as a cfg.
    """
    from darkparse.network.compiler import compile

    is_file = isinstance(text, os.PathLike) or ("\n" not in text and text.endswith((".yaml", ".yml")))
    document = read_plain(load_source(Path(text)).text if is_file else str(text))
    if not isinstance(document, dict) or not isinstance(document.get("layers"), list):
        raise DarkparseError("not the YAML of a network: a mapping with `net` and a list `layers` is needed")
    sections = [_section("net", document.get("net") or {})]
    for position, entry in enumerate(document["layers"]):
        if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
            raise DarkparseError(f"layer {position}: a mapping with `kind` and `options` is needed")
        sections.append(_section(entry["kind"], entry))
    name, dialect = document.get("name") or "network", document.get("dialect")
    if Path(str(name)).name != str(name) or not isinstance(dialect, str | None):
        raise DarkparseError("`name` is the name of a cfg without a folder, `dialect` that of a Darknet")
    cfg = Source(f"{name} (from YAML)", "\n".join(sections), Path(f"{name}.cfg"))
    return compile(parse(cfg), dialect=dialect)


def _section(kind: str, entry: object) -> str:
    """A section of the cfg from `options` and `training`."""
    if not isinstance(entry, dict):
        raise DarkparseError(f"[{kind}]: a mapping with `options` is needed")
    lines = [f"[{value_text(kind)}]"]
    for part in ("options", "training"):
        options = entry.get(part) or {}
        if not isinstance(options, dict):
            raise DarkparseError(f"[{kind}] {part}: a mapping from option to value is needed")
        lines += [f"{_key(key)}={_value(key, value)}" for key, value in options.items()]
    return "\n".join([*lines, ""])


def _key(key: str) -> str:
    if key != squeeze(key) or not key or key[0] in "[#;" or "=" in key:
        raise DarkparseError(f"{content(key)} cannot be the name of an option")
    return key


def _value(key: str, value: Any) -> str:
    parts = tuple(value) if isinstance(value, list) else (value,)
    if not all(isinstance(part, str | int | float) for part in parts):
        raise DarkparseError(f"{key}: a text, a number or a list of them is needed")
    return value_text(parts)


def _layer(node: Node) -> dict[str, Any]:
    entry: dict[str, Any] = {"index": node.index, "kind": node.kind, **_options(node.layer, node.section, node.dialect)}
    entry |= {"inputs": list(node.inputs), "output": list(node.out_shape)}
    if node.params:
        entry["parameters"] = node.params
    if node.macs:
        entry["macs"] = node.macs
    return entry


def _options(layer: Layer | Net, section: Section, dialect: Dialect) -> dict[str, dict[str, Any]]:
    """`options` that differ from the defaults as plain values, and `training`, each where there are any."""
    typed = {item.keys[0]: _plain(getattr(layer, item.name)) for item in changes(layer, None, dialect)}
    read = {key for item in bound_fields(type(layer)) for key in item.keys}
    known = known_keys(type(layer))
    training = {
        option.key: option.text
        for option in reversed(section.options)
        if option.text and option.key in known and option.key not in read
    }
    parts = {"options": typed, "training": dict(reversed(training.items()))}
    return {name: options for name, options in parts.items() if options}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, PurePath) else value


class _Dumper(yaml.SafeDumper):
    """Block style, with lists of numbers on one line."""


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    flow = all(isinstance(item, int | float) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


_Dumper.add_representer(list, _list)
