"""Report about a weights file: its layout, and where and why it differs from a cfg."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from darkparse._utils.text import pluralize
from darkparse.errors import Cause
from darkparse.weights.header import Header


@dataclass(frozen=True, slots=True)
class ReportRow:
    """Stored array: its layer, its location, and statistics of its values."""

    layer: int
    kind: str
    line: int
    """Line of the section in the cfg, from 1."""
    tensor: str
    """Path in the layer, such as `conv.weight`; the state_dict key is `layers.<layer>.<tensor>`."""
    shape: tuple[int, ...]
    floats: int
    offset: int
    """Offset from the start of the file in bytes."""
    floats_in_file: int = 0
    """Number of its floats in the file."""
    mean: float | None = None
    deviation: float | None = None
    """Standard deviation of the values; statistics are None if values are missing from the file."""
    minimum: float | None = None
    maximum: float | None = None
    non_finite: int = 0
    """Number of NaN or infinite values."""

    @property
    def where(self) -> str:
        return f"layer {self.layer} [{self.kind}]"


@dataclass(frozen=True, slots=True)
class Report:
    """Layout of a cfg, and how a file fits it."""

    name: str
    """Name of the network."""
    cfg: str
    """Path of the cfg, for messages."""
    dialect: str
    dialect_reason: str
    rows: tuple[ReportRow, ...]
    header_bytes: int
    """Size of the file's header; without a file, of the header that the dialect writes."""
    floats: int
    """Number of floats that the cfg requires."""
    file: str | None = None
    file_bytes: int | None = None
    header: Header | None = None
    causes: tuple[Cause, ...] = ()
    """Possible causes of a mismatch, most likely first; empty if the file fits."""
    findings: tuple[Cause, ...] = ()
    """Problems with the values of a file that fits: all zeros, NaN or infinite values, a negative variance."""

    @property
    def needed_bytes(self) -> int:
        """Size of a fitting file."""
        return self.header_bytes + 4 * self.floats

    @property
    def fits(self) -> bool:
        """Whether the file is a `.weights` file of the required size, or larger with `upto`; True without a file."""
        return not self.causes

    @property
    def missing_bytes(self) -> int:
        """Number of bytes that are missing from the file; negative if it is too long."""
        return 0 if self.file_bytes is None else self.needed_bytes - self.file_bytes

    @property
    def first_mismatch(self) -> ReportRow | None:
        """First array that is incomplete in the file, or the last array if the file is too long; None if it fits."""
        if self.fits or not self.rows:
            return None
        return next((row for row in self.rows if row.floats_in_file < row.floats), self.rows[-1])

    @property
    def layer(self) -> int | None:
        """Index of the first layer where the file and the cfg disagree."""
        return self.first_mismatch.layer if self.first_mismatch else None

    @property
    def verdict(self) -> str:
        """Result in one line."""
        if self.file is None:
            return (
                f"{self.name} requires {self.needed_bytes:,} bytes ({self.header_bytes} for the header, "
                f"{self.floats:,} floats)"
            )
        if self.fits:
            rest = f" of {self.file_bytes:,}" if self.missing_bytes else ""
            size = f"{self.needed_bytes:,} bytes{rest}, {self.header_bytes} for the header and {self.floats:,} floats"
            return f"{self.file} fits {self.name}: {size}"
        if self.header is None:
            return f"{self.file} is not a .weights file: {self.causes[0].message}"
        num_bytes = abs(self.missing_bytes)
        reason = f"{pluralize(num_bytes, 'byte')} too {'short' if self.missing_bytes > 0 else 'long'}"
        return f"{self.file} does not fit {self.name}: {reason}"

    @property
    def problem(self) -> str:
        """Text of the error: where the file and the cfg disagree, the byte counts, the causes and hints."""
        lines = [self.verdict]
        if self.header is not None:
            lines.append(self._format_mismatch())
        elif self.rows:
            lines.append(f"the first layer to read is {self.rows[0].where} ({self.cfg}:{self.rows[0].line})")
        size = f"{self.header_bytes} for the header, {self.floats:,} floats"
        lines.append(f"{self.name} requires {self.needed_bytes:,} bytes ({size}), got {self.file_bytes:,}")
        for cause in self.causes:
            if self.header is not None:
                lines.append(f"cause: {cause.message}")
            lines.append(f"hint: {cause.remedy}")
        return "\n  ".join(lines)

    def _format_mismatch(self) -> str:
        row = self.first_mismatch
        if row is None:
            return f"{self.name} has no layers with weights"
        place = f"{self.cfg}:{row.line}"
        if row.floats_in_file == row.floats:
            return (
                f"the last layer with weights, {row.where} ({place}), ends {-self.missing_bytes:,} bytes before the "
                "end of the file"
            )
        if row.floats_in_file or (self.file_bytes or 0) > row.offset:
            return (
                f"the file ends in {row.where} ({place}), after {row.floats_in_file:,} of {row.floats:,} floats of "
                f"{row.tensor}"
            )
        before = next((r for r in reversed(self.rows) if r.floats_in_file), None)
        after = "after the header" if before is None else f"after {before.tensor} of {before.where}"
        return f"the file ends {after}, before {row.tensor} of {row.where} ({place})"

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-serializable values; NaN and infinite numbers become None."""
        data = asdict(self) | {"needed_bytes": self.needed_bytes, "fits": self.fits, "verdict": self.verdict}
        rows = [{key: _to_json_value(value) for key, value in row.items()} for row in data.pop("rows")]
        return data | {"arrays": rows}

    def __str__(self) -> str:
        if not self.fits:
            return self.problem
        return "\n  ".join(
            [self.verdict, *(f"warning: {finding.message}\n  hint: {finding.remedy}" for finding in self.findings)]
        )


def _to_json_value(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
