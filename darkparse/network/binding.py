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
from darkparse.layers.base import BoundField, get_bound_fields, get_known_keys
from darkparse.layers.names import describe_unknown_kind, format_suggestion
from darkparse.layers.net import Net
from darkparse.layers.training import Training
from darkparse.layers.values import ValueTextError
from darkparse.network.auxiliary_files import find_side_file
from darkparse.network.limits import Limits
from darkparse.network.strict_rules import find_fault, get_value_text, is_plain, is_skipped, make_refusal
from darkparse.syntax import Option, Section
from darkparse.syntax.config import NET_NAMES

MAX_HINTS = 200
"""So many findings are told the nearest name; a file of more is another thing than a cfg with slips."""
_JOINED_DIGITS = re.compile(r"[+-]?[0-9.]+(?:[ \t]+[0-9.]+)+")
"""Numbers with nothing but spaces between, which Darknet reads as one."""

T = TypeVar("T", bound=Layer | Net | Training)


class Binder:
    """Binds the sections of one file in one dialect, and keeps what it finds on the way."""

    def __init__(self, source: Source, dialect: Dialect, limits: Limits | None = None) -> None:
        self.source = source
        self.dialect = dialect
        self.limits = limits
        self.diagnostics: list[Diagnostic] = []

    def bind_layer(self, section: Section) -> Layer | None:
        """The layer of a section, or None after an error."""
        cls = REGISTRY.get(section.kind)
        if cls is None:
            self._report_unknown_kind(section)
            return None
        owner = find_owner(cls, self.dialect)
        if owner is not self.dialect:
            message = f"{self.dialect.title} does not know [{section.kind}]; it runs here as in {owner.title}"
            self._add_warning("foreign-kind", message, section, refusal=f"it does not know [{section.kind}]")
            if self.dialect.strict_parser:
                return Binder(self.source, owner, self.limits).bind(section, cls)
        return self.bind(section, cls)

    def bind(self, section: Section, cls: type[T]) -> T | None:
        """An instance of a layer class, or of Net, from a section's options."""
        owner = find_owner(cls, self.dialect)
        selected = self._select_options(section, cls, owner)
        before, kind = len(self.diagnostics), f"[{cls.kind}]"
        values: dict[str, Any] = {}
        for item in get_bound_fields(cls):
            option = next((selected[key] for key in item.keys if key in selected), None)
            if option is not None and owner.supports(item.spec.dialect, kind, option.key):
                values.update(self._bind_value(item, option))
            elif item.spec.dialect_default is not None:
                values[item.name] = attrgetter(item.spec.dialect_default)(self.dialect)
            if item.spec.required and (option is None or option.text is None):
                self._add_error("missing", f"[{section.kind}] needs {item.keys[0]}=", section)
        if any(d.severity == "error" and d.code != "refused" for d in self.diagnostics[before:]):
            return None
        return cls(**values)

    def _select_options(self, section: Section, cls: type[Any], owner: Dialect) -> dict[str, Option]:
        """The option that counts for each key: the first of that name (option_list.c option_find)."""
        known_options, kind = get_known_keys(cls), f"[{cls.kind}]"
        selected: dict[str, Option] = {}
        for option in section.options:
            key = option.key
            if self.dialect.strict_parser and is_skipped(option):
                message = f"{self.dialect.title} passes over this line, which is no key=value"
                self._add_warning("no-value", message + self._suggest_option(option, known_options), option)
            elif option.text == "":
                self._add_warning("empty-value", f"{truncate(key)}= has no value; Darknet skips the line", option)
            elif key in selected:
                first = selected[key]
                line = f"{truncate(first.span.text)!r} in line {first.span.line}"
                message = f"{truncate(key)} again: Darknet takes the first, {line}"
                note, refusal = Note("the first is here", first.span), f"{truncate(key)} again, which may stand once"
                self._add_warning("duplicate", message, option, note, cause=key, refusal=refusal)
            elif key not in known_options:
                suggestion = self._suggest_option(option, known_options)
                message = f"[{section.kind}] has no option {truncate(key)!r}, Darknet ignores it{suggestion}"
                refusal = f"[{section.kind}] has no option {truncate(key)!r}{suggestion}"
                self._add_warning("unknown-option", message, option, refusal=refusal)
            else:
                selected[key] = option
                if not owner.supports(known_options[key], kind, key):
                    unknown = f"does not know {key!r} in [{section.kind}]"
                    message = f"{self.dialect.title} {unknown} and ignores it"
                    self._add_warning("foreign-option", message, option, refusal=f"it {unknown}")
                elif self.dialect.strict_parser and (fault := find_fault(section, option, self.dialect)):
                    self._add_warning("odd-value", fault, option, refusal=fault)
                elif option.text is None:
                    self._add_warning("no-value", f"a line without '=': Darknet uses the default of {key!r}", option)
        return selected

    def _bind_value(self, item: BoundField, option: Option) -> Iterator[tuple[str, Any]]:
        if option.text is None:
            return
        try:
            text = get_value_text(option) if self.dialect.strict_parser else option.text
            value, complaint = item.read(text, self.dialect)
        except ValueTextError as problem:
            self._add_error("value", f"{option.key}={truncate(option.text)}: {problem}", option)
            return
        if item.spec.minimum is not None and value < item.spec.minimum:
            self._add_error("value", f"{option.key} must be at least {item.spec.minimum}, this is {value}", option)
            return
        if self.limits is not None and (message := self.limits.check_option(option.key, value)) is not None:
            self._add_error("limit", message, option)
            return
        if complaint or not is_plain(option):
            self._warn_about_value(item, option, value, complaint)
        if item.spec.is_file:
            value = self._resolve_file(value, option)
        yield item.name, value

    def _warn_about_value(self, item: BoundField, option: Option, value: Any, complaint: str | None) -> None:
        """What Darknet makes of a value that is not as it looks."""
        key, text, is_word = option.key, get_value_text(option), isinstance(value, (str, PurePath))
        has_comment = "#" in (option.text or "")
        comment_message = f"hank-ai/darknet cuts the comment off and reads {truncate(text)!r}" if has_comment else ""
        if self.dialect.strict_parser:
            if is_word and comment_message:
                message = f"{key}: {comment_message}; in the Darknets before it the comment belongs to the value"
                self._add_warning("inline-comment", message, option)
            return
        if complaint and comment_message:
            self._add_warning(
                "inline-comment", f"{key}: {complaint}; {comment_message}", option, cause="" if is_word else key
            )
        elif complaint:
            code = "unknown-activation" if item.name.endswith("activation") else "odd-value"
            self._add_warning(code, f"{key}: {complaint}", option)
        match = None if is_word else _JOINED_DIGITS.search(text)
        if match is not None:
            joined_digits = "".join(match[0].split())
            message = f"{key}: Darknet deletes the space in {truncate(match[0])!r} and reads {truncate(joined_digits)}"
            start = option.value_span.start
            span = Span(option.source, start + match.start(), start + match.end())
            self.diagnostics.append(Diagnostic("warning", "joined-digits", f"{message} (is a comma missing?)", span))

    def _suggest_option(self, option: Option, known_options: Mapping[str, Any]) -> str:
        """What was meant by an option that is unknown."""
        if len(self.diagnostics) > MAX_HINTS:
            return ""
        match = re.fullmatch(r"([A-Za-z_]+)[:;]?([-0-9.,]+)", option.key) if option.text is None else None
        if match and match[1] in known_options:
            return f"; did you mean {match[1]}={truncate(match[2])}?"
        return format_suggestion(option.key, known_options)

    def _resolve_file(self, name: str, option: Option) -> PurePath:
        """The side file's path, which can be read; its bare name where it is missing or lies elsewhere."""
        path = find_side_file(name, self.source)
        if path is None:
            message = (
                "no such file in the working directory, beside the cfg, or in the folder above it, and no other place "
                "is looked at"
            )
            self._add_warning("no-file", f"{truncate(name)}: {message}", option)
        return path or PurePath(name)

    def _report_unknown_kind(self, section: Section) -> None:
        if section.kind in NET_NAMES:
            message = f"a second [{section.kind}]: a cfg has one, and its layers follow (two cfgs in one file?)"
            self._add_error("second-net", message, section)
            return
        message = describe_unknown_kind(section.kind, REGISTRY) if len(self.diagnostics) < MAX_HINTS else ""
        self._add_error("unknown-kind", f"unknown layer kind [{truncate(section.kind)}]{message}", section)

    def _add_error(self, code: str, message: str, element: Section | Option) -> None:
        span = element.value_span if isinstance(element, Option) else element.span
        self.diagnostics.append(Diagnostic("error", code, message, span))

    def _add_warning(
        self, code: str, message: str, element: Section | Option, *notes: Note, cause: str = "", refusal: str = ""
    ) -> None:
        """Warn, or report `refusal` where the dialect's reader ends the program at such a thing."""
        about_value = code in ("odd-value", "inline-comment", "unknown-activation")
        span: Span = element.value_span if about_value and isinstance(element, Option) else element.span
        if refusal and self.dialect.strict_parser:
            self.diagnostics.append(replace(make_refusal(self.dialect, refusal, span), notes=notes))
        else:
            self.diagnostics.append(Diagnostic("warning", code, message, span, notes, cause))


def find_owner(cls: type[Any], dialect: Dialect) -> Dialect:
    """The dialect as in which sections of a class run: the one asked for, or the nearest that knows them."""
    kind = f"[{cls.kind}]"
    if dialect.supports(cls.dialect, kind):
        return dialect
    return next(other for other in (*dialect.lineage, *DIALECTS.values()) if other.supports(cls.dialect, kind))
