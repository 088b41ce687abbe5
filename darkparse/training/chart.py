"""Chart of a training run as SVG: loss, learning rate and metrics over the batches, like Darknet's chart.png."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from darkparse._utils.files import atomic_write
from darkparse.syntax.files import read_text
from darkparse.training.step import Step

MAX_POINTS = 1000
"""Number of points from which every second one is dropped."""
MIN_LINE_POINTS = 30
"""Number of points below which each is marked."""
WIDTH, PANEL, LEFT, GAP = 800, 170, 70, 46
"""Width of the chart, height of a panel, left margin and distance of the panels, in pixels."""
COLORS = {"loss": "#1f77b4", "loss on valid": "#d62728", "rate": "#2ca02c", "mAP@.50": "#9467bd", "top-1": "#9467bd"}
PANELS = (("loss", "loss on valid"), ("rate",), ("mAP@.50", "top-1"))

Points = list[tuple[int, float]]


@dataclass
class Chart:
    """Curves of a training run; the file contains their points, so that a resumed run continues them.

    Attributes:
        path: Path of the SVG.
        name: Name of the network.
        end: Number of the last batch.
        curves: Points of each curve by name.
        stride: Number of batches between two points of the loss and the rate.
    """

    path: Path
    name: str
    end: int
    curves: dict[str, Points] = field(default_factory=dict)
    stride: int = 1

    def add(self, step: Step) -> None:
        """Add the values of a batch that are finite."""
        values = {"loss on valid": step.valid_loss, "mAP@.50": step.mean_ap, "top-1": step.top1}
        if step.batch % self.stride == 0:
            values |= {"loss": step.average, "rate": step.rate}
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                self.curves.setdefault(name, []).append((step.batch, float(f"{value:.6g}")))
        if len(self.curves.get("loss", ())) > MAX_POINTS:
            self.stride *= 2
            for name in ("loss", "rate"):
                self.curves[name] = [point for point in self.curves[name] if point[0] % self.stride == 0]

    def restore(self, batches: int) -> None:
        """Read the points up to a batch from the file; start anew if it is missing, damaged or of another network."""
        try:
            root = ElementTree.fromstring(read_text(self.path))
            data = json.loads(root.findtext("{http://www.w3.org/2000/svg}metadata") or "")
            if data["name"] != self.name:
                return
            curves = {
                name: [(int(batch), float(value)) for batch, value in data["curves"].get(name, ()) if batch <= batches]
                for name in COLORS
            }
            stride = max(1, int(data["stride"]))
        except Exception:  # noqa: BLE001  # the chart is no part of the training's state
            return
        self.curves, self.stride = {name: points for name, points in curves.items() if points}, stride

    def write(self) -> None:
        """Write the file atomically; raise OSError if it cannot be written."""
        with atomic_write(self.path) as partial:
            partial.write_text("".join(f"{line}\n" for line in self._lines()), encoding="utf-8")

    def _lines(self) -> Iterator[str]:
        panels = [names for names in PANELS if any(name in self.curves for name in names)]
        height = GAP + len(panels) * (PANEL + GAP)
        yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        yield f'  width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
        data = {"name": self.name, "stride": self.stride, "curves": self.curves}
        yield f"<metadata>{escape(json.dumps(data))}</metadata>"
        yield '<rect width="100%" height="100%" fill="#ffffff"/>'
        yield f'<text x="{LEFT}" y="24" font-size="15">{escape(self._title())}</text>'
        for number, names in enumerate(panels):
            yield from self._panel_lines(GAP + number * (PANEL + GAP), names)
        yield "</svg>"

    def _title(self) -> str:
        last = max((points[-1][0] for points in self.curves.values() if points), default=0)
        return f"{self.name}: batch {last:,} of {self.end:,}"

    def _panel_lines(self, top: float, names: tuple[str, ...]) -> Iterator[str]:
        """Yield one panel: a frame, ticks, and a line per curve with its last value."""
        curves = {name: self.curves[name] for name in names if name in self.curves}
        values = [value for points in curves.values() for _, value in points]
        scale = _Scale.fit(values, is_logarithmic="loss" in names, is_fraction="top-1" in names)
        width = WIDTH - LEFT - 20
        yield f'<rect x="{LEFT}" y="{top}" width="{width}" height="{PANEL}" fill="none" stroke="#888888"/>'
        for value in scale.ticks():
            y = top + PANEL * (1 - scale.place(value))
            yield f'<line x1="{LEFT}" x2="{LEFT + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        for number in range(5):
            x, batch = LEFT + width * number / 4, self.end * number // 4
            yield f'<text x="{x:.1f}" y="{top + PANEL + 15}" text-anchor="middle">{batch:,}</text>'
        for number, (name, points) in enumerate(curves.items()):
            places = " ".join(
                f"{LEFT + width * min(batch / max(self.end, 1), 1):.1f},{top + PANEL * (1 - scale.place(value)):.1f}"
                for batch, value in points
            )
            yield f'<polyline points="{places}" fill="none" stroke="{COLORS[name]}" stroke-width="1.5"/>'
            if len(points) < MIN_LINE_POINTS:
                for place in places.split():
                    cx, cy = place.split(",")
                    yield f'<circle cx="{cx}" cy="{cy}" r="3" fill="{COLORS[name]}"/>'
            label = f"{name} {points[-1][1]:.4g}"
            yield f'<text x="{LEFT + 8 + 200 * number}" y="{top - 6}" fill="{COLORS[name]}">{escape(label)}</text>'


class _Scale(NamedTuple):
    """Vertical axis of a panel."""

    low: float
    high: float
    is_logarithmic: bool

    @classmethod
    def fit(cls, values: list[float], *, is_logarithmic: bool, is_fraction: bool) -> _Scale:
        positive = [value for value in values if value > 0]
        if is_logarithmic and positive:
            low, high = min(positive), max(positive)
            return cls(low, high if high > low else low * 10, is_logarithmic=True)
        high = 1.0 if is_fraction else max(values, default=0.0)
        return cls(0.0, high or 1.0, is_logarithmic=False)

    def place(self, value: float) -> float:
        """Return the height of a value between 0 and 1."""
        if self.is_logarithmic:
            return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return value / self.high

    def ticks(self) -> Iterator[float]:
        for number in range(5):
            if self.is_logarithmic:
                yield self.low * (self.high / self.low) ** (number / 4)
            else:
                yield self.high * number / 4
