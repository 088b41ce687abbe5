"""The room of a text: its width in Helvetica, Arial or Liberation Sans, which share their widths, and a little more.

The diagram sets every width itself, and every font is pressed into it. With the little more even DejaVu Sans, the
widest of those that stand in for Helvetica, keeps five sixths of its width.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Adobe's font metrics of Helvetica, in thousandths of the font size.
_WIDTHS = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " !,./:;I[\\]ft·",
    333: "()-`r",
    334: "{}",
    350: "•",
    355: '"',
    389: "*",
    469: "^",
    500: "Jckosvxyz".replace("o", ""),
    556: "#$0123456789?L_abdeghnopqu–",
    611: "FTZ",
    667: "&ABEKPSVXY",
    # 584 in Helvetica, 838 in DejaVu Sans.
    690: "+<=>~×÷−",
    708: "└",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
    990: "▼▲",
    1015: "@",
}
_WIDTH_OF = {character: width for width, characters in _WIDTHS.items() for character in characters}
_BOLD = 1.09
"""Helvetica Bold is at most so much wider, on any text."""
_WIDER = 1.05


@lru_cache(maxsize=10_000)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Points for one line at a font size in points; a character without known width counts as a full square."""
    units = sum(_WIDTH_OF.get(character, 1000) for character in text)
    return units * size / 1000 * _WIDER * (_BOLD if bold else 1)


def wrap(text: str, width: float, size: float, *, bold: bool = False) -> tuple[str, ...]:
    """A text in lines of at most a width, broken at spaces, but not within brackets that a line has room for.

    A word that is wider alone stands alone.
    """
    words = [
        word
        for part in re.findall(r"\([^()]*\)\S*|\S+", text)
        for word in ([part] if text_width(part, size, bold=bold) <= width else part.split(" "))
    ]
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip() if lines[-1] else word
        if lines[-1] and text_width(longer, size, bold=bold) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return tuple(lines)
