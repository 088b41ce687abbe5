"""Progress of a training run: a bar on terminals, and a line at intervals everywhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from darkparse._utils.text import pluralize
from darkparse.cli.common import stderr, stdout

if TYPE_CHECKING:
    from darkparse.training import Step, Trainer

MIN_INTERVAL = 10.0
"""Seconds between two lines."""


class Progress:
    """Shows the batches of a training run."""

    def __init__(self, trainer: Trainer) -> None:
        from rich import progress

        self._end, self._remaining = trainer.end, trainer.end - trainer.schedule.batch + 1
        self._last_printed, self._seconds = 0.0, 0.0
        console = stderr()
        self._console = console if console.is_terminal else stdout()
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(None),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("the first batch …", total=self._end, completed=self._end - self._remaining)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *problem: object) -> None:
        with suppress(OSError):  # the terminal is gone
            self._bar.stop()

    def show(self, step: Step) -> None:
        """Show the progress of one batch."""
        self._remaining -= 1
        self._seconds = step.seconds if not self._seconds else 0.95 * self._seconds + 0.05 * step.seconds
        speed = f"{step.images / self._seconds:.3g} images/s"
        self._bar.update(self._task, completed=step.batch, description=f"loss {step.average:.4g}, {speed}")
        now = time.monotonic()
        if (
            now - self._last_printed >= MIN_INTERVAL
            or step.saved
            or step.mean_ap is not None
            or step.top1 is not None
            or step.warnings
        ):
            self._last_printed = now
            remaining = timedelta(seconds=round(self._remaining * self._seconds))
            self._print_line(f"{step.batch:,}/{self._end:,}: {format_step(step)}, {speed}, {remaining} left")
        for message in step.warnings:
            self._print_line(f"warning: {message}")
        for path in step.saved:
            self._print_line(f"wrote {path}")

    def _print_line(self, text: str) -> None:
        """Print a line above the bar, or to standard output if there is no bar."""
        self._console.print(text, soft_wrap=True)


def format_step(step: Step) -> str:
    """Return the numbers of a batch as one line."""
    heads = "; ".join(f"L{i} {_format_losses(head)}" for i, head in step.heads.items())
    height, width = step.size
    metrics = {"mAP@.50": step.mean_ap, "top-1": step.top1}
    measured = "".join(f", {name} {value:.2%}" for name, value in metrics.items() if value is not None)
    measured += f", loss on valid {step.valid_loss:.4g}" if step.valid_loss is not None else ""
    return (
        f"loss {step.loss:.4g}, average {step.average:.4g}{measured} ({heads}), rate {step.rate:.3g}, {width}×{height}"
    )


def _format_losses(head: Mapping[str, float | None]) -> str:
    """Return what Darknet prints of a head: the mean IoU and the number of its objects, and the other deltas."""
    if "objects" not in head:
        return f"cost {head['cost']:.3g}"
    objects = round(head["objects"] or 0)
    overlap = f"IoU {head['iou']:.2f} of {pluralize(objects, 'object')}" if objects else "no object"
    return f"{overlap}, objectness {head['objectness']:.3g}, class {head['class']:.3g}"
