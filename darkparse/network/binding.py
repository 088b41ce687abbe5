"""Pass 1: options to typed values. Sections do not depend on each other here, so every finding is collected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import PurePath
from typing import Any, TypeVar

from darkparse.diagnostics import Diagnostic, Note
from darkparse.diagnostics.source import Source, Span, truncate
from darkparse.layers import DIALECTS, REGISTRY, Dialect, Layer
from darkparse.layers.base import BoundField, bound_fields, known_keys
from darkparse.layers.names import describe_unknown_kind, did_you_mean
from darkparse.layers.net import Net
from darkparse.layers.training import Training
from darkparse.layers.values import ValueTextError
from darkparse.network.auxiliary_files import find_side_file
from darkparse.network.limits import Limits
from darkparse.network.strict_rules import find_fault, is_passed_over, is_plain, refuse_value, value_text
from darkparse.syntax import Option, Section
from darkparse.syntax.config import NET_NAMES

HINTED = 200
"""So many findings are told the nearest name; a file of more is another thing than a cfg with slips."""
_JOINED = re.compile(r"[+-]?[0-9.]+(?:[ \t]+[0-9.]+)+")
"""Numbers with nothing but spaces between, which Darknet reads as one."""

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
        home = find_owner(cls, self.dialect)
        if home is not self.dialect:
            message = f"{self.dialect.title} does not know [{section.kind}]; it runs here as in {home.title}"
            self._warn("foreign-kind", message, section, refused=f"it does not know [{section.kind}]")
            if self.dialect.strict_parser:
                return Binder(self.source, home, self.limits).bind(section, cls)
        return self.bind(section, cls)

    def bind(self, section: Section, cls: type[T]) -> T | None:
        """An instance of a layer class, or of Net, from a section's options."""
        home = find_owner(cls, self.dialect)
        chosen = self._chosen(section, cls, home)
        before, kind = len(self.diagnostics), f"[{cls.kind}]"
        values: dict[str, Any] = {}
        for item in bound_fields(cls):
            option = next((chosen[key] for key in item.keys if key in chosen), None)
            if option is not None and home.supports(item.spec.dialect, kind, option.key):
                values.update(self._value(item, option))
            elif item.spec.dialect_default is not None:
                values[item.name] = attrgetter(item.spec.dialect_default)(self.dialect)
            if item.spec.required and (option is None or option.text is None):
                self._error("missing", f"[{section.kind}] needs {item.keys[0]}=", section)
        if any(d.severity == "error" and d.code != "refused" for d in self.diagnostics[before:]):
            return None
        return cls(**values)

    def _chosen(self, section: Section, cls: type[Any], home: Dialect) -> dict[str, Option]:
        """The option that counts for each key: the first of that name (option_list.c option_find)."""
        known, kind = known_keys(cls), f"[{cls.kind}]"
        chosen: dict[str, Option] = {}
        for option in section.options:
            key = option.key
            if self.dialect.strict_parser and is_passed_over(option):
                told = f"{self.dialect.title} passes over this line, which is no key=value"
                self._warn("no-value", told + self._instead(option, known), option)
            elif option.text == "":
                self._warn("empty-value", f"{truncate(key)}= has no value; Darknet skips the line", option)
            elif key in chosen:
                first = chosen[key]
                line = f"{truncate(first.span.text)!r} in line {first.span.line}"
                told = f"{truncate(key)} again: Darknet takes the first, {line}"
                note, refused = Note("the first is here", first.span), f"{truncate(key)} again, which may stand once"
                self._warn("duplicate", told, option, note, cause=key, refused=refused)
            elif key not in known:
                instead = self._instead(option, known)
                told = f"[{section.kind}] has no option {truncate(key)!r}, Darknet ignores it{instead}"
                refused = f"[{section.kind}] has no option {truncate(key)!r}{instead}"
                self._warn("unknown-option", told, option, refused=refused)
            else:
                chosen[key] = option
                if not home.supports(known[key], kind, key):
                    unknown = f"does not know {key!r} in [{section.kind}]"
                    told = f"{self.dialect.title} {unknown} and ignores it"
                    self._warn("foreign-option", told, option, refused=f"it {unknown}")
                elif self.dialect.strict_parser and (fault := find_fault(section, option, self.dialect)):
                    self._warn("odd-value", fault, option, refused=fault)
                elif option.text is None:
                    self._warn("no-value", f"a line without '=': Darknet uses the default of {key!r}", option)
        return chosen

    def _value(self, item: BoundField, option: Option) -> Iterator[tuple[str, Any]]:
        if option.text is None:
            return
        try:
            text = value_text(option) if self.dialect.strict_parser else option.text
            value, complaint = item.read(text, self.dialect)
        except ValueTextError as problem:
            self._error("value", f"{option.key}={truncate(option.text)}: {problem}", option)
            return
        if item.spec.minimum is not None and value < item.spec.minimum:
            self._error("value", f"{option.key} must be at least {item.spec.minimum}, this is {value}", option)
            return
        if self.limits is not None and (said := self.limits.exceeded_by_option(option.key, value)) is not None:
            self._error("limit", said, option)
            return
        if complaint or not is_plain(option):
            self._tell(item, option, value, complaint)
        if item.spec.is_file:
            value = self._file(value, option)
        yield item.name, value

    def _tell(self, item: BoundField, option: Option, value: Any, complaint: str | None) -> None:
        """What Darknet makes of a value that is not as it looks."""
        key, text, is_word = option.key, value_text(option), isinstance(value, (str, PurePath))
        has_comment = "#" in (option.text or "")
        cut = f"hank-ai/darknet cuts the comment off and reads {truncate(text)!r}" if has_comment else ""
        if self.dialect.strict_parser:
            if is_word and cut:
                told = f"{key}: {cut}; in the Darknets before it the comment belongs to the value"
                self._warn("inline-comment", told, option)
            return
        if complaint and cut:
            self._warn("inline-comment", f"{key}: {complaint}; {cut}", option, cause="" if is_word else key)
        elif complaint:
            code = "unknown-activation" if item.name.endswith("activation") else "odd-value"
            self._warn(code, f"{key}: {complaint}", option)
        digits = None if is_word else _JOINED.search(text)
        if digits is not None:
            read = "".join(digits[0].split())
            told = f"{key}: Darknet deletes the space in {truncate(digits[0])!r} and reads {truncate(read)}"
            start = option.value_span.start
            span = Span(option.source, start + digits.start(), start + digits.end())
            self.diagnostics.append(Diagnostic("warning", "joined-digits", f"{told} (is a comma missing?)", span))

    def _instead(self, option: Option, known: Mapping[str, Any]) -> str:
        """What was meant by an option that is unknown."""
        if len(self.diagnostics) > HINTED:
            return ""
        match = re.fullmatch(r"([A-Za-z_]+)[:;]?([-0-9.,]+)", option.key) if option.text is None else None
        if match and match[1] in known:
            return f"; did you mean {match[1]}={truncate(match[2])}?"
        return did_you_mean(option.key, known)

    def _file(self, name: str, option: Option) -> PurePath:
        """The side file's path, which can be read; its bare name where it is missing or lies elsewhere."""
        found = find_side_file(name, self.source)
        if found is None:
            message = (
                "no such file in the working directory, beside the cfg, or in the folder above it, and no other place "
                "is looked at"
            )
            self._warn("no-file", f"{truncate(name)}: {message}", option)
        return found or PurePath(name)

    def _unknown_kind(self, section: Section) -> None:
        if section.kind in NET_NAMES:
            told = f"a second [{section.kind}]: a cfg has one, and its layers follow (two cfgs in one file?)"
            self._error("second-net", told, section)
            return
        told = describe_unknown_kind(section.kind, REGISTRY) if len(self.diagnostics) < HINTED else ""
        self._error("unknown-kind", f"unknown layer kind [{truncate(section.kind)}]{told}", section)

    def _error(self, code: str, message: str, at: Section | Option) -> None:
        span = at.value_span if isinstance(at, Option) else at.span
        self.diagnostics.append(Diagnostic("error", code, message, span))

    def _warn(
        self, code: str, message: str, at: Section | Option, *notes: Note, cause: str = "", refused: str = ""
    ) -> None:
        """Warn, or say what is `refused` where the dialect's reader ends the program at such a thing."""
        about_value = code in ("odd-value", "inline-comment", "unknown-activation")
        span: Span = at.value_span if about_value and isinstance(at, Option) else at.span
        if refused and self.dialect.strict_parser:
            self.diagnostics.append(replace(refuse_value(self.dialect, refused, span), notes=notes))
        else:
            self.diagnostics.append(Diagnostic("warning", code, message, span, notes, cause))


def find_owner(cls: type[Any], dialect: Dialect) -> Dialect:
    """The dialect as in which sections of a class run: the one asked for, or the nearest that knows them."""
    kind = f"[{cls.kind}]"
    if dialect.supports(cls.dialect, kind):
        return dialect
    return next(other for other in (*dialect.lineage, *DIALECTS.values()) if other.supports(cls.dialect, kind))
