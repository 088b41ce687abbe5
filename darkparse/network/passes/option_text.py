"""How the readers of the forks split a line into key and value."""

from __future__ import annotations

from darkparse.syntax import Option


def is_plain(option: Option) -> bool:
    """Return whether all readers see the value as it is written: no space in or around it, no comment."""
    text = option.text or ""
    return "#" not in text and (not option.source.is_cfg or len(text) == option.end - option.equals - 1)


def cut_comment(option: Option) -> str:
    """Return the value as the strict reader takes it: inner spaces stay, a comment is cut off."""
    text = option.text or ""
    if is_plain(option):
        return text
    return option.value_span.text.partition("#")[0].strip(" \t\r") if text else ""


def is_skipped(option: Option) -> bool:
    """Return whether the line is no `key=value` to the strict reader, which skips it without a message."""
    if option.text is None or option.source.text.startswith("#", option.equals + 1):
        return True
    return "#" in option.key or not option.key or option.key_span.text != option.key
