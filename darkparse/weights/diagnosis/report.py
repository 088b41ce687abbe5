"""What a weights file holds and where it parts from a cfg, as data that prints itself."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from darkparse._utils.text import pluralize
from darkparse.errors import Cause
from darkparse.weights.header import Header


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One stored array: where it belongs, where it lies, and what it holds."""

    layer: int
    kind: str
    line: int
    """Of the section in the cfg, from 1."""
    tensor: str
    """Path in the layer: `conv.weight`; the state_dict's key is `layers.<layer>.<tensor>`."""
    shape: tuple[int, ...]
    floats: int
    offset: int
    """In bytes from the start of the file."""
    floats_in_file: int = 0
    """Floats of it that the file holds."""
    mean: float | None = None
    deviation: float | None = None
    """Standard deviation of the values; mean and deviation are None where the file does not hold them all."""
    minimum: float | None = None
    maximum: float | None = None
    non_finite: int = 0
    """Values that are infinite or not a number."""

    @property
    def where(self) -> str:
        return f"layer {self.layer} [{self.kind}]"


@dataclass(frozen=True, slots=True)
class Report:
    """A cfg's layout, and how a file fits it."""

    name: str
    """Of the network."""
    cfg: str
    """Path of the cfg, as in messages."""
    dialect: str
    dialect_reason: str
    rows: tuple[ReportRow, ...]
    header_bytes: int
    """Of the file, or of the header that the dialect writes where there is no file."""
    floats: int
    """That the cfg needs."""
    file: str | None = None
    file_bytes: int | None = None
    header: Header | None = None
    causes: tuple[Cause, ...] = ()
    """What explains that file and cfg do not fit, the likeliest first; empty if they fit."""
    findings: tuple[Cause, ...] = ()
    """What is odd about the values of a file that fits: all zeros, not finite, a negative variance."""

    @property
    def needed_bytes(self) -> int:
        """Size of a file that fits."""
        return self.header_bytes + 4 * self.floats

    @property
    def fits(self) -> bool:
        """Whether the file is a `.weights` file of exactly the size needed, at least that with `upto`;
        True without a file."""
        return not self.causes

    @property
    def missing_bytes(self) -> int:
        """How much shorter the file is than needed; negative if it is longer."""
        return 0 if self.file_bytes is None else self.needed_bytes - self.file_bytes

    @property
    def first_mismatch(self) -> ReportRow | None:
        """Where file and cfg part: the first array that the file does not hold whole, or the last of a longer file."""
        if self.fits or not self.rows:
            return None
        return next((row for row in self.rows if row.floats_in_file < row.floats), self.rows[-1])

    @property
    def layer(self) -> int | None:
        """Index of the layer where file and cfg part."""
        return self.first_mismatch.layer if self.first_mismatch else None

    @property
    def verdict(self) -> str:
        """One line: that they fit, or how they part."""
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
        """The text of the error: where file and cfg part, the byte counts, the causes and what to do."""
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
        """Everything as plain values, for JSON; numbers that are not finite become None."""
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
