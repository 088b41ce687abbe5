"""Every error that darkparse raises on purpose, what each is about, and its one warning.

DarkparseError          any of them; its text is meant for people
├── CfgError            a cfg that cannot be used, with every place
├── WeightsError        weights that cannot be read, used or written
│   └── NoWeightsError  a module without weights, where they are needed
├── ImageError          an image or video that cannot be read
└── RendererError       nothing that is installed renders the format, or it failed

DarkparseWarning        what is to be said of a picture that can be read
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from darkparse.diagnostics.diagnostic import MAX_PRINTED_DIAGNOSTICS, Diagnostic, Note, sort_diagnostics
from darkparse.diagnostics.source import Span


@dataclass(frozen=True, slots=True)
class Cause:
    """One explanation of what is wrong with a weights file."""

    code: str
    """A stable word for programs: `header-width`, `dialect`, `backbone`, `classes`, `truncated`, …"""
    message: str
    """A sentence for people."""
    remedy: str
    """What to do."""
    facts: Mapping[str, int | str] = field(default_factory=dict)
    """The numbers in the message: layers, lines, bytes, classes."""


class WeightsReport(Protocol):
    """The part of a report on weights that `WeightsError` reads (`darkparse.weights` makes the whole)."""

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Explanations of the misfit, the likeliest first."""

    @property
    def layer(self) -> int | None:
        """Index of the first layer at which file and cfg disagree."""


class DarkparseError(Exception):
    """Every error that darkparse raises on purpose; its text is meant for people.

    >>> try:
    ...     darkparse.compile("yolov9")
    ... except darkparse.DarkparseError as problem:
    ...     print(problem)
    yolov9: no such file, and no cfg of that name ships with darkparse (did you mean yolov4?)
    """


class CfgError(DarkparseError):
    """A cfg that cannot be used; its text shows the errors, then the warnings, one of which often is the cause.

    Attributes:
        diagnostics: all that was found, errors and warnings, in the order of the file.

    >>> try:
    ...     darkparse.compile("[net]\\nwidth=8\\nheight=8\\nchannels=3\\n[convolutional]\\nsize=-1")
    ... except darkparse.CfgError as problem:
    ...     print(problem.diagnostics[0].headline)
    <text>:6:6: error: size must be at least 1, this is -1
    """

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = sort_diagnostics(diagnostics)
        shown = sorted(self.diagnostics, key=lambda d: d.severity)[:MAX_PRINTED_DIAGNOSTICS]
        omitted = (
            [f"… and {len(self.diagnostics) - MAX_PRINTED_DIAGNOSTICS:,} more"]
            if len(self.diagnostics) > MAX_PRINTED_DIAGNOSTICS
            else []
        )
        super().__init__("\n".join([*map(str, shown), *omitted]))

    def __reduce__(self) -> tuple[type[CfgError], tuple[tuple[Diagnostic, ...]]]:
        return type(self), (self.diagnostics,)


def cfg_error(code: str, message: str, span: Span | None = None, *notes: Note) -> CfgError:
    """The exception for one error."""
    return CfgError((Diagnostic("error", code, message, span, notes),))


class WeightsError(DarkparseError):
    """Weights that cannot be read, used or written.

    Attributes:
        report: the layout, the byte counts and the causes where a file does not fit a cfg; None for any other error.

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
        """What explains the misfit, the likeliest first."""
        return self.report.causes if self.report else ()

    @property
    def layer(self) -> int | None:
        """Index of the layer where file and cfg part."""
        return self.report.layer if self.report else None

    def __reduce__(self) -> tuple[type[WeightsError], tuple[str, WeightsReport | None]]:
        return type(self), (str(self), self.report)


class NoWeightsError(WeightsError):
    """A module without weights, where they are needed: to fold, export, save or detect.

    >>> try:
    ...     darkparse.fuse(darkparse.build("yolov3-tiny"))
    ... except darkparse.NoWeightsError as problem:
    ...     print(problem)
    yolov3-tiny has no weights yet: load or initialize the module before folding it
    """


class ImageError(DarkparseError):
    """An image or video that cannot be read.

    >>> try:
    ...     darkparse.Detector(darkparse.build("yolov3-tiny", initialize=True)).detect("no-such.png")
    ... except darkparse.ImageError as problem:
    ...     print(problem)
    no-such.png: No such file or directory
    """


class RendererError(DarkparseError):
    """A diagram in a format that needs a package or program which is not installed, or which failed.

    >>> issubclass(darkparse.RendererError, darkparse.DarkparseError)
    True
    """


class DarkparseWarning(UserWarning):
    """What is to be said of a picture that can be read or of what is found in it, or how a diagram was written instead.

    >>> issubclass(darkparse.DarkparseWarning, UserWarning)
    True
    """
