"""Parser from the YAML form of a network to `Config`, the counterpart of `reader.py` for cfgs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from darkparse.diagnostics.source import Source, Span, quote_safe, truncate
from darkparse.errors import CfgError, cfg_error
from darkparse.syntax.config import Config, Option, Section, strip_whitespace
from darkparse.syntax.files import YAML_SUFFIXES
from darkparse.syntax.recognition import skip_preface
from darkparse.syntax.safe_yaml import compose_yaml, make_span

if TYPE_CHECKING:
    import yaml

OPTION_PARTS = ("options", "training")
FACTS = ("inputs", "output", "parameters", "macs")
"""Keys that `to_yaml` adds for information; they follow from the options and are not read."""
LAYER_KEYS = ("index", "kind", *OPTION_PARTS, *FACTS)
KEYS = ("name", "dialect", "input", "outputs", "parameters", "macs", "net", "layers")

_TOP_LEVEL_KEY = re.compile(r"^(['\"]?)(layers|dialect)\1[ \t]*:", re.MULTILINE)
_DECIMAL = re.compile(r"[-+.0-9eE]+")
_TAG = "tag:yaml.org,2002:"


def is_yaml_network(source: Source) -> bool:
    """Return whether a text is the YAML of a network: it has the key `layers` or `dialect` at its top level."""
    start = skip_preface(source.text)
    if start.startswith("{"):
        return source.path is not None and source.path.suffix.lower() in YAML_SUFFIXES
    return not start.startswith("[") and _TOP_LEVEL_KEY.search(start) is not None


def parse_yaml(source: Source) -> Config:
    """Parse the YAML of a network, in which each option has its place.

    Raises:
        CfgError: The text is not YAML, or not that of a network.
    """
    source = replace(source, is_cfg=False)
    root = compose_yaml(source)
    if root is None:
        raise cfg_error("yaml", f"file is empty; expected a mapping with {_REQUIRED}", Span(source, 0, 0))
    reader = _Reader(source)
    entries = reader.read_mapping(root, "the network", KEYS)
    name, dialect = (reader.read_text(entries.get(key), key) for key in ("name", "dialect"))
    if name is not None and PurePath(name.text or "").name != name.text:
        raise cfg_error("yaml", f"invalid `name`, got {name.text!r}; expected no directory", name.value_span)
    if "layers" not in entries:
        raise reader.error(f"no key `layers`; expected {_REQUIRED}", root)
    sections = tuple(reader.read_layers(entries["layers"][1]))
    if "net" not in entries:
        raise cfg_error("no-net", f"no key `net`; expected {_REQUIRED}", reader.locate(root))
    net = reader.read_net(*entries["net"])
    if not sections:
        raise cfg_error(
            "no-layers", "no layers; expected at least one in `layers`", reader.locate(entries["layers"][0])
        )
    if source.path is None and name is not None:
        source = replace(source, path=Path(f"{name.text}.cfg"))
    return Config(source, (source.text,), net, sections, dialect)


_REQUIRED = "`net` and a list `layers`"
Entry = tuple["yaml.Node", "yaml.Node"]


class _Reader:
    """Reader of nodes; its errors show the place of the invalid node."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def locate(self, node: yaml.Node) -> Span:
        return make_span(self._source, node.start_mark, node.end_mark)

    def error(self, message: str, node: yaml.Node) -> CfgError:
        return cfg_error("yaml", message, self.locate(node))

    def read_mapping(self, node: yaml.Node, what: str, known: tuple[str, ...] = ()) -> dict[str, Entry]:
        """Return the nodes of each key.

        Raises:
            CfgError: The node is not a mapping, or a key is not text, occurs twice or is not among the known ones.
        """
        if _get_type(node) != "map":
            raise self.error(f"invalid value of {what}; expected a mapping", node)
        entries: dict[str, Entry] = {}
        for key, value in node.value:
            if not _is_scalar(key) or _get_type(key) == "merge":
                raise self.error(f"invalid key in {what}; expected text", key)
            name = str(key.value)
            if name in entries:
                raise self.error(f"duplicate key {quote_safe(name)} in {what}", key)
            if known and name not in known:
                raise self.error(f"unknown key {quote_safe(name)} in {what}{_suggest(name, known)}", key)
            entries[name] = (key, value)
        return entries

    def read_text(self, entry: Entry | None, key: str) -> Option | None:
        """Return the text of a top-level key, None if it is missing."""
        if entry is None:
            return None
        if not _is_scalar(entry[1]) or not entry[1].value or _get_type(entry[1]) == "null":
            raise self.error(f"invalid `{key}`; expected text", entry[1])
        return self._make_option(key, str(entry[1].value), entry)

    def read_net(self, key: yaml.Node, node: yaml.Node) -> Section:
        """Return the `[net]` section, which is placed at its key."""
        entries = {} if _get_type(node) == "null" else self.read_mapping(node, "`net`", OPTION_PARTS)
        return Section("net", tuple(self._read_options(entries)), self.locate(key))

    def read_layers(self, node: yaml.Node) -> Iterator[Section]:
        """Yield the section of each layer, which is placed at its kind."""
        if not _is_list(node):
            raise self.error("invalid value of `layers`; expected a list of mappings with `kind`", node)
        for layer in node.value:
            entries = self.read_mapping(layer, "layer", LAYER_KEYS)
            if "kind" not in entries:
                raise self.error("layer without `kind`; expected e.g. `kind: convolutional`", layer)
            key, value = entries["kind"]
            if _get_type(value) != "str" or not _is_word(value.value):
                raise self.error("invalid `kind`; expected the name of a section, e.g. convolutional", value)
            span = Span(self._source, self.locate(key).start, self.locate(value).end)
            yield Section(value.value, tuple(self._read_options(entries)), span)

    def _read_options(self, entries: dict[str, Entry]) -> Iterator[Option]:
        for part in OPTION_PARTS:
            if part not in entries or _get_type(entries[part][1]) == "null":
                continue
            for key, entry in self.read_mapping(entries[part][1], f"`{part}`").items():
                if not _is_word(key) or key[0] in "[#;" or "=" in key:
                    raise self.error(f"invalid option name {quote_safe(key)}", entry[0])
                parts = entry[1].value if _is_list(entry[1]) else [entry[1]]
                yield self._make_option(key, ",".join(self._read_value(key, node) for node in parts), entry)

    def _read_value(self, key: str, node: yaml.Node) -> str:
        """Return a number, a name or a truth value as the text of a cfg."""
        kind, text = _get_type(node), node.value
        if kind == "bool":
            return str(int(text.lower() in ("true", "yes", "on")))
        if kind not in ("int", "float", "str"):
            expected = "text, a number or a list of them"
        elif kind != "str" and not _DECIMAL.fullmatch(text):
            expected = "a decimal number"
        elif text != strip_whitespace(text):
            expected = "no spaces, which Darknet deletes"
        else:
            return str(text)
        got = f", got {quote_safe(text)}" if text and _is_scalar(node) else ""
        raise self.error(f"invalid value for {truncate(key)}{got}; expected {expected}", node)

    def _make_option(self, key: str, text: str, entry: Entry) -> Option:
        name, value = map(self.locate, entry)
        return Option(key, text, self._source, name.start, self._source.text.index(":", name.end), value.end)


def _get_type(node: yaml.Node) -> str:
    """Return the type that YAML gives a value: `str`, `int`, `float`, `bool`, `null`, `map` or `seq`."""
    return str(node.tag).removeprefix(_TAG)


def _is_list(node: yaml.Node) -> bool:
    return _get_type(node) == "seq"


def _is_scalar(node: yaml.Node) -> bool:
    return isinstance(node.value, str)


def _is_word(text: str) -> bool:
    """Return whether a text is a valid kind or key in a cfg."""
    return bool(text) and text == strip_whitespace(text) and text.isprintable()


def _suggest(name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(known)}"
