"""The images that a dry run writes: enlarged, with the boxes and names of their objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from darkparse.detect.detection import WHOLE_IMAGE, Detection
from darkparse.detect.detections import Detections
from darkparse.training.data import Batch
from darkparse.training.preview import write_preview


def _batch(height: int, width: int, truth: Any) -> Batch:
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    return Batch(0, images, truth, ["a/cat.jpg", "b/dog.png"], (height, width))


@pytest.mark.parametrize(
    ("size", "factor", "names"), [((100, 150), 4, None), ((150, 100), 4, ("cat", "dog")), ((403, 401), 1, None)]
)
def test_preview_draws_objects_on_enlarged_images(
    size: tuple[int, int], factor: int, names: tuple[str, ...] | None, tmp_path: Path
) -> None:
    box, other = (0.5, 0.5, 0.5, 0.25), (0.25, 0.75, 0.25, 0.5)
    batch = _batch(*size, [torch.tensor([[*box, 1.0], [*other, 2.0]]), torch.zeros(0, 5)])
    written = list(write_preview(batch, names, tmp_path / "new", first=8))
    assert written == [(tmp_path / "new" / "008-cat.png", 2), (tmp_path / "new" / "009-dog.png", 0)]
    height, width = (side * factor for side in size)
    objects = [(1, "dog" if names else "class 1", box), (2, "class 2", other)]
    for (path, _), pixels, drawn in zip(written, batch.images.numpy(), (objects, []), strict=True):
        detections = [Detection(number, name, 1.0, 1.0, at, (height, width)) for number, name, at in drawn]
        enlarged = torch.from_numpy(pixels.repeat(factor, 1).repeat(factor, 2))
        expected = Detections(detections, height=height, width=width).draw(enlarged)
        with Image.open(path) as image:
            assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_preview_of_classifier_names_the_classes_of_the_whole_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[Detection]] = []
    monkeypatch.setattr(Detections, "draw", lambda self, _: drawn.append(list(self)))
    monkeypatch.setattr("darkparse.training.preview.save", lambda image, path: None)
    written = list(
        write_preview(_batch(8, 8, torch.tensor([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]])), ("x", "y"), tmp_path)
    )
    assert [(path.name, count) for path, count in written] == [("000-cat.png", 2), ("001-dog.png", 1)]
    assert [[(one.class_id, one.name, one.box) for one in image] for image in drawn] == [
        [(0, "x", WHOLE_IMAGE), (2, "class 2", WHOLE_IMAGE)],
        [(1, "y", WHOLE_IMAGE)],
    ]
