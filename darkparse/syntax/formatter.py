"""One tidy style for a cfg's text: comments stay, and Darknet reads the same."""

from __future__ import annotations

import re

from darkparse.syntax.config import Config, Option, strip_whitespace


def format_cfg(config: Config) -> str:
    """The text with `key=value`, one blank line before each section or its comment, and LF line ends.

    In lists no space stands behind a comma but between the pairs of `anchors`; a comment behind a value has one space
    before it. A value that a space divides is left divided, since Darknet would read it as one (`layers=-1 8`).
    """
    options = {option.start: option for section in (config.net, *config.sections) for option in section.options}
    lines: list[str] = []
    start = 0
    for raw in config.source.text.split("\n"):
        text = (raw if start else raw.removeprefix("\ufeff")).strip(" \t\r")
        at = start + raw.find(text) if text else -1
        start += len(raw) + 1
        lines.append(f"[{strip_whitespace(text)[1:-1]}]" if text.startswith("[") else _line(options.get(at), text))
    return "\n".join(_spaced(lines)) + "\n"


def _line(option: Option | None, text: str) -> str:
    if option is None or option.text is None:
        return text
    value, mark, comment = text.partition("=")[2].partition("#")
    parts = [re.sub(r"[ \t\r]+", " ", part).strip(" ") for part in value.split(",")]  # what Darknet takes for space
    pairs = option.key == "anchors"
    joined = "".join(f"{part}{', ' if pairs and i % 2 else ','}" for i, part in enumerate(parts[:-1])) + parts[-1]
    return f"{option.key}={joined}{' ' if mark and joined else ''}{mark}{comment}".rstrip(" ")


def _spaced(lines: list[str]) -> list[str]:
    """Blank lines where they belong: one where some stood, and one before each section with its comment."""
    spaced: list[str] = []
    for line in lines:
        if line.startswith("["):
            at = len(spaced)
            while at and spaced[at - 1].startswith(("#", ";")):
                at -= 1
            if at and spaced[at - 1]:
                spaced.insert(at, "")
        if line or (spaced and spaced[-1]):
            spaced.append(line)
    return spaced[:-1] if spaced and not spaced[-1] else spaced
