"""Characters that look like the ASCII characters of a cfg: full-width signs, dashes, invisible spaces."""

from __future__ import annotations

import unicodedata

DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
SIGNS = DASHES | {
    "\u3001": ",",
    "\u3010": "[",
    "\u3011": "]",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
}
"""Look-alikes that Unicode's compatibility normalization (NFKC) does not map to ASCII."""


def describe_lookalike(text: str) -> str:
    """Return a hint about the first character that is not ASCII, as `; '＝' (U+FF1D) is not '='`; empty without one.

    Bytes that are not UTF-8 are skipped: they are a sign of another encoding, not of a typing error.
    """
    for character in text:
        if not character.isascii() and not "\ud800" <= character <= "\udfff":
            return f"; {_describe(character)}"
    return ""


def fold_lookalikes(text: str) -> str:
    """Return a text in which ASCII characters replace those that look like them."""
    return "".join(_fold(character) for character in text)


def _fold(character: str) -> str:
    if character.isascii():
        return character
    folded = SIGNS.get(character) or unicodedata.normalize("NFKC", character)
    if unicodedata.category(character) == "Cf":  # such as a zero-width space
        folded = ""
    return folded if folded.isascii() else character


def _describe(character: str) -> str:
    code, folded = f"U+{ord(character):04X}", _fold(character)
    is_visible = character.isprintable() and not character.isspace()
    name = (
        f"{character!r} ({code})"
        if is_visible
        else f"{code} ({unicodedata.name(character, 'control character').lower()})"
    )
    if not folded:
        return f"{name} is an invisible character"
    if folded == " ":
        return f"{name} is not a space"
    return f"{name} is not {folded!r}" if folded != character else f"{name} is not ASCII"
