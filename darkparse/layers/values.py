"""Option text to Python values, by C's rules.

Darknet reads numbers with `atoi` and `atof` (option_list.c), which take the longest number at the start of the
text, drop the rest, and make 0 of a text without a number. darkparse takes the same number, says so where text
was dropped, and refuses a text without a digit.
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
"""From here on a number rounds to infinity in float32."""
MAX_INT_DIGITS = 1000
"""Digits; Python reads no more than a few thousand."""
_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)([pP][+-]?[0-9]+)?")


class ParsedValue(NamedTuple):
    """A value and what the reader of the cfg should know about how it came to be."""

    value: Any
    complaint: str | None = None


class ValueTextError(ValueError):
    """The text is no value of the kind that is needed; the message says what was expected."""


Reader = Callable[[str, Dialect], ParsedValue]


def read_int(text: str, _: Dialect) -> ParsedValue:
    """An integer as `atoi` reads it: `1.9` is 1, `18#x` is 18."""
    match = _INT.match(text)
    if not match and not _FLOAT.match(text):
        raise ValueTextError("a whole number is needed here")
    number = int(match[0][:MAX_INT_DIGITS]) if match else 0
    if abs(number) > INT_MAX:
        raise ValueTextError(f"the number does not fit Darknet's int (at most {INT_MAX:,})")
    return ParsedValue(number, _describe_dropped_text(text, match[0] if match else "", number))


def read_float(text: str, _: Dialect) -> ParsedValue:
    """A number as `atof` reads it, also a hexadecimal one: `0x1p1` is 2. What is not finite makes no sense in a cfg."""
    hexadecimal = _HEX.match(text)
    match = hexadecimal or _FLOAT.match(text)
    if not match:
        raise ValueTextError("a number is needed here")
    try:
        number = float.fromhex(match[0]) if hexadecimal else float(match[0])
    except OverflowError:
        number = inf
    if abs(number) >= FLOAT_LIMIT:
        raise ValueTextError("the number does not fit Darknet's float")
    return ParsedValue(number, _describe_dropped_text(text, match[0], f"{number:g}" if hexadecimal else match[0]))


def read_flag(text: str, dialect: Dialect) -> ParsedValue:
    """An integer that stands for no (0) or yes."""
    number, complaint = read_int(text, dialect)
    return ParsedValue(number != 0, complaint)


def read_text(text: str, _: Dialect) -> ParsedValue:
    """The text as it is."""
    return ParsedValue(text)


def read_list(item: Reader) -> Reader:
    """Numbers with commas between; a comment behind them ends the list (AlexeyAB parser.c:405, 540).

    A reader that refuses slips takes anything between them (hank-ai darknet_cfg.cpp find_int_array).
    """
    run = re.compile(r"-?[0-9]+" if item is read_int else r"-?[0-9]*\.?[0-9]+")

    def read(text: str, dialect: Dialect) -> ParsedValue:
        if dialect.strict_parser:
            return ParsedValue(tuple(item(part, dialect).value for part in run.findall(text) or [""]))
        body, mark, _ = text.partition("#")
        parts = body.removesuffix(",").split(",")
        complaint = (
            f"Darknet takes {truncate(text)!r} whole as the value; only {truncate(body)!r} is read" if mark else None
        )
        values = []
        for part in parts:
            number, item_complaint = item(part, dialect)
            values.append(number)
            complaint = complaint or item_complaint
        if body.endswith(","):
            complaint = complaint or "the comma at the end is ignored; Darknet reads a 0 behind it"
        return ParsedValue(tuple(values), complaint)

    return read


def read_first(item: Reader, *, fork: str) -> Reader:
    """A list of which one dialect reads the first number alone."""
    read_all = read_list(item)

    def read(text: str, dialect: Dialect) -> ParsedValue:
        values, complaint = read_all(text, dialect)
        if dialect.supports(fork) and len(values) > 1:
            return ParsedValue(values[:1], f"{dialect.title} reads the first number only, {values[0]}")
        return ParsedValue(values, complaint)

    return read


def read_choice(*choices: str, fallback: str | None = None, aliases: dict[str, str] | None = None) -> Reader:
    """One of some words; another word is an error, or the fallback where Darknet has one."""
    values = {word: word for word in choices} | (aliases or {})

    def read(text: str, _: Dialect) -> ParsedValue:
        if text in values:
            return ParsedValue(values[text])
        if fallback is None:
            raise ValueTextError(f"one of {', '.join(values)} is needed here{format_suggestion(text, values)}")
        message = f"{truncate(text)!r} is none of {', '.join(values)}; Darknet goes on with {fallback!r}"
        return ParsedValue(fallback, message + format_suggestion(text, values))

    setattr(read, "words", tuple(values))  # noqa: B010  an editor offers them
    return read


def _describe_dropped_text(text: str, number: str, value: object) -> str | None:
    rest = text[len(number) :]
    if not rest:
        return None
    comma = " (is a comma missing?)" if re.match(r"[+-]?[0-9]", rest) else ""
    return f"Darknet reads {truncate(str(value))} here and drops {truncate(rest)!r}{comma}"
