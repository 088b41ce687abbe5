"""Share of a page that boxes cover. `python -m tests.views.test_page_fill CFG...` prints it for other networks."""

from __future__ import annotations

import sys

import pytest

import darkparse
from darkparse.views.diagram.elements import Detail
from tests.conftest import needs_shared, original_cfgs, shipped_cfgs


def measure_fill(cfg: str, detail: Detail) -> float:
    """Return the sum of the areas of all boxes over the area of the page."""
    sheet = darkparse.draw(cfg, detail=detail).sheet
    boxes = (box for placed in sheet.pages for box in placed.page.boxes)
    return sum(box.width * box.height for box in boxes) / (sheet.width * sheet.height)


@needs_shared
@pytest.mark.parametrize(
    ("name", "layers", "stages"),
    [
        ("yolov3", 0.49, 0.5),
        ("yolov7", 0.61, 0.44),
        pytest.param("yolov4", 0.51, 0.44, marks=pytest.mark.slow),
        pytest.param("yolov4-p6", 0.55, 0.44, marks=pytest.mark.slow),
    ],
)
def test_boxes_fill_the_page(name: str, layers: float, stages: float) -> None:
    cfg = str(next(path for path in (*shipped_cfgs(), *original_cfgs()) if path.stem == name))
    assert layers <= measure_fill(cfg, "layers") <= 1
    assert stages <= measure_fill(cfg, "stages") <= 1


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(
            f"{argument}: layers {measure_fill(argument, 'layers'):.3f}, stages {measure_fill(argument, 'stages'):.3f}"
        )
