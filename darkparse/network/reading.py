"""Reading a network from YAML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from darkparse.diagnostics.source import Source, quote_safe
from darkparse.errors import DarkparseError
from darkparse.network.compiler import compile
from darkparse.network.io.cfg import format_value
from darkparse.network.io.safe_yaml import load_yaml
from darkparse.network.network import Network
from darkparse.syntax import parse
from darkparse.syntax.config import strip_whitespace
from darkparse.syntax.reader import load_source


def from_yaml(text: str | os.PathLike[str]) -> Network:
    """Compile a network from the YAML that `to_yaml` writes.

    Inputs, shapes, parameters and multiply-adds are recomputed from the options, so an option can be edited alone.

    Args:
        text: YAML, or the path of a `.yaml` or `.yml` file.

    Returns:
        The compiled network.

    Raises:
        DarkparseError: the text is not the YAML of a network, or the file cannot be read.
        CfgError: the network in it is wrong; the message shows it as a cfg.

    >>> network = darkparse.compile("yolov3-tiny")
    >>> darkparse.from_yaml(darkparse.to_yaml(network)).cost == network.cost
    True
    """
    is_path = isinstance(text, os.PathLike) or ("\n" not in text and text.endswith((".yaml", ".yml")))
    is_path = is_path or os.path.lexists(text)
    document = load_yaml(load_source(Path(text)).text if is_path else str(text))
    if not isinstance(document, dict) or not isinstance(document.get("layers"), list):
        raise DarkparseError("not a YAML network; expected a mapping with `net` and a list `layers`")
    sections = [_format_section("net", document.get("net") or {})]
    for position, entry in enumerate(document["layers"]):
        if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
            raise DarkparseError(f"layer {position}: invalid entry; expected a mapping with `kind` and `options`")
        sections.append(_format_section(entry["kind"], entry))
    name, dialect = document.get("name") or "network", document.get("dialect")
    if Path(str(name)).name != str(name) or not isinstance(dialect, str | None):
        raise DarkparseError(
            "invalid `name` or `dialect`; expected the name of a cfg without a directory, and the name of a dialect"
        )
    cfg = Source(f"{name} (from YAML)", "\n".join(sections), Path(f"{name}.cfg"))
    return compile(parse(cfg), dialect=dialect)


def _format_section(kind: str, entry: object) -> str:
    """Format a section of the cfg from `options` and `training`."""
    if not isinstance(entry, dict):
        raise DarkparseError(f"[{kind}]: invalid entry; expected a mapping with `options`")
    lines = [f"[{format_value(kind)}]"]
    for part in ("options", "training"):
        options = entry.get(part) or {}
        if not isinstance(options, dict):
            raise DarkparseError(f"[{kind}] {part}: invalid entry; expected a mapping from option to value")
        lines += [f"{_check_key(key)}={_format_value(key, value)}" for key, value in options.items()]
    return "\n".join([*lines, ""])


def _check_key(key: str) -> str:
    if key != strip_whitespace(key) or not key or key[0] in "[#;" or "=" in key:
        raise DarkparseError(f"invalid option name {quote_safe(key)}")
    return key


def _format_value(key: str, value: Any) -> str:
    parts = tuple(value) if isinstance(value, list) else (value,)
    if not all(isinstance(part, str | int | float) for part in parts):
        raise DarkparseError(f"{key}: invalid value; expected text, a number or a list of them")
    return format_value(parts)
