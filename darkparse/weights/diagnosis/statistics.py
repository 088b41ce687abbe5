"""Statistics of the arrays of a file, and problems with their values."""

from __future__ import annotations

import math
from dataclasses import replace

from darkparse._utils.text import pluralize
from darkparse.errors import Cause
from darkparse.weights.diagnosis.report import ReportRow
from darkparse.weights.layout import Entry

CHUNK_FLOATS = 1 << 20
"""Number of floats to process at once, so that a large array needs no large copies."""
MIN_VARIANCE = -1e-6
"""Trained files contain variances slightly below 0 for dead channels; a value below this is not a variance."""


def measure_row(row: ReportRow, block: memoryview[float]) -> ReportRow:
    """Return a row with mean, deviation and range of its values, in double precision; unchanged without numpy."""
    try:
        import numpy as np
    except ImportError:
        return row
    values = np.asarray(block)
    total = square = 0.0
    low, high, non_finite = np.inf, -np.inf, 0
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, values.size, CHUNK_FLOATS):
            part = values[start : start + CHUNK_FLOATS].astype(np.float64)
            total += float(part.sum())
            square += float(np.dot(part, part))
            low, high = min(low, float(part.min())), max(high, float(part.max()))
        mean = total / values.size
        deviation = (
            float(np.sqrt(max(square / values.size - mean * mean, 0.0))) if np.isfinite(square) else float("nan")
        )
    if not np.isfinite(total) or not np.isfinite(square):
        non_finite = int(np.count_nonzero(~np.isfinite(values)))
    return replace(row, mean=mean, deviation=deviation, minimum=low, maximum=high, non_finite=non_finite)


def find_oddities(rows: tuple[ReportRow, ...]) -> tuple[Cause, ...]:
    """Find problems with the values of a file, from measured rows."""
    measured = [row for row in rows if row.mean is not None]
    if measured and all(row.minimum == row.maximum == 0 for row in measured):
        message = f"all {sum(row.floats for row in measured):,} values are zero"
        return (Cause("zeros", message, "the file was allocated but never written: download or train it again"),)
    return tuple(cause for cause in (_find_non_finite(measured), _find_negative_variance(measured)) if cause)


def _find_non_finite(rows: list[ReportRow]) -> Cause | None:
    affected = [row for row in rows if row.non_finite]
    if not affected:
        return None
    count, first = sum(row.non_finite for row in affected), affected[0]
    message = f"{pluralize(count, 'NaN or infinite value')}, the first in {first.tensor} of {first.where}"
    remedy = "training diverged or the file is damaged: use an earlier checkpoint or download it again"
    return Cause("not-finite", message, remedy, {"values": count, "layer": first.layer, "tensor": first.tensor})


def _find_negative_variance(rows: list[ReportRow]) -> Cause | None:
    first = next((row for row in rows if _is_negative_variance(row)), None)
    if first is None:
        return None
    message = (
        f"negative variance in {first.tensor} of {first.where}: the layout of the file differs from the cfg at an "
        "earlier place"
    )
    facts: dict[str, int | str] = {"layer": first.layer, "tensor": first.tensor}
    return Cause(
        "negative-variance",
        message,
        "use the cfg that the file was trained with",
        facts,
    )


def _is_negative_variance(row: ReportRow) -> bool:
    return row.tensor.endswith("running_var") and row.minimum is not None and row.minimum < MIN_VARIANCE


def is_plausible(floats: memoryview[float], entries: tuple[Entry, ...]) -> bool | None:
    """Return whether all complete variances are finite and not negative; None without variances.

    Args:
        floats: Floats of the file.
        entries: Layout of the file.
    """
    variances = [floats[e.start : e.end] for e in entries if e.tensor.role == "variance" and e.end <= len(floats)]
    if not variances:
        return None
    return all(MIN_VARIANCE <= value < math.inf for values in variances for value in values)


def is_finite(floats: memoryview[float]) -> bool:
    """Return whether all values are finite. A sum in double precision is not finite if one of its float32 is not."""
    chunks = (floats[start : start + CHUNK_FLOATS] for start in range(0, len(floats), CHUNK_FLOATS))
    return all(math.isfinite(sum(chunk)) for chunk in chunks)
