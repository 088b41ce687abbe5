"""Writing a network as a cfg.

The section that a layer was read from keeps its text: comments, training options and order. Only options that differ
from the layer are rewritten.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from darkparse._utils.files import atomic_write
from darkparse.diagnostics.source import quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers import Dialect, Layer
from darkparse.layers.base import BoundField, DerivedDefault, get_bound_fields
from darkparse.layers.net import Net
from darkparse.network.passes.binding import bind_section
from darkparse.network.passes.options import find_owner
from darkparse.syntax import Option, Section
from darkparse.syntax.config import strip_whitespace
from darkparse.syntax.files import YAML_SUFFIXES

if TYPE_CHECKING:
    from darkparse.network.network import Network


NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


def to_cfg(network: Network) -> str:
    """Convert a network to a cfg that Darknet can read, with line ends `\\n` and without a byte order mark.

    Layers keep the text of their section, with its comments and training options; changed options are rewritten. Paths
    of auxiliary files (`tree=`, `map=`) are absolute if the file was found.

    Args:
        network: Network from `compile` or `edit`.

    Returns:
        The text. Bytes of comments that are not UTF-8 become lone surrogates, which `save_cfg` writes as the original
        bytes; otherwise encode the text with `errors="surrogateescape"`.

    Raises:
        DarkparseError: The network's dialect cannot express the value of an option.

    >>> text = darkparse.to_cfg(darkparse.compile("yolov3-tiny"))
    >>> print(text[text.index("[maxpool]"):][:26])
    [maxpool]
    size=2
    stride=2
    """
    parts = [format_section(network.net, network.config.net, network.dialect)]
    parts += [format_section(node.layer, node.section, network.dialect) for node in network.nodes]
    return "".join(parts).lstrip("\n")


def save_cfg(network: Network, path: str | os.PathLike[str]) -> Path:
    """Write a network as a cfg file, or as YAML if the name ends in `.yaml` or `.yml`. See `to_cfg` and `to_yaml`.

    Bytes of comments that are not UTF-8 are preserved in a cfg.

    Args:
        network: Network from `compile` or `edit`.
        path: File to write, completely or not at all.

    Returns:
        The path.

    Raises:
        DarkparseError: The network's dialect cannot express the value of an option, or the text cannot be encoded.
        OSError: The file cannot be written.

    >>> darkparse.save_cfg(darkparse.compile("yolov3-tiny", size=320), "small.cfg")
    PosixPath('small.cfg')
    >>> darkparse.compile("small.cfg").input_shape
    Shape(c=3, h=320, w=320)
    """
    data = encode_cfg(format_network(network, path))
    with atomic_write(path) as partial:
        partial.write_bytes(data)
    return Path(path)


def is_yaml_path(path: str | os.PathLike[str] | None) -> bool:
    """Return whether a network is written to a file as YAML."""
    return path is not None and Path(path).suffix.lower() in YAML_SUFFIXES


def format_network(network: Network, path: str | os.PathLike[str] | None) -> str:
    """Return the text of a network for a file: YAML or a cfg, by the name of the file."""
    return network.to_yaml() if is_yaml_path(path) else to_cfg(network)


def encode_cfg(text: str) -> bytes:
    """Encode the text of a cfg. Raises DarkparseError for a character that UTF-8 cannot encode."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as problem:
        line = text.count("\n", 0, problem.start) + 1
        raise DarkparseError(
            f"line {line} of the cfg contains U+{ord(text[problem.start]):04X}, half a character, which cannot be "
            f"encoded"
        ) from None


def format_section(
    layer: Layer | Net, section: Section | None, dialect: Dialect, overrides: Mapping[str, str] = NO_OVERRIDES
) -> str:
    """Return one section with the comment lines before it, from the section's own text if there is one of this kind.

    Args:
        layer: Typed options of the section.
        section: Section that the layer was read from.
        dialect: Dialect of the cfg.
        overrides: Text of options by key; it replaces what the layer and the section hold.

    Raises:
        DarkparseError: The dialect does not support an option, or a value cannot be written.
    """
    if section is not None:
        parsed, _ = bind_section(section, type(layer), dialect)
        if parsed is not None and section.kind in (layer.kind, *layer.aliases):
            change = _patch_section if section.span.source.is_cfg else _rewrite_section
            return change(layer, parsed, section, dialect, overrides)
    values = {item.keys[0]: format_value(getattr(layer, item.name)) for item in find_changes(layer, None, dialect)}
    lines = [f"{key}={value}" for key, value in {**values, **overrides}.items()]
    return "\n".join(["", f"[{layer.kind}]", *lines, ""])


