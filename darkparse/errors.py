"""Exceptions and warnings that darkparse raises.

DarkparseError          base class; the message is written for users
├── CfgError            invalid cfg, with the place of every problem
├── WeightsError        weights that cannot be read, used or written
│   └── NoWeightsError  module without weights where weights are required
├── ImageError          image or video that cannot be read
└── RendererError       no installed renderer supports the format, or the renderer failed

DarkparseWarning        problem that does not stop the operation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from darkparse.diagnostics.diagnostic import Diagnostic, Note, select_printed, sort_diagnostics
from darkparse.diagnostics.source import Span


@dataclass(frozen=True, slots=True)
class Cause:
    """Possible reason why a weights file does not fit a cfg."""

    code: str
    """Stable identifier for programs: `header-width`, `dialect`, `backbone`, `classes`, `truncated`, …"""
    message: str
    """Explanation for users, in one sentence."""
    remedy: str
    """Suggested fix."""
    facts: Mapping[str, int | str] = field(default_factory=dict)
    """Numbers that occur in the message: layers, lines, bytes, classes."""


class WeightsReport(Protocol):
    """Part of a weights report that `WeightsError` uses; `darkparse.weights` builds the full report."""

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Possible causes of the mismatch, most likely first."""

    @property
    def layer(self) -> int | None:
        """Index of the first layer where the file and the cfg disagree."""


class DarkparseError(Exception):
    """Base class of all errors that darkparse raises; the message is written for users.

    >>> try:
    ...     darkparse.compile("yolov9")
    ... except darkparse.DarkparseError as problem:
    ...     print(problem)
    yolov9: no such file, and no cfg of that name ships with darkparse (did you mean yolov7?)
    """


class CfgError(DarkparseError):
    """Invalid cfg. The message lists all errors, and the warnings, which often name the cause.

    Attributes:
        diagnostics: All errors and warnings, by section in file order; within a section warnings come first.

    >>> try:
    ...     darkparse.compile("[net]\\nwidth=8\\nheight=8\\nchannels=3\\n[convolutional]\\nsize=-1")
    ... except darkparse.CfgError as problem:
    ...     print(problem.diagnostics[0].headline)
    <text>:6:6: error: size must be at least 1, got -1
    """

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = sort_diagnostics(diagnostics)
        texts = list(map(str, select_printed(self.diagnostics)))
        if len(texts) < len(self.diagnostics):
            texts.append(f"… and {len(self.diagnostics) - len(texts):,} more")
        super().__init__("\n".join(texts))

    def __reduce__(self) -> tuple[type[CfgError], tuple[tuple[Diagnostic, ...]]]:
        return type(self), (self.diagnostics,)


def cfg_error(code: str, message: str, span: Span | None = None, *notes: Note) -> CfgError:
    """Create a `CfgError` with a single error."""
    return CfgError((Diagnostic("error", code, message, span, notes),))


class WeightsError(DarkparseError):
    """Error for weights that cannot be read, used or written.

    Attributes:
        report: Layout, byte counts and possible causes if a file does not fit a cfg; None for any other error.

    >>> try:
    ...     darkparse.load("yolov3-tiny", b"no weights at all")
    ... except darkparse.WeightsError as problem:
    ...     print(problem.causes[0].code)
    text
    """

    def __init__(self, message: str, report: WeightsReport | None = None) -> None:
        super().__init__(message)
        self.report = report

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Possible causes of the mismatch, most likely first; empty if there is no report."""
        return self.report.causes if self.report else ()

    @property
    def layer(self) -> int | None:
        """Index of the first layer where the file and the cfg disagree; None if unknown."""
        return self.report.layer if self.report else None

    def __reduce__(self) -> tuple[type[WeightsError], tuple[str, WeightsReport | None]]:
        return type(self), (str(self), self.report)


class NoWeightsError(WeightsError):
    """Module without weights in an operation that requires them: folding, export, saving or detection.

    >>> try:
    ...     darkparse.fuse(darkparse.build("yolov3-tiny"))
    ... except darkparse.NoWeightsError as problem:
    ...     print(problem)
    yolov3-tiny has no weights yet; load or initialize the module before folding it
    """


class ImageError(DarkparseError):
    """Image or video that cannot be read.

    >>> try:
    ...     darkparse.Detector(darkparse.build("yolov3-tiny", initialize=True)).detect("no-such.png")
    ... except darkparse.ImageError as problem:
    ...     print(problem)
    no-such.png: No such file or directory
    """


class RendererError(DarkparseError):
    """Missing or failed renderer: the requested diagram format needs a package or program.

    >>> issubclass(darkparse.RendererError, darkparse.DarkparseError)
    True
    """


class DarkparseWarning(UserWarning):
    """Problem that does not stop the operation.

    Examples are detections with NaN values, training images without labels, and a diagram that Graphviz rendered
    because the preferred renderer is not installed.

    >>> issubclass(darkparse.DarkparseWarning, UserWarning)
    True
    """
