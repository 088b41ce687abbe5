"""Splitting of a line into key and value by the parsers of the forks."""

from __future__ import annotations

from darkparse.syntax import Option


def is_plain(option: Option) -> bool:
    """Return whether all parsers read the value unchanged: it has no spaces and no comment."""
    text = option.text or ""
    return "#" not in text and (not option.source.is_cfg or len(text) == option.end - option.equals - 1)


def cut_comment(option: Option) -> str:
    """Return the value as the strict parser reads it, with inner spaces but without a comment."""
    text = option.text or ""
    if is_plain(option):
        return text
    written = option.value_span.text if option.source.is_cfg else text
    return written.partition("#")[0].strip(" \t\r") if text else ""


def is_skipped(option: Option) -> bool:
    """Return whether the strict parser skips the line silently, because it is not `key=value`."""
    if option.text is None or not option.source.is_cfg:
        return option.text is None or option.text.startswith("#")
    if option.source.text.startswith("#", option.equals + 1):
        return True
    return "#" in option.key or not option.key or option.key_span.text != option.key
