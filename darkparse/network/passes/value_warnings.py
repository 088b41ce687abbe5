"""Warnings about values that Darknet reads differently from what they look like."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from darkparse.diagnostics import Diagnostic
from darkparse.diagnostics.source import Span, truncate
from darkparse.layers import Dialect
from darkparse.layers.base import BoundField
from darkparse.network.passes.option_text import cut_comment
from darkparse.syntax import Option
from darkparse.syntax.lookalikes import describe_lookalike

_JOINED_DIGITS = re.compile(r"[+-]?[0-9.]+(?:[ \t]+[0-9.]+)+")
"""Numbers separated by spaces only, which Darknet reads as one number."""


def find_value_warnings(
    item: BoundField, option: Option, value: Any, complaint: str | None, dialect: Dialect
) -> list[Diagnostic]:
    """Return the warnings about a value with spaces, a comment or a complaint of its reader."""
    is_word = isinstance(value, (str, PurePath))
    if dialect.strict_parser:
        return [_make_cut_comment_warning(option)] if is_word and "#" in (option.text or "") else []
    warnings = []
    if complaint and "#" in (option.text or ""):
        message = f"{option.key}: {complaint}; {_describe_cut_comment(option)}"
        cause = "" if is_word else option.key
        warnings.append(Diagnostic("warning", "inline-comment", message, option.value_span, cause=cause))
    elif complaint:
        code = "unknown-activation" if item.name.endswith("activation") else "odd-value"
        message = f"{option.key}: {complaint}{describe_lookalike(option.text or '')}"
        warnings.append(Diagnostic("warning", code, message, option.value_span))
    return warnings if is_word else [*warnings, *_find_joined_digits(option)]


def _make_cut_comment_warning(option: Option) -> Diagnostic:
    cut = _describe_cut_comment(option)
    message = f"{option.key}: {cut}; in other forks the comment is part of the value"
    return Diagnostic("warning", "inline-comment", message, option.value_span)


def _describe_cut_comment(option: Option) -> str:
    return f"hank-ai/darknet removes the comment and reads {truncate(cut_comment(option))!r}"


def _find_joined_digits(option: Option) -> list[Diagnostic]:
    match = _JOINED_DIGITS.search(cut_comment(option))
    if match is None:
        return []
    joined = truncate("".join(match[0].split()))
    message = f"{option.key}: Darknet deletes the space in {truncate(match[0])!r} and reads {joined}"
    start = option.value_span.start
    span = Span(option.source, start + match.start(), start + match.end())
    return [Diagnostic("warning", "joined-digits", f"{message} (is a comma missing?)", span)]
