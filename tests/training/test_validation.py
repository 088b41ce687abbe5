"""The loss on `valid`, beside the loss of each image alone, and the evaluation during a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse.datasets import DataFile
from darkparse.detect.preprocess import resize_image
from darkparse.training.losses import Losses
from darkparse.training.validation_loss import ValidationLoss
from darkparse.training.validation_run import Validation
from tests.training.tiny_data import BOXES, CFG, CLASSIFIER, write_cfg, write_data


def _model(folder: Path, text: str, batch: int = 4) -> darkparse.Darknet:
    path = write_cfg(folder, text=text.replace("batch=4", f"batch={batch}"))
    return darkparse.build(darkparse.compile(path), initialize=True)


def _losses_of_images(model: darkparse.Darknet, folder: Path) -> list[float]:
    """Compute the loss of each image alone: stretched to the input, or its center square for a classifier."""
    losses, costs = Losses(model), []
    net = model.network.net
    for name, labels in BOXES.items():
        with Image.open(folder / f"{name}.png") as image:
            pixels = np.asarray(image)
        truth: Any
        if model.network.heads:
            lines = [list(map(float, line.split())) for line in labels.splitlines()]
            truth = [torch.tensor([[*box, number] for number, *box in lines]).reshape(-1, 5)]
        else:
            pixels = pixels[:, 6:18]
            truth = torch.tensor([[float("cat" in name), float("dog" in name)]])
        x = torch.from_numpy(resize_image(pixels, (net.height, net.width)))[None]
        with torch.no_grad():
            costs.append(float(losses(model.layer_outputs(x), truth, seen=100).cost))
    return costs


@pytest.mark.parametrize("text", [CFG, CLASSIFIER], ids=["detector", "classifier"])
@pytest.mark.parametrize(("batch", "rows"), [(4, [2, 1]), (1, [1, 1, 1]), (8, [3])])
def test_validation_loss_is_the_mean_over_images(
    text: str, batch: int, rows: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DataFile.read(write_data(tmp_path))
    model = _model(tmp_path, text, batch).train()
    expected = np.mean(_losses_of_images(model, tmp_path))
    events: list[object] = []
    run = model.layer_outputs

    def record(x: torch.Tensor) -> Any:
        assert not model.training
        events.append(len(x))
        return run(x)

    monkeypatch.setattr(model, "layer_outputs", record)
    monkeypatch.setattr(model, "reset_state", lambda: events.append("reset"))
    assert ValidationLoss(model.network, files)(model, Losses(model), 100) == pytest.approx(expected, rel=1e-5)
    assert events == [event for size in rows for event in ("reset", size)]
    assert model.training
    model.eval()
    ValidationLoss(model.network, files)(model, Losses(model), 100)
    assert not model.training


def test_validation_loss_of_an_image_without_a_label_has_no_object(tmp_path: Path) -> None:
    files, model = DataFile.read(write_data(tmp_path)), _model(tmp_path, CFG)
    before = ValidationLoss(model.network, files)(model, Losses(model), 0)
    (tmp_path / "cat2.txt").unlink()
    assert ValidationLoss(model.network, files)(model, Losses(model), 0) == before
    (tmp_path / "valid.txt").write_text("\n")
    with pytest.raises(darkparse.DarkparseError, match=r"valid.txt: the list contains no images"):
        ValidationLoss(model.network, files)


@pytest.mark.parametrize("text", [CFG, CLASSIFIER], ids=["detector", "classifier"])
def test_validation_that_cannot_read_an_image_raises(text: str, tmp_path: Path) -> None:
    data, model = write_data(tmp_path), _model(tmp_path, text).train()
    validation = Validation(model.network, data, ("cat", "dog"))
    assert validation.classifies == (text is CLASSIFIER)
    assert 0 <= validation(model).score <= 1
    assert model.training
    (tmp_path / "dog1.png").write_bytes(b"no image")
    with pytest.raises(darkparse.ImageError, match=r"dog1\.png"):
        validation(model)
