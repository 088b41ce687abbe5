"""Comparison of the output that a page shows with what was printed."""

from __future__ import annotations

import re

MASKS = (
    (r"\d[\d.,:]* ?(ms|s|min|h|seconds|minutes|images/s|images a second)\b", "TIME"),
    (r"\d[\d.,]* ?(bytes|B|[KMG]i?B)\b", "SIZE"),
    (r"(?<![\w.])(/[\w.+-]+)+/", "PATH/"),
    (r"\d(\.\d+)?e-\d+", "ROUNDING"),
    (r"(?m)^note: using engine .*\n", ""),  # depends on what is installed
)
"""What differs from machine to machine: the patterns, and the words that stand for them in a comparison."""


def mask(text: str) -> str:
    """Replace times, sizes, paths and rounding errors."""
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text)
    return text


def drop_numbers(text: str) -> str:
    """Replace all numbers, for pages whose commands run with less data."""
    return re.sub(r"\d[\d.,:]*(e[+-]\d+)?", "#", text)


def is_printed(shown: str, printed: str, *, whole: bool) -> bool:
    """Return whether the text of a page was printed.

    A line `...` of the page stands for any number of lines, `...` in a line for any text.

    Args:
        shown: Text of the page.
        printed: Text that the commands printed.
        whole: Whether the page shows all that was printed, not just a part.
    """
    lines = [_build_pattern(line) for line in shown.rstrip().splitlines()]
    pattern = "".join(lines)
    text = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return bool(re.fullmatch(pattern, text) if whole else re.search(f"^{pattern}", text, re.MULTILINE))


def _build_pattern(line: str) -> str:
    if line.strip() in ("...", "…"):
        return r"(?:.*\n)*?"
    return ".*?".join(re.escape(part) for part in re.split(r"\.\.\.|…", line.rstrip())) + r"\n"
