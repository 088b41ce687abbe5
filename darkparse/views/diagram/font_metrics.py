"""Text widths that are independent of the installed fonts; every renderer scales text to these widths.

The width of a character is the geometric mean of two values: its width in DejaVu Sans, the widest fallback for Arial,
divided by 1.2, and its width in PT Sans Narrow or Liberation Sans Narrow, the narrowest fallbacks, divided by 0.75. No
text shrinks to less than five sixths of its natural width or grows by more than a third. Fonts are compared at the same
x-height, as with `font-size-adjust` (`X_HEIGHT`). Arial, Liberation Sans, Roboto and Open Sans lie in between.
"""

from __future__ import annotations

import re
from functools import lru_cache

X_HEIGHT = 0.519
"""Height of a lowercase x in Arial, as a fraction of the font size."""
# Widths in thousandths of the font size, for the characters from space to tilde, then for `_SIGNS`.
_SIGNS = "·×÷–•…→−└▲▼≠±"
_REGULAR = (
    "272 307 372 628 547 814 664 211 315 315 399 617 254 319 249 282 547 547 547 547 547 547 547 547 "
    "547 547 276 282 617 617 617 456 927 595 595 592 665 545 510 646 664 264 279 595 503 776 664 688 "
    "546 688 604 545 547 646 589 853 612 552 574 303 282 303 577 428 374 518 547 463 547 527 288 547 "
    "546 229 229 495 229 829 546 537 547 547 340 439 304 546 501 707 501 494 455 424 265 424 617 "
    "272 617 617 485 418 848 884 617 631 842 842 617 617"
)
_BOLD = (
    "279 354 447 628 572 868 730 248 359 359 415 638 299 342 297 293 572 572 572 572 572 572 572 572 "
    "572 572 331 331 638 638 638 492 909 651 639 606 697 567 560 672 699 296 343 664 544 838 703 717 "
    "619 717 651 588 594 677 653 930 660 626 594 359 293 359 627 452 375 552 589 477 591 564 350 589 "
    "592 284 284 548 284 870 592 578 592 589 398 477 367 590 534 776 551 534 493 484 274 484 638 "
    "297 638 638 485 435 888 884 638 631 842 842 638 638"
)
_CHARACTERS = "".join(map(chr, range(32, 127))) + _SIGNS
_WIDTHS = [dict(zip(_CHARACTERS, map(int, widths.split()), strict=True)) for widths in (_REGULAR, _BOLD)]


@lru_cache(maxsize=10_000)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of one line in points, for a font size in points.

    Characters without a known width count as one em.
    """
    widths = _WIDTHS[bold]
    return sum([widths.get(character, 1000) for character in text]) * size / 1000


@lru_cache(maxsize=10_000)
def wrap(text: str, width: float, size: float, *, bold: bool = False) -> tuple[str, ...]:
    """Wrap text at spaces to lines of at most `width` points, keeping parentheses together if they fit on a line.

    A word that is too wide gets its own line.
    """
    words = [
        word
        for part in re.findall(r"\([^()]*\)\S*|\S+", text)
        for word in ([part] if text_width(part, size, bold=bold) <= width else part.split(" "))
    ]
    lines = [""]
    for word in words:
        candidate = f"{lines[-1]} {word}".strip() if lines[-1] else word
        if lines[-1] and text_width(candidate, size, bold=bold) > width:
            lines.append(word)
        else:
            lines[-1] = candidate
    return tuple(lines)
