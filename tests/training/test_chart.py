"""The chart of a training run: its whole text, and the points that it is drawn from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from darkparse.training.chart import MAX_POINTS, MIN_LINE_POINTS, Chart
from darkparse.training.step import Step
from tests.training.test_progress import make_step


def _detector_steps() -> Iterator[Step]:
    """A loss over two powers of ten, more points than are marked, and a mean average precision of over one half."""
    for batch in range(1, MIN_LINE_POINTS + 1):
        is_measured = batch % 10 == 0
        measured = {"valid_loss": 20 / batch, "mean_ap": batch / 50} if is_measured else {}
        yield make_step(batch, average=100 / batch, rate=0.001 * batch, **measured)


def _classifier_steps() -> Iterator[Step]:
    """Equal losses, a loss and a rate of 0, and one accuracy, early in the training."""
    for batch in range(2, 5):
        measured = {"valid_loss": 0.0, "top1": 0.25} if batch == 3 else {}
        yield make_step(batch, average=3.0, rate=0.0, **measured)


CHARTS: dict[str, tuple[int, Callable[[], Iterator[Step]]]] = {
    "detector": (40, _detector_steps),
    "classifier": (10_000, _classifier_steps),
    "longer": (1, lambda: iter([make_step(1, average=0.0), make_step(2, average=float("nan"))])),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_equals_golden_text(name: str, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    end, steps = CHARTS[name]
    chart = Chart(tmp_path / "chart.svg", f"{name}<&", end)
    for step in steps():
        chart.add(step)
    chart.write()
    golden(f"charts/{name}.svg", chart.path.read_text("utf-8"))


@pytest.mark.parametrize(("batches", "stride"), [(MAX_POINTS, 1), (MAX_POINTS + 1, 2), (2 * MAX_POINTS + 2, 4)])
def test_chart_drops_every_second_point_when_there_are_too_many(batches: int, stride: int, tmp_path: Path) -> None:
    chart = Chart(tmp_path / "chart.svg", "a", batches)
    for batch in range(1, batches + 1):
        chart.add(make_step(batch, mean_ap=0.5 if batch == 7 else None))
    assert [batch for batch, _ in chart.curves["loss"]] == list(range(stride, batches + 1, stride))
    assert [batch for batch, _ in chart.curves["rate"]] == list(range(stride, batches + 1, stride))
    assert chart.curves["mAP@.50"] == [(7, 0.5)]
    assert chart.stride == stride


@pytest.mark.parametrize(("name", "stride", "expected"), [
    ("a", 1, [2, 4, 5]), ("a", 2, [2, 4]), ("a", 0, [2, 4, 5]), ("a", -3, [2, 4, 5]), ("other", 2, [5]),
])  # fmt: skip
def test_restored_chart_continues_points_of_its_own_network(
    name: str, stride: int, expected: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "chart.svg"
    data = {"name": name, "stride": stride, "curves": {"loss": [[2, 5.0], [4, 2.5], [6, 1.0]], "unknown": [[1, 1]]}}
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><metadata>{json.dumps(data)}</metadata></svg>')
    chart = Chart(path, "a", 10)
    chart.restore(4)
    chart.add(make_step(5))
    assert [batch for batch, _ in chart.curves["loss"]] == expected
    assert set(chart.curves) <= {"loss", "rate"}
