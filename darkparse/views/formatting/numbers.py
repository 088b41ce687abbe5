"""Numbers as people read them: three significant digits."""

from __future__ import annotations

from darkparse.network.analysis.reduction import Reduction

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(number: float) -> str:
    """`864`, `9.41k`, `1.18M`."""
    value, unit = scaled(number)
    return f"{value}{unit}"


def scaled(number: float) -> tuple[str, str]:
    """A number's digits and the letter of its unit."""
    for size, unit in UNITS:
        # 999.6k would be written 1000k.
        if abs(number) >= size * 0.9995:
            return significant(number / size), unit
    return significant(number), ""


def flops(macs: int) -> str:
    """Multiply-adds as operations, two each: `944 MFLOPs`."""
    value, unit = scaled(2 * macs)
    return f"{value} {unit}FLOPs"


def operations(macs: int) -> str:
    """Operations beside the multiply-adds that they are two of: `40.4 GFLOPs (20.2G multiply-adds)`."""
    return f"{flops(macs)} ({short(macs)} multiply-adds)"


def significant(number: float) -> str:
    """Three significant digits without trailing zeros; whole numbers from 1000 on."""
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:.0f}"


def factor(reduction: Reduction) -> str:
    """`÷2` or `×21.3`; `width ÷1.08` where height was kept; the difference, `−1`, where the factor would say little."""
    kept = [before == after for before, after in zip(reduction.before, reduction.after, strict=False)]
    if reduction.axis == "spatial" and kept in ([True, False], [False, True]):
        side = kept.index(False)
        ratio = reduction.before[side] / reduction.after[side]
        return f"{('height', 'width')[side]} {'÷' if ratio > 1 else '×'}{short(max(ratio, 1 / ratio))}"
    if reduction.factor < 1.05:
        difference = reduction.after[0] - reduction.before[0]
        return signed(difference, f"{abs(difference):,}")
    sign = "÷" if reduction.direction == "reduced" else "×"
    return f"{sign}{significant(reduction.factor)}"


def percent(part: float, whole: float) -> str:
    """A share in whole per cent, in tenths below one."""
    share = 100 * part / whole
    if 0 < abs(share) < 0.05:
        return "under 0.1%"
    return f"{share:.0f}%" if abs(share) >= 0.95 or share == 0 else f"{share:.1f}%"


def size_text(size: tuple[int, ...]) -> str:
    """`56` for a square, else height × width."""
    return str(size[0]) if size[0] == size[1] else sides_text(size)


def sides_text(size: tuple[int, ...]) -> str:
    """`56×56`."""
    return f"{size[0]}×{size[1]}"


def signed(number: int, text: str) -> str:
    """The text of a number's amount behind its sign."""
    return f"{'−' if number < 0 else '+'}{text}"
