"""Conversion of option text to Python values by C's rules.

Darknet reads numbers with `atoi` and `atof` (option_list.c). They parse the longest number at the start of the text,
ignore the rest, and return 0 for text without a number. darkparse parses the same number, reports ignored text, and
rejects text without a digit.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from darkparse.diagnostics.source import truncate
from darkparse.layers.dialect import Dialect
from darkparse.layers.names import format_suggestion

INT_MAX = 2**31 - 1
FLOAT_LIMIT = (2 - 2**-24) * 2.0**127
"""Smallest magnitude that rounds to infinity in float32."""
MAX_INT_DIGITS = 1000
"""Maximum characters converted to an integer; Python's own limit is a few thousand digits."""
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?[0-9]+)?")


class ParsedValue(NamedTuple):
    """Value of an option and an optional complaint about its text."""

    value: Any
    complaint: str | None = None


class ValueTextError(ValueError):
    """Text that is not a valid value; the message describes the expected value."""


Reader = Callable[[str, Dialect], ParsedValue]


def read_int(text: str, _: Dialect) -> ParsedValue:
    """Read an integer as `atoi` does: `1.9` is 1, `18#x` is 18.

    Raises:
        ValueTextError: The text has no number, or it does not fit an int.
    """
    match = _INT.match(text)
    if not match and not _FLOAT.match(text):
        raise ValueTextError("expected an integer")
    number = int(match[0][:MAX_INT_DIGITS]) if match else 0
    if abs(number) > INT_MAX:
        raise ValueTextError(f"expected at most {INT_MAX:,}, the limit of Darknet's int")
    return ParsedValue(number, _describe_dropped_text(text, match[0] if match else "", number))


def read_float(text: str, _: Dialect) -> ParsedValue:
    """Read a number as `atof` does, including hexadecimal ones: `0x1p1` is 2.

    Raises:
        ValueTextError: The text has no number, or it is not finite as a float32.
    """
    hexadecimal = _HEX.match(text)
    match = hexadecimal or _FLOAT.match(text)
    if not match:
        raise ValueTextError("expected a number")
    try:
        number = float.fromhex(match[0]) if hexadecimal else float(match[0])
    except OverflowError:
        number = inf
    if abs(number) >= FLOAT_LIMIT:
        raise ValueTextError("expected a finite value of Darknet's float")
    return ParsedValue(number, _describe_dropped_text(text, match[0], f"{number:g}" if hexadecimal else match[0]))


def read_flag(text: str, dialect: Dialect) -> ParsedValue:
    """Read an integer as a flag: 0 is False, all others are True."""
    number, complaint = read_int(text, dialect)
    return ParsedValue(number != 0, complaint)


def read_text(text: str, _: Dialect) -> ParsedValue:
    """Return the text unchanged."""
    return ParsedValue(text)


def read_list(item: Reader) -> Reader:
    """Make a reader of comma-separated numbers; a comment ends the list (AlexeyAB parser.c:405, 540).

    In a dialect with a strict parser any other text separates numbers (hank-ai darknet_cfg.cpp find_int_array).
    """
    run = re.compile(r"-?[0-9]+" if item is read_int else r"-?[0-9]*\.?[0-9]+")

    def read(text: str, dialect: Dialect) -> ParsedValue:
        if dialect.strict_parser:
            return ParsedValue(tuple(item(part, dialect).value for part in run.findall(text) or [""]))
        body, mark, _ = text.partition("#")
        parts = body.removesuffix(",").split(",")
        complaint = (
            f"Darknet uses all of {truncate(text)!r} as the value; darkparse only reads {truncate(body)!r}"
            if mark
            else None
        )
        values = []
        for part in parts:
            number, item_complaint = item(part, dialect)
            values.append(number)
            complaint = complaint or item_complaint
        if body.endswith(","):
            complaint = complaint or "darkparse ignores the trailing comma; Darknet reads a 0 after it"
        return ParsedValue(tuple(values), complaint)

    return read


def read_first(item: Reader, *, fork: str) -> Reader:
    """Make a list reader that only returns the first number in the dialect `fork` and its forks."""
    read_all = read_list(item)

    def read(text: str, dialect: Dialect) -> ParsedValue:
        values, complaint = read_all(text, dialect)
        if dialect.supports(fork) and len(values) > 1:
            return ParsedValue(values[:1], f"{dialect.title} reads the first number only, {values[0]}")
        return ParsedValue(values, complaint)

    return read


def read_choice(*choices: str, fallback: str | None = None, aliases: dict[str, str] | None = None) -> Reader:
    """Make a reader that accepts the given names.

    Args:
        choices: Valid names.
        fallback: Value that Darknet uses for other names; None to reject them.
        aliases: Further valid names and the values they stand for.
    """
    values = {word: word for word in choices} | (aliases or {})

    def read(text: str, _: Dialect) -> ParsedValue:
        if text in values:
            return ParsedValue(values[text])
        if fallback is None:
            raise ValueTextError(f"expected one of {', '.join(values)}{format_suggestion(text, values)}")
        message = (
            f"unknown value {truncate(text)!r}, Darknet uses {fallback!r} instead; expected one of {', '.join(values)}"
        )
        return ParsedValue(fallback, message + format_suggestion(text, values))

    setattr(read, "words", tuple(values))  # noqa: B010  (for completion in editors)
    return read


def _describe_dropped_text(text: str, number: str, value: object) -> str | None:
    rest = text[len(number) :]
    if not rest:
        return None
    comma = " (is a comma missing?)" if re.match(r"[+-]?[0-9]", rest) else ""
    return f"Darknet reads {truncate(str(value))} and ignores {truncate(rest)!r}{comma}"
