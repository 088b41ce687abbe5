"""Formatter for cfg text that preserves comments and what Darknet reads."""

from __future__ import annotations

import re

from darkparse.syntax.config import Config, Option, strip_whitespace


def format_cfg(config: Config) -> str:
    """Format a cfg with `key=value` lines, one blank line before each section or its comment, and LF line ends.

    Commas in lists are not followed by a space, except between the pairs of `anchors`. A comment after a value is
    preceded by one space. Other spaces inside a value are kept, although Darknet ignores them (it reads `layers=-1 8`
    as -18).
    """
    options = {option.start: option for section in (config.net, *config.sections) for option in section.options}
    lines: list[str] = []
    start = 0
    for raw in config.source.text.split("\n"):
        text = (raw if start else raw.removeprefix("\ufeff")).strip(" \t\r")
        text_start = start + raw.find(text) if text else -1
        start += len(raw) + 1
        lines.append(
            f"[{strip_whitespace(text)[1:-1]}]" if text.startswith("[") else _format_line(options.get(text_start), text)
        )
    return "\n".join(_normalize_blank_lines(lines)) + "\n"


def _format_line(option: Option | None, text: str) -> str:
    if option is None or option.text is None:
        return text
    value, mark, comment = text.partition("=")[2].partition("#")
    parts = [re.sub(r"[ \t\r]+", " ", part).strip(" ") for part in value.split(",")]  # whitespace for Darknet
    pairs = option.key == "anchors"
    formatted = "".join(f"{part}{', ' if pairs and i % 2 else ','}" for i, part in enumerate(parts[:-1])) + parts[-1]
    return f"{option.key}={formatted}{' ' if mark and formatted else ''}{mark}{comment}".rstrip(" ")


def _normalize_blank_lines(lines: list[str]) -> list[str]:
    """Collapse runs of blank lines to one, and insert one before each section and its comment."""
    result: list[str] = []
    for line in lines:
        if line.startswith("["):
            position = len(result)
            while position and result[position - 1].startswith(("#", ";")):
                position -= 1
            if position and result[position - 1]:
                result.insert(position, "")
        if line or (result and result[-1]):
            result.append(line)
    return result[:-1] if result and not result[-1] else result