def find_changes(layer: Layer | Net, parsed: Layer | Net | None, dialect: Dialect) -> Iterator[BoundField]:
    """Yield the options in which a layer differs from the parsed one, or without one, from the dialect's defaults."""
    owner = find_owner(type(layer), dialect)
    for item, default in zip(get_bound_fields(type(layer)), _iterate_defaults(layer, dialect), strict=True):
        value = getattr(layer, item.name)
        is_same = value == (default if parsed is None else getattr(parsed, item.name)) and not _is_absolute_file(
            item, value
        )
        if is_same or not item.keys:
            continue
        if not owner.supports(item.spec.dialect, f"[{layer.kind}]", item.keys[0]):
            raise DarkparseError(f"{dialect.title} does not support {item.keys[0]}=, got {item.name}={value!r}")
        yield item


def format_value(value: Any) -> str:
    """Format a typed value as cfg text."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(format_value(part) for part in value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    text = str(value)
    if text != strip_whitespace(text):
        raise DarkparseError(f"invalid value {quote_safe(text)}: it contains spaces, which Darknet deletes from a cfg")
    return text


def _is_absolute_file(item: BoundField, value: Any) -> bool:
    """Return whether an option is the absolute path of an auxiliary file, which is valid wherever the cfg is saved.

    A path with spaces cannot be written to a cfg.
    """
    return (
        item.spec.is_file
        and isinstance(value, Path)
        and value.is_absolute()
        and str(value) == strip_whitespace(str(value))
    )


def _iterate_defaults(layer: Layer | Net, dialect: Dialect) -> Iterator[Any]:
    """Yield the default of each option; derived defaults follow from the layer's other options."""
    for item in get_bound_fields(type(layer)):
        field = type(layer).__dataclass_fields__[item.name]
        if item.spec.dialect_default is not None:
            yield attrgetter(item.spec.dialect_default)(dialect)
        else:
            yield field.default.rule(layer) if isinstance(field.default, DerivedDefault) else field.default


def _patch_section(
    layer: Layer | Net, parsed: Layer | Net, section: Section, dialect: Dialect, overrides: Mapping[str, str]
) -> str:
    """Return the section's text with changed values replaced, and options that it does not have at its end."""
    begin, end = _find_extent(section)
    edits: list[tuple[int, int, str]] = []
    for keys, text in _list_changes(layer, parsed, section, dialect, overrides):
        option = _find_option(section, keys)
        if option is None:
            edits.append((end, end, f"\n{keys[0]}={text}"))
        elif option.text is None:
            edits.append((option.start, option.end, f"{option.key}={text}"))
        else:
            span = option.value_span
            edits.append((span.start, span.end, text))
    source, parts, start = section.span.source.text, [], begin
    for first, last, text in sorted(edits, key=lambda edit: edit[0]):
        parts += [source[start:first], text]
        start = last
    text = "".join([*parts, source[start:end]]).replace("\r", "")
    text = text if begin else text.removeprefix("\ufeff")  # a byte order mark elsewhere is part of a line
    return text if text.endswith("\n") else f"{text}\n"


def _list_changes(
    layer: Layer | Net, parsed: Layer | Net, section: Section, dialect: Dialect, overrides: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the keys and the new text of each option to write."""
    non_default = {item.name for item in find_changes(layer, None, dialect)}
    for item in find_changes(layer, parsed, dialect):
        is_written = item.name in non_default or _find_option(section, item.keys) is not None
        if is_written and overrides.keys().isdisjoint(item.keys):
            yield item.keys, format_value(getattr(layer, item.name))
    yield from (((key,), text) for key, text in overrides.items())


def _rewrite_section(
    layer: Layer | Net, parsed: Layer | Net, section: Section, dialect: Dialect, overrides: Mapping[str, str]
) -> str:
    """Format a section's options as lines of a cfg, with new values of the changed ones."""
    options = {option.key: option.text for option in reversed(section.options) if option.text}
    options = dict(reversed(options.items()))
    for keys, text in _list_changes(layer, parsed, section, dialect, overrides):
        option = _find_option(section, keys)
        options[option.key if option else keys[0]] = text
    return "\n".join(["", f"[{section.kind}]", *(f"{key}={text}" for key, text in options.items()), ""])


def _find_option(section: Section, keys: tuple[str, ...]) -> Option | None:
    """Return the option that a field with these keys was read from (see `passes/binding.py`)."""
    options = (section.find(key) for key in keys)
    return next((option for option in options if option is not None), None)


def _find_extent(section: Section) -> tuple[int, int]:
    """Return the start and end of a section's text, with the blank and comment lines before its header."""
    text, start = section.span.source.text, section.span.start
    start = text.rfind("\n", 0, start) + 1
    while start:
        before = text.rfind("\n", 0, start - 1) + 1
        line = text[before:start].removeprefix("" if before else "\ufeff").strip(" \t\r\n")
        if line and line[0] not in "#;":
            break
        start = before
    return start, section.end
