"""Options of losses that Darknet's reference numbers do not reach, and the head that a message names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import darkparse
from darkparse.layers.training import RegionTraining
from darkparse.training.finite_check import check_loss
from darkparse.training.losses.network import Loss
from darkparse.training.losses.region import AlexeyRegionLoss
from tests.training.small_network import cfg, draw, trainer

TWO_HEADS = """[net]
width=8
height=8
channels=3
[convolutional]
filters=6
activation=linear
[yolo]
classes=1
[route]
layers=-2
[convolutional]
filters=6
activation=linear
[yolo]
classes=1
"""


@pytest.mark.parametrize("classfix", [-1, 0, 1, 2])
def test_region_classfix_trains_classes_of_predictors_near_a_box(classfix: int) -> None:
    """region_layer.c forward_region_layer: 1 trains the class, 2 times the objectness, -1 the objectness alone.

    One cell has two anchors; the box is that of anchor 0 but for a few percent, and anchor 1 is near it too.
    """
    options = RegionTraining(classfix=classfix, thresh=0.6, bias_match=True, class_scale=3.0, noobject_scale=2.0)
    anchors = ((0.5, 0.5), (0.45, 0.5))
    loss = AlexeyRegionLoss(options, 2, anchors, softmax=True, tree=None, map=None)
    output = torch.tensor([0.0, 0, 0, 0, 0.25, 0.3, 0.7] * 2).reshape(1, 1, 1, 14)
    truth = [torch.tensor([[0.5, 0.5, 0.5, 0.5, 1.0]])]
    delta = loss(output, truth, 12800)[0].unflatten(1, (2, 7))[0, :, :, 0, 0]
    near = delta[1]
    missing = 3 * torch.tensor([0 - 0.3, 1 - 0.7])
    if classfix > 0:
        torch.testing.assert_close(near[5:], missing * (0.25 if classfix == 2 else 1))
    else:
        assert near[5:].eq(0).all()
    target = 2 * (0.9 - 0.25) * 0.25 * 0.75 if classfix == -1 else 0.0
    assert near[4].item() == pytest.approx(target, abs=1e-6)
    torch.testing.assert_close(delta[0, 5:], missing)


@pytest.mark.parametrize(("costs", "head"), [((1.0, torch.nan), 4), ((torch.inf, 1.0), 1), ((torch.nan, torch.nan), 1)])
def test_check_loss_names_the_head_whose_cost_is_not_finite(costs: tuple[float, float], head: int) -> None:
    model = darkparse.load(TWO_HEADS)
    values = torch.tensor(costs)
    loss = Loss(values.sum(), {1: values[0], 4: values[1]}, {}, {}, {})
    x = torch.zeros(2, 3, 8, 8)
    x[1] = 1e6
    with pytest.raises(
        darkparse.DarkparseError,
        match=rf"batch 7: the loss of layer {head} \[yolo\].*b\.png\nhint: "
        rf".*last",
    ):
        check_loss(model, 7, x, ["a.png", "b.png"], loss, Path("last"))
    check_loss(model, 7, x, ["a.png", "b.png"], Loss(torch.tensor(1.0), {1: values[0]}, {}, {}, {}), "last")


def test_trainer_without_max_batches_needs_batches(tmp_path: Path) -> None:
    data, path = draw(tmp_path, 2, 1), cfg(tmp_path)
    path.write_text(path.read_text().replace("max_batches=8\n", ""))
    with pytest.raises(
        darkparse.DarkparseError, match="has no max_batches=\nhint: set the number of batches with --batches"
    ):
        trainer(data, path)
    assert trainer(data, path, batches=3).end == 3


@pytest.mark.parametrize("option", ["steps", "scales"])
def test_trainer_with_incomplete_policy_raises_before_first_batch(option: str, tmp_path: Path) -> None:
    data, path = draw(tmp_path, 2, 1), cfg(tmp_path)
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith(f"{option}=")))
    line = path.read_text().splitlines().index("policy=steps") + 1
    with pytest.raises(darkparse.CfgError, match=rf"{path.name}:{line}:\d+: error: policy=steps requires"):
        trainer(data, path)
