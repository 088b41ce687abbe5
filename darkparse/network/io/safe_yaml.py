"""Loader for YAML that only contains mappings, lists, texts and numbers, with few levels.

It extends PyYAML's safe loader: untrusted text cannot use aliases to expand, overflow Python's stack by nesting, or
repeat a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers.values import MAX_INT_DIGITS
from darkparse.syntax.files import describe_error

MAX_DEPTH = 10
"""Maximum levels of mappings and lists; a network has five."""
MAX_NODES = 100_000
"""Maximum number of values and keys; the largest known network has 9,699."""

_NAMESPACE = "tag:yaml.org,2002:"
_KINDS = ("null", "str", "seq", "map")
_UNDECODABLE = re.compile(r"\\[uU]0*d[c-f]", re.IGNORECASE)
"""Escape that represents a byte of a cfg that is not UTF-8."""


def load_yaml(text: str) -> Any:
    """Return the value of a YAML document.

    Raises:
        DarkparseError: The text is not YAML, or contains anything other than plain values.
    """
    # libyaml takes a third of the time but rejects escapes of undecodable bytes.
    use_libyaml = yaml.__with_libyaml__ and not _UNDECODABLE.search(text)
    parser: Any = yaml.CSafeLoader if use_libyaml else yaml.SafeLoader
    loader: Any = type("PlainLoader", (_PlainValues, parser), {"__init__": parser.__init__})
    try:
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as problem:
        reason = ", ".join(filter(None, (problem.context, problem.problem)))
        mark = problem.problem_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise DarkparseError(f"not a YAML network: {place}{reason}") from None
    except (yaml.YAMLError, UnicodeEncodeError) as problem:
        raise DarkparseError(f"not a YAML network: {describe_error(problem)}") from None


def _reject(node: Any, reason: str) -> NoReturn:
    raise ConstructorError(None, None, reason, node.start_mark)


def _construct_number(loader: SafeConstructor, node: yaml.ScalarNode) -> Any:
    with suppress(ValueError, OverflowError):
        if len(node.value) <= MAX_INT_DIGITS:
            return SafeConstructor.yaml_constructors[node.tag](loader, node)
    return _construct_other(loader, node)


def _construct_other(loader: SafeConstructor, node: yaml.Node) -> NoReturn:
    _reject(node, f"invalid value {quote_safe(node.value)}; expected text or a number")


class _PlainValues(Composer, SafeConstructor):
    """Composer in Python for the events of a parser: libyaml's composer recurses until the process crashes."""

    peek_event: Callable[[], Any]
    yaml_constructors: ClassVar[dict[str | None, Callable[..., Any]]] = {
        **{f"{_NAMESPACE}{kind}": SafeConstructor.yaml_constructors[f"{_NAMESPACE}{kind}"] for kind in _KINDS},
        **{f"{_NAMESPACE}{kind}": _construct_number for kind in ("bool", "int", "float")},
        None: _construct_other,
    }
    _depth = _count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        self._count += 1
        if self._count > MAX_NODES:
            _reject(event, f"too many values; expected at most {MAX_NODES:,}")
        if event.anchor is not None:
            _reject(event, "anchors and aliases (& and *) are not supported")
        if getattr(event, "tag", None) is not None:
            _reject(event, "tags (!) are not supported")
        if self._depth >= MAX_DEPTH and isinstance(event, yaml.CollectionStartEvent):
            _reject(event, f"nested too deeply; expected at most {MAX_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _reject(key, "invalid key; expected text")
            if key.tag not in self.yaml_constructors:  # a date, or <<
                _construct_other(self, key)
            if key.value in mapping:
                _reject(key, f"duplicate key {quote_safe(key.value)}")
            mapping[key.value] = self.construct_object(value, deep=deep)
        return mapping
