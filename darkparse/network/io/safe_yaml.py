"""YAML that is plain values: mappings, lists, texts and numbers, few levels deep.

It is checked event by event before anything is built, so that a file can neither make objects, nor expand, nor nest
deeper than Python's stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import DarkparseError
from darkparse.layers.values import MAX_INT_DIGITS
from darkparse.syntax.files import describe_error

MAX_DEPTH = 10
"""Levels of mappings and lists; a network has five."""
MAX_NODES = 100_000
"""Values and keys; the largest known network has 9,699."""

_NUMBER_TAGS = ("int", "float", "bool")
_UNDECODABLE = re.compile(r"\\[uU]0*d[c-f]", re.IGNORECASE)
"""An escape that stands for a byte that is no UTF-8 in a cfg."""


def load_yaml(text: str) -> Any:
    """The value of a YAML document.

    Raises:
        DarkparseError: it is no YAML, or anything but plain values.
    """
    # libyaml's parser takes a tenth of the time, and refuses the escapes of undecodable bytes.
    use_c = yaml.__with_libyaml__ and not _UNDECODABLE.search(text)
    loader: Any = yaml.CSafeLoader if use_c else yaml.SafeLoader
    try:
        return _ValueBuilder(yaml.parse(text, Loader=loader)).build_document()
    except yaml.MarkedYAMLError as problem:
        where = "" if problem.problem_mark is None else f" in line {problem.problem_mark.line + 1}"
        raise DarkparseError(f"not YAML: {problem.problem or problem.context}{where}") from None
    except (yaml.YAMLError, UnicodeEncodeError) as problem:
        raise DarkparseError(f"not YAML: {describe_error(problem)}") from None


class _ValueBuilder:
    """Values from events; what is no plain value stops it where it stands."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._resolver: Any = yaml.SafeLoader("")
        self._count = 0

    def build_document(self) -> Any:
        value: Any = None
        documents = 0
        for event in self._events:
            documents += isinstance(event, yaml.DocumentStartEvent)
            if documents > 1:
                self._reject(event, "a second document")
            if isinstance(event, yaml.NodeEvent):
                value = self._build_value(event, 1)
        return value

    def _build_value(self, event: yaml.Event, level: int) -> Any:
        self._count += 1
        if self._count > MAX_NODES:
            self._reject(event, f"more than {MAX_NODES:,} values up to here")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._reject(event, "an anchor or alias (& or *)")
        if getattr(event, "tag", None) is not None:
            self._reject(event, "a tag (!)")
        if isinstance(event, yaml.ScalarEvent):
            return self._build_scalar(event)
        if level > MAX_DEPTH:
            self._reject(event, f"more than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._build_value(item, level + 1) for item in self._iterate_until(yaml.SequenceEndEvent)]
        mapping: dict[str, Any] = {}
        for key in self._iterate_until(yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                self._reject(key, "a key that is no text")
            self._build_value(key, level + 1)
            if key.value in mapping:
                self._reject(key, f"{quote_safe(key.value)} for a second time")
            mapping[key.value] = self._build_value(next(self._events), level + 1)
        return mapping

    def _iterate_until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event

    def _build_scalar(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        """A text as it stands, or the number that YAML 1.1 takes a plain one for."""
        if not event.implicit[0]:
            return event.value
        tag: str = self._resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        kind = tag.rpartition(":")[2]
        if kind == "str":
            return event.value
        if kind == "null":
            return None
        if kind not in _NUMBER_TAGS or len(event.value) > MAX_INT_DIGITS:
            self._reject(event, f"{quote_safe(event.value)}, which is neither text nor a number that a cfg takes")
        construct = getattr(self._resolver, f"construct_yaml_{kind}")
        try:
            value: float = construct(yaml.ScalarNode(tag, event.value))
        except (ValueError, OverflowError):
            self._reject(event, f"{quote_safe(event.value)}, which is no number")
        return value

    def _reject(self, event: yaml.Event, reason: str) -> NoReturn:
        line = 0 if event.start_mark is None else event.start_mark.line
        message = f"line {line + 1} has {reason}; a network is plain mappings, lists, texts and numbers"
        raise DarkparseError(f"not the YAML of a network: {message}")
