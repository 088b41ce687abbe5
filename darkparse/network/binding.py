"""Pass 1: options to typed values. Sections do not depend on each other here, so every finding is collected."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, TypeVar

from darkparse.layers import DIALECTS, REGISTRY, Dialect, Layer
from darkparse.layers.base import BoundField, bound_fields, known_keys
from darkparse.layers.net import Net
from darkparse.layers.training import Training
from darkparse.layers.values import ValueTextError
from darkparse.network.limits import Limits
from darkparse.network.side_files import find_side_file
from darkparse.syntax import Diagnostic, Note, Option, Section
from darkparse.syntax.source import LONGEST_CONTENT, Source, shortened

T = TypeVar("T", bound=Layer | Net | Training)


class Binder:
    """Binds the sections of one file in one dialect, and keeps what it finds on the way."""

    def __init__(self, source: Source, dialect: Dialect, limits: Limits | None = None) -> None:
        self.source = source
        self.dialect = dialect
        self.limits = limits
        self.diagnostics: list[Diagnostic] = []

    def layer(self, section: Section) -> Layer | None:
        """The layer of a section, or None after an error."""
        cls = REGISTRY.get(section.kind)
        if cls is None:
            self._unknown_kind(section)
            return None
        home = home_of(cls, self.dialect)
        if home is not self.dialect:
            message = f"{self.dialect.title} does not know [{section.kind}]; it runs here as in {home.title}"
            self._warn("foreign-kind", message, section)
        return self.bind(section, cls)

    def bind(self, section: Section, cls: type[T]) -> T | None:
        """An instance of a layer class, or of Net, from a section's options."""
        home = home_of(cls, self.dialect)
        chosen = self._chosen(section, cls, home)
        before, kind = len(self.diagnostics), f"[{cls.kind}]"
        values: dict[str, Any] = {}
        for item in bound_fields(cls):
            option = next((chosen[key] for key in item.keys if key in chosen), None)
            if option is not None and home.knows(item.spec.only, kind, option.key):
                values.update(self._value(item, option))
            elif item.spec.fact is not None:
                values[item.name] = getattr(self.dialect, item.spec.fact)
            if item.spec.required and (option is None or option.text is None):
                self._error("missing", f"[{section.kind}] needs {item.keys[0]}=", section)
        if any(d.severity == "error" for d in self.diagnostics[before:]):
            return None
        return cls(**values)

    def _chosen(self, section: Section, cls: type[Any], home: Dialect) -> dict[str, Option]:
        """The option that counts for each key: the first of that name (option_list.c option_find)."""
        known, kind = known_keys(cls), f"[{cls.kind}]"
        chosen: dict[str, Option] = {}
        for option in section.options:
            key = option.key
            if option.text == "":
                self._warn("empty-value", f"{shortened(key)}= has no value; Darknet skips the line", option)
            elif key in chosen:
                self._warn(
                    "duplicate",
                    f"{shortened(key)} again: Darknet takes the first",
                    option,
                    Note("the first is here", chosen[key].span),
                )
            elif key not in known:
                self._warn(
                    "unknown-option",
                    f"[{section.kind}] has no option {shortened(key)!r}, Darknet ignores it{_nearest(key, known)}",
                    option,
                )
            else:
                chosen[key] = option
                if not home.knows(known[key], kind, key):
                    self._warn(
                        "foreign-option",
                        f"{self.dialect.title} does not know {key!r} in [{section.kind}] and ignores it",
                        option,
                    )
                elif option.text is None:
                    self._warn("no-value", f"a line without '=': Darknet uses the default of {key!r}", option)
        return chosen

    def _value(self, item: BoundField, option: Option) -> Iterator[tuple[str, Any]]:
        if option.text is None:
            return
        try:
            value, complaint = item.read(option.text, self.dialect)
        except ValueTextError as problem:
            self._error("value", f"{option.key}={shortened(option.text)}: {problem}", option)
            return
        if item.spec.least is not None and value < item.spec.least:
            self._error("value", f"{option.key} must be at least {item.spec.least}, this is {value}", option)
            return
        if self.limits is not None and (said := self.limits.exceeded_by_option(option.key, value)) is not None:
            self._error("limit", said, option)
            return
        if complaint:
            self._warn("odd-value", f"{option.key}: {complaint}", option)
        if item.spec.is_file:
            value = self._file(value, option)
        yield item.name, value

    def _file(self, name: str, option: Option) -> PurePath:
        """The side file's path, which can be read; its bare name where it is missing or lies elsewhere."""
        found = find_side_file(name, self.source)
        if found is None:
            message = (
                "no such file in the working directory, beside the cfg, or in the folder above it, and no other place "
                "is looked at"
            )
            self._warn("no-file", f"{shortened(name)}: {message}", option)
        return found or PurePath(name)

    def _unknown_kind(self, section: Section) -> None:
        kinds = dict.fromkeys(REGISTRY, None)
        self._error(
            "unknown-kind",
            f"unknown layer kind [{shortened(section.kind)}]{_nearest(section.kind, kinds, '[{}]')}",
            section,
        )

    def _error(self, code: str, message: str, at: Section | Option) -> None:
        span = at.value_span if isinstance(at, Option) else at.span
        self.diagnostics.append(Diagnostic("error", code, message, span))

    def _warn(self, code: str, message: str, at: Section | Option, *notes: Note) -> None:
        span = at.value_span if code == "odd-value" and isinstance(at, Option) else at.span
        self.diagnostics.append(Diagnostic("warning", code, message, span, notes))


def home_of(cls: type[Any], dialect: Dialect) -> Dialect:
    """The dialect as in which sections of a class run: the one asked for, or the nearest that knows them."""
    kind = f"[{cls.kind}]"
    if dialect.knows(cls.only, kind):
        return dialect
    return next(other for other in (*dialect.lineage, *DIALECTS.values()) if other.knows(cls.only, kind))


def _nearest(word: str, known: Mapping[str, Any], form: str = "{}") -> str:
    if len(word) > LONGEST_CONTENT:
        return ""
    folded = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f"; did you mean {form.format(folded[match[0]])}?" if match else ""
