"""Weights that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkparse.syntax import DarkparseError

if TYPE_CHECKING:
    from darkparse.weights.report import Cause, Report


class WeightsError(DarkparseError):
    """Weights that cannot be read, used or written.

    Attributes:
        report: the layout, the byte counts and the causes where a file does not fit a cfg; None for any other error.
    """

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What explains the misfit, the likeliest first."""
        return self.report.causes if self.report else ()

    @property
    def layer(self) -> int | None:
        """Index of the layer where file and cfg part."""
        return self.report.parting.layer if self.report and self.report.parting else None

    def __reduce__(self) -> tuple[type[WeightsError], tuple[str, Report | None]]:
        return type(self), (str(self), self.report)
