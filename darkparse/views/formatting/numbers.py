"""Number formatting with three significant digits."""

from __future__ import annotations

from fractions import Fraction

from darkparse.network.analysis.reduction import Reduction
from darkparse.network.node import Cost

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def number_text(number: float) -> str:
    """Format a number: `864`, `9.41k`, `1.18M`."""
    value, unit = split_unit(number)
    return f"{value}{unit}"


def split_unit(number: float) -> tuple[str, str]:
    """Return the digits of a number and its unit prefix."""
    for size, unit in UNITS:
        # From 999.5k on, three digits would round to 1000k.
        if abs(number) >= size * 0.9995:
            return significant_digits(number / size), unit
    return significant_digits(number), ""


def flops_text(macs: int) -> str:
    """Format multiply-adds as FLOPs, two per multiply-add: `944 MFLOPs`."""
    value, unit = split_unit(Cost(macs=macs).flops)
    return f"{value} {unit}FLOPs"


def operations_text(macs: int) -> str:
    """Format multiply-adds with their FLOPs: `40.4 GFLOPs (20.2G multiply-adds)`."""
    return f"{flops_text(macs)} ({number_text(macs)} multiply-adds)"


def significant_digits(number: float) -> str:
    """Format a number with three significant digits and no trailing zeros, or as an integer from 1000 on."""
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:.0f}"


def factor_text(reduction: Reduction) -> str:
    """Format a change as a factor: `÷2`, `×21.3`, or `width ÷1.08` if the height is unchanged.

    Factors below 1.05 are replaced by the difference, such as `−1`.
    """
    unchanged = [before == after for before, after in zip(reduction.before, reduction.after, strict=False)]
    if reduction.axis == "spatial" and unchanged in ([True, False], [False, True]):
        side = unchanged.index(False)
        ratio = reduction.before[side] / reduction.after[side]
        return f"{('height', 'width')[side]} {'÷' if ratio > 1 else '×'}{number_text(max(ratio, 1 / ratio))}"
    if reduction.factor < 1.05:
        difference = reduction.after[0] - reduction.before[0]
        return signed_text(difference, f"{abs(difference):,}")
    sign = "÷" if reduction.direction == "reduced" else "×"
    return f"{sign}{significant_digits(reduction.factor)}"


def percent_text(part: float, whole: float) -> str:
    """Format a share as a whole percentage, with one decimal place below 1%."""
    share = 100 * part / whole
    if 0 < abs(share) < 0.05:
        return "under 0.1%"
    return f"{share:.0f}%" if abs(share) >= 0.95 or share == 0 else f"{share:.1f}%"


def ratio_text(stride: Fraction) -> str:
    """Format a scale relative to the input: `1/8` or `×2`."""
    return f"{stride.denominator}/{stride.numerator}" if stride >= 1 else f"×{1 / stride}"


def size_text(size: tuple[int, ...]) -> str:
    """Format a size: `56` for a square, else height × width."""
    return str(size[0]) if size[0] == size[1] else sides_text(size)


def sides_text(size: tuple[int, ...]) -> str:
    """Format height × width: `56×56`."""
    return f"{size[0]}×{size[1]}"


def field_text(field: tuple[int, int] | None) -> str:
    """Format a receptive field: `37×37`, or an empty string for None."""
    return sides_text(field) if field else ""


def signed_text(number: int, text: str) -> str:
    """Prefix the text of an absolute value with the sign of the number."""
    return f"{'−' if number < 0 else '+'}{text}"
