"""A confusion matrix as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from darkparse.views.charts.svg import FAINT, MARGIN, TITLE_SIZE, fit_text, svg_document, svg_rect, svg_text
from darkparse.views.diagram.font_metrics import text_width

MAX_CLASSES = 60
"""Maximum number of classes to draw; if there are more, those with the most errors are drawn."""
MAX_NAME_WIDTH = 120.0
CELL_SIDES = ((12, 34.0), (30, 25.0), (MAX_CLASSES, 18.0))
"""Maximum number of classes, and the side of a cell for it."""
RIGHT, WRONG, EMPTY = (8, 81, 156), (165, 15, 21), "#F4F6F8"
"""Colors of full cells on the diagonal and off it, and the color of an empty cell."""
GAP = 6.0
"""Space between the classes and the row or column of the background."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Counts by true class and predicted class; -1 stands for no class."""

    counts: Mapping[tuple[int, int], int]
    names: Sequence[str]
    no_label: str
    """Name of the row of predictions without a true class."""
    no_prediction: str
    """Name of the column of true classes without a prediction."""

    def select_classes(self) -> list[int]:
        """Return the classes to draw: those that occur, or the `MAX_CLASSES` with the most errors."""
        errors: dict[int, int] = {}
        for (label, predicted), count in self.counts.items():
            for one in {label, predicted} - {-1}:
                errors[one] = errors.get(one, 0) + count * (label != predicted)
        return sorted(sorted(errors, key=lambda one: (-errors[one], one))[:MAX_CLASSES])

    @property
    def occurring(self) -> int:
        """Number of classes that occur."""
        return len({one for pair in self.counts for one in pair} - {-1})


def confusion_matrix_svg(cells: Cells, title: str) -> str:
    """Return a confusion matrix: a row per true class, a column per predicted class, shaded by the share of the row."""
    classes = cells.select_classes()
    side = next(side for most, side in CELL_SIDES if len(classes) <= most)
    size = min(11.0, side * 0.42)
    rows = [*classes, *([-1] if any(label == -1 for label, _ in cells.counts) else [])]
    columns = [*classes, *([-1] if any(predicted == -1 for _, predicted in cells.counts) else [])]
    row_names = [cells.names[i] if i >= 0 else cells.no_label for i in rows]
    column_names = [cells.names[i] if i >= 0 else cells.no_prediction for i in columns]
    left = MARGIN + 22 + max((_name_width(name, size) for name in row_names), default=0) + 6
    top = MARGIN + 58 + max((_name_width(name, size) for name in column_names), default=0) + 6
    xs = [left + side * n + GAP * (i == -1) for n, i in enumerate(columns)]
    ys = [top + side * n + GAP * (i == -1) for n, i in enumerate(rows)]
    right, bottom = (max(places, default=start) + side for places, start in ((xs, left), (ys, top)))
    note = (
        ""
        if cells.occurring <= len(classes)
        else f"the {len(classes)} of {cells.occurring} classes with the most errors; "
    )
    note += "color: share of the row"
    elements = [
        svg_text(title, MARGIN, MARGIN + 8, TITLE_SIZE, bold=True),
        svg_text(note, MARGIN, MARGIN + 27, color=FAINT),
        svg_text("predicted", (left + right) / 2, MARGIN + 48, color=FAINT, anchor="middle"),
        svg_text("true class", MARGIN + 4, (top + bottom) / 2, color=FAINT, anchor="middle", turned=True),
        *(
            svg_text(fit_text(name, MAX_NAME_WIDTH, size), left - 6, y + side / 2, size, anchor="end")
            for name, y in zip(row_names, ys, strict=True)
        ),
        *(
            svg_text(fit_text(name, MAX_NAME_WIDTH, size), x + side / 2, top - 6, size, turned=True)
            for name, x in zip(column_names, xs, strict=True)
        ),
    ]
    for label, name, y in zip(rows, row_names, ys, strict=True):
        counts = [cells.counts.get((label, predicted), 0) for predicted in columns]
        total = sum(count for (one, _), count in cells.counts.items() if one == label)
        for predicted, column_name, count, x in zip(columns, column_names, counts, xs, strict=True):
            if label == predicted == -1:
                continue
            hint = f"{name} → {column_name}: {count:,} of {total:,}"
            elements += _draw_cell(count, total, label == predicted, hint, x, y, side, size)
    width = max(right, MARGIN + text_width(title, TITLE_SIZE, bold=True), MARGIN + text_width(note, 11.0)) + MARGIN
    return svg_document(elements, width, bottom + MARGIN)


def _name_width(name: str, size: float) -> float:
    return min(MAX_NAME_WIDTH, text_width(name, size))


def _draw_cell(
    count: int, total: int, is_right: bool, hint: str, x: float, y: float, side: float, size: float
) -> Iterator[str]:
    share = count / total if total else 0.0
    full = RIGHT if is_right else WRONG
    # Even the smallest share is visibly shaded.
    depth = 0.12 + 0.88 * share
    fill = "#" + "".join(f"{round(255 + (channel - 255) * depth):02X}" for channel in full) if count else EMPTY
    yield svg_rect(x, y, side - 1, side - 1, fill, hint)
    if count:
        text = f"{count:,}"
        fitting = min(size, size * (side - 3) / max(text_width(text, size), 1))
        color = "#FFFFFF" if depth > 0.5 else "#212529"
        yield svg_text(text, x + (side - 1) / 2, y + (side - 1) / 2, round(fitting, 1), color=color, anchor="middle")
