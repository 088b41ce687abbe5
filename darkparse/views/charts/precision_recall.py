"""Precision-recall curves as SVG: one small chart per class, the worst first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from darkparse.views.charts.svg import (
    FAINT,
    GRID,
    MARGIN,
    TITLE_SIZE,
    fit_text,
    svg_document,
    svg_path,
    svg_text,
)
from darkparse.views.diagram.font_metrics import text_width

PLOT_WIDTH, PLOT_HEIGHT = 150.0, 110.0
CELL_WIDTH, CELL_HEIGHT = PLOT_WIDTH + 44, PLOT_HEIGHT + 58
MAX_COLUMNS = 6
HEADER_HEIGHT = 62.0
LINE, AREA, POINT = "#08519C", "#DEEBF7", "#C92A2A"


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision-recall curve of a class."""

    name: str
    average_precision: float
    points: Sequence[tuple[float, float]]
    """Recall and precision at the corners of the curve, by rising recall."""
    selected: tuple[float, float] | None
    """Recall and precision at the score threshold, if there are detections over it."""


def precision_recall_svg(curves: Sequence[Curve], title: str, note: str) -> str:
    """Return the curves as small charts, ordered by average precision."""
    curves = sorted(curves, key=lambda curve: curve.average_precision)
    columns = min(MAX_COLUMNS, max(len(curves), 1))
    rows = -(-len(curves) // columns)
    elements = [
        svg_text(title, MARGIN, MARGIN + 8, TITLE_SIZE, bold=True),
        svg_text(note, MARGIN, MARGIN + 27, color=FAINT),
    ]
    for number, curve in enumerate(curves):
        row, column = divmod(number, columns)
        elements += _draw_chart(curve, MARGIN + column * CELL_WIDTH, HEADER_HEIGHT + row * CELL_HEIGHT)
    header = max(text_width(title, TITLE_SIZE, bold=True), text_width(note, 11.0))
    width = MARGIN + max(columns * CELL_WIDTH, header + MARGIN)
    return svg_document(elements, width, HEADER_HEIGHT + rows * CELL_HEIGHT)


def _draw_chart(curve: Curve, left: float, top: float) -> Iterator[str]:
    """Yield the elements of one chart, with recall to the right and precision upward."""
    value = f"{curve.average_precision * 100:.1f} %"
    x0, y0 = left + 26, top + 16
    width = PLOT_WIDTH - text_width(value, 11.0) - 8
    yield svg_text(fit_text(curve.name, width), x0, top + 4, bold=True)
    yield svg_text(value, x0 + PLOT_WIDTH, top + 4, anchor="end")

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return x0 + point[0] * PLOT_WIDTH, y0 + (1 - point[1]) * PLOT_HEIGHT

    for level in (0.0, 0.5, 1.0):
        (x, bottom), (_, y) = place((level, 0.0)), place((0.0, level))
        yield svg_path((place((level, 0.0)), place((level, 1.0))), GRID, 1)
        yield svg_path((place((0.0, level)), place((1.0, level))), GRID, 1)
        yield svg_text(f"{level:g}", x, bottom + 10, 9, color=FAINT, anchor="middle")
        yield svg_text(f"{level:g}", x0 - 5, y, 9, color=FAINT, anchor="end")
    if curve.points:
        corners = [place(point) for point in _to_steps(curve.points)]
        last = curve.points[-1][0]
        yield svg_path([place((0.0, 0.0)), *corners, place((last, 0.0))], "none", 0, fill=AREA)
        yield svg_path(corners, LINE, 1.6)
    if curve.selected is not None:
        x, y = place(curve.selected)
        yield f'<circle cx="{x:.5g}" cy="{y:.5g}" r="3" fill="{POINT}"/>'


def _to_steps(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield the corners of the step function whose area is the average precision."""
    previous = 0.0
    for recall, precision in points:
        yield previous, precision
        yield recall, precision
        previous = recall
