"""Values of losses that follow by hand: of one cell, one box and few classes."""

from __future__ import annotations

import math
from math import pi
from typing import Any

import pytest
import torch
from torch import Tensor

import darkparse
from darkparse.layers.training import DetectionTraining, RegionTraining, YoloTraining
from darkparse.training.initialization import build_optimizer
from darkparse.training.losses import Losses
from darkparse.training.losses.boxes import ciou, diou, giou, iou
from darkparse.training.losses.detection import RANDOM_SEEN, DetectionLoss
from darkparse.training.losses.gaussian import GaussianYoloLoss
from darkparse.training.losses.predictors import Predictors, sum_components
from darkparse.training.losses.region import PRIOR_SEEN, AlexeyRegionLoss, RegionLoss
from darkparse.training.losses.targets import assignment_rounds, gather_targets
from darkparse.training.losses.yolo import AlexeyYoloLoss, YoloLoss


@pytest.mark.parametrize(("box", "overlap", "hull", "offset", "diagonal"), [
    ((0.5, 0.5, 0.4, 0.2), 1.0, 0.08, 0.0, 0.2),
    ((0.7, 0.5, 0.4, 0.2), 1 / 3, 0.12, 0.04, 0.4),
    ((0.5, 0.6, 0.4, 0.2), 1 / 3, 0.12, 0.01, 0.25),
    ((0.9, 0.9, 0.2, 0.2), 0.0, 0.42, 0.32, 0.85),
    ((0.5, 0.5, 0.2, 0.2), 0.5, 0.08, 0.0, 0.2),
])  # fmt: skip
def test_overlaps_of_two_boxes_follow_from_their_hull_and_distance(
    box: tuple[float, ...], overlap: float, hull: float, offset: float, diagonal: float
) -> None:
    """The other box has its center in the middle, a width of 0.4 and a height of 0.2."""
    a, b = torch.tensor([box], dtype=torch.float64), torch.tensor([[0.5, 0.5, 0.4, 0.2]], dtype=torch.float64)
    area, other = box[2] * box[3], 0.08
    union = (area + other) / (1 + overlap)
    assert iou(a, b).item() == pytest.approx(overlap)
    assert giou(a, b).item() == pytest.approx(overlap - (hull - union) / hull)
    assert diou(a, b).item() == pytest.approx(overlap - (offset / diagonal) ** 0.6)
    angles = torch.atan(torch.tensor([2.0, box[2] / box[3]], dtype=torch.float64))
    aspect = 4 / pi**2 * float(angles[0] - angles[1]) ** 2
    alpha = aspect / (1 - overlap + aspect + 1e-6)
    assert ciou(a, b).item() == pytest.approx(overlap - offset / diagonal - alpha * aspect)


def test_boxes_of_no_size_have_no_overlap() -> None:
    nothing = torch.zeros(1, 4)
    assert [float(function(nothing, nothing)) for function in (iou, giou, diou)] == [0, 0, 0]


def _gather(*rows: tuple[float, ...], **options: Any) -> tuple[list[float], list[int]]:
    """Return x and class of the boxes of an image that count."""
    settings: dict[str, Any] = {"max_boxes": 9, "classes": 3, "map": None, "maps_first": False} | options
    targets = gather_targets([torch.tensor(rows).reshape(-1, 5)], torch.zeros(1, 1), **settings)
    valid = targets.valid[0]
    return targets.boxes[0, valid, 0].tolist(), targets.classes[0, valid].tolist()


def _row(x: float, number: float) -> tuple[float, ...]:
    return (x, 0.5, 0.25, 0.25, number)


@pytest.mark.parametrize(("rows", "options", "xs", "classes"), [
    ([], {}, [], []),
    ([_row(0.25, 0), _row(0.5, 2)], {}, [0.25, 0.5], [0, 2]),
    ([_row(0.25, 0), _row(0, 1), _row(0.5, 2)], {}, [0.25], [0]),  # an x of 0 ends the list
    ([_row(0.25, 0), _row(0.5, 1), _row(0.75, 2)], {"max_boxes": 2}, [0.25, 0.5], [0, 1]),
    ([_row(0.25, -1), _row(0.5, 2), _row(0.75, 3)], {}, [0.5], [2]),
    ([_row(0.25, 3), _row(0.5, 4), _row(0.75, 1)], {"map": (0, 1, 2, 2), "maps_first": True}, [0.25, 0.75], [2, 1]),
    ([_row(0.25, 3), _row(0.5, 4), _row(0.75, 1)], {"map": (0, 2, 1, 2)}, [0.75], [2]),
    ([_row(0.25, 0), _row(0.5, -1)], {"map": (0,)}, [0.25], [0]),
    ([_row(0.25, 0), _row(0.5, 1)], {"map": (0, 5)}, [0.25], [0]),  # maps to a class that does not exist
])  # fmt: skip
def test_boxes_count_up_to_the_first_without_position_if_their_class_exists(
    rows: list[tuple[float, ...]], options: dict[str, Any], xs: list[float], classes: list[int]
) -> None:
    assert _gather(*rows, **options) == (xs, classes)


@pytest.mark.parametrize("truth", [
    [], [torch.zeros(2, 5)] * 2, [torch.zeros(2, 4)], [torch.zeros(5)], torch.zeros(1, 2, 5), None, [[0.5] * 5],
])  # fmt: skip
def test_targets_in_another_form_raise(truth: Any) -> None:
    with pytest.raises(ValueError, match=r"expected a list of 1 tensors \(K, 5\)"):
        gather_targets(truth, torch.zeros(1, 1), max_boxes=9, classes=3, map=None, maps_first=False)


def test_boxes_of_a_cell_are_assigned_in_their_order() -> None:
    rounds = [indices.tolist() for indices in assignment_rounds(torch.tensor([7, 3, 7, 7, 3]))]
    assert rounds == [[1, 0], [4, 2], [3]]
    assert list(assignment_rounds(torch.tensor([], dtype=torch.long))) == []


def test_predictors_are_ordered_by_image_anchor_row_and_column() -> None:
    planes = torch.arange(2 * 3 * 4 * 5 * 6.0).reshape(2, 3, 4, 5, 6)
    rows = Predictors.from_output(planes)
    assert rows.size.tolist() == [5, 4]
    for image, anchor, row, column in ((0, 0, 0, 0), (1, 2, 3, 4), (0, 1, 2, 3), (1, 0, 3, 1)):
        index = int(rows.index(*map(torch.tensor, (image, anchor, row, column))))
        assert rows.values[index].equal(planes[image, anchor, row, column])
        assert [int(x[index]) for x in (rows.anchor, rows.row, rows.column)] == [anchor, row, column]
        assert rows.grid_xy[index].tolist() == [column, row]
    assert rows.by_image(rows.values).shape == (2, 60, 6)
    rows.delta[:] = rows.values
    assert rows.planes().equal(planes.permute(0, 1, 4, 2, 3).flatten(1, 2))
    points = torch.tensor([[0.0, 0.0], [0.99, 0.99], [1.0, 1.0], [0.2, 0.25], [-0.5, 2.0]])
    assert [list(map(int, cell)) for cell in zip(*rows.cell(points), strict=True)] == [
        [0, 0], [3, 4], [3, 4], [1, 1], [3, 0],
    ]  # fmt: skip


def test_components_are_squared_sums_of_a_delta() -> None:
    delta = torch.arange(1.0, 15).reshape(1, 14, 1, 1)  # two predictors with four box entries and two classes
    sums = {name: float(value) for name, value in sum_components(delta, 2, 4).items()}
    assert sums == {
        "box": sum(n * n for n in (1, 2, 3, 4, 8, 9, 10, 11)), "objectness": 25 + 144, "class": 36 + 49 + 169 + 196
    }  # fmt: skip


def _detect(output: Tensor, truth: list[list[float]], seen: int = 0, *, sqrt: bool = False, **options: Any) -> Any:
    """Return the loss of 2×2 cells with 2 predictors and 2 classes."""
    loss = DetectionLoss(DetectionTraining(**options), classes=2, num=2, side=2, sqrt=sqrt)
    return loss(output, [torch.tensor(truth).reshape(-1, 5)], seen)


def _cells(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return classes (4, 2), objectness (4, 2) and boxes (4, 2, 4)."""
    return output[0, :8].reshape(4, 2), output[0, 8:16].reshape(4, 2), output[0, 16:].reshape(4, 2, 4)


@pytest.mark.parametrize(("options", "target"), [({}, 1.0), ({"rescore": True}, 0.25)])
def test_detection_trains_the_predictor_with_the_best_overlap(options: dict[str, Any], target: float) -> None:
    output = torch.zeros(1, 48)
    classes, objectness, boxes = _cells(output)
    classes[:], objectness[:] = 0.5, 0.25
    boxes[2, 0] = torch.tensor([0.5, 0.5, 0.125, 0.125])
    boxes[2, 1] = torch.tensor([0.5, 0.5, 0.25, 0.25])
    truth = [[0.25, 0.75, 0.5, 0.5, 1.0], [0.25, 0.75, 0.25, 0.25, 0.0]]  # the second has the cell of the first
    scales: dict[str, Any] = {"coord_scale": 2.0, "object_scale": 3.0, "noobject_scale": 5.0, "class_scale": 7.0}
    result = _detect(output, truth, **scales, **options)
    class_delta, objectness_delta, box_delta = _cells(result.delta)
    expected = torch.zeros(4, 2)
    expected[2] = torch.tensor([-3.5, 3.5])
    torch.testing.assert_close(class_delta, expected)
    expected = torch.full((4, 2), -5 * 0.25)
    expected[2, 1] = 3 * (target - 0.25)
    torch.testing.assert_close(objectness_delta, expected)
    moved = torch.zeros(4, 2, 4)
    moved[2, 1] = torch.tensor([0, 0, 0.5, 0.5])
    torch.testing.assert_close(box_delta, moved)
    torch.testing.assert_close(result.cost, result.delta.square().sum())
    assert result.overlaps.tolist() == [0.25]
    assert result.objectness == 0.25


def test_detection_with_sqrt_predicts_roots_of_the_sides() -> None:
    output = torch.zeros(1, 48)
    boxes = _cells(output)[2]
    boxes[3, 0], boxes[3, 1] = torch.tensor([0.5, 0.5, 0.75, 0.5]), torch.tensor([0.5, 0.5, 0.25, 0.25])
    result = _detect(output, [[0.75, 0.75, 0.25, 0.25, 1.0]], sqrt=True)
    moved = torch.zeros(4, 2, 4)
    moved[3, 0] = torch.tensor([0, 0, -0.25, 0])
    torch.testing.assert_close(_cells(result.delta)[2], moved)
    assert result.overlaps.tolist() == pytest.approx([0.25 / 0.5625])


def test_detection_without_any_overlap_trains_the_nearest_predictor() -> None:
    output = torch.zeros(1, 48)
    boxes = _cells(output)[2]
    boxes[0, 0], boxes[0, 1] = torch.tensor([9.0, 9, 0.1, 0.1]), torch.tensor([8.0, 8, 0.1, 0.1])
    result = _detect(output, [[0.25, 0.25, 0.1, 0.1, 0.0]])
    assert _cells(result.delta)[1][0].nonzero().tolist() == [[1]]
    assert result.overlaps.tolist() == [0]


@pytest.mark.parametrize(("size", "predictor"), [((0.5, 0.19), 1), ((0.5, 0.21), 0)])
def test_forced_detection_gives_small_boxes_to_the_second_predictor(size: tuple[float, float], predictor: int) -> None:
    result = _detect(torch.zeros(1, 48), [[0.25, 0.25, *size, 0.0]], forced=True)
    assert _cells(result.delta)[1][0].nonzero().tolist() == [[predictor]]


@pytest.mark.parametrize(("seen", "is_random"), [(RANDOM_SEEN - 1, True), (RANDOM_SEEN, False)])
def test_random_detection_gives_boxes_to_any_predictor_at_first(seen: int, is_random: bool) -> None:
    torch.manual_seed(0)
    output = torch.zeros(1, 48)
    _cells(output)[2][0, 1] = torch.tensor([0.5, 0.5, 0.5, 0.5])
    deltas = [_detect(output, [[0.25, 0.25, 0.5, 0.5, 0.0]], seen, random=True).delta for _ in range(20)]
    assert {int(_cells(delta)[1][0].argmax()) for delta in deltas} == ({0, 1} if is_random else {1})


@pytest.mark.parametrize(("cls", "thresholds"), [(YoloLoss, {}), (AlexeyYoloLoss, {})])
def test_yolo_ignores_predictors_above_its_threshold(cls: Any, thresholds: dict[str, float]) -> None:
    """One cell with an anchor of the box and one of half its width; the first is assigned, the second near it."""
    results = []
    for threshold in (0.49, 0.5, 0.51):
        options = YoloTraining(ignore_thresh=threshold, iou_normalizer=1.0)
        loss = cls(options=options, classes=1, anchors=((4.0, 4.0), (2.0, 4.0)), mask=(0, 1), strides=(8, 8), map=None)
        output = torch.tensor([0.5, 0.5, 0, 0, 0.75, 0.5] * 2).reshape(1, 12, 1, 1)
        result = loss(output, [torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.0]])], 10**6)
        delta = result.delta.reshape(2, 6)
        torch.testing.assert_close(delta[0], torch.tensor([0, 0, 0, 0, 0.25, 0.5]))
        assert delta[1, :4].eq(0).all()
        assert delta[1, 5] == 0
        results.append(float(delta[1, 4]))
    assert results == [0, -0.75, -0.75], "not more than the threshold is not ignored"


def test_loss_on_the_input_of_the_network_cannot_be_trained() -> None:
    text = "[net]\ninputs=4\nbatch=1\n{}[softmax]\n"
    with pytest.raises(darkparse.CfgError, match="cannot train a loss on the network's input"):
        Losses(darkparse.build(darkparse.compile(text.format("")), initialize=True))
    losses = Losses(darkparse.build(darkparse.compile(text.format("[connected]\noutput=4\n")), initialize=True))
    assert losses.entries == {1: 0}


def test_averages_are_of_convolutions_alone() -> None:
    """AlexeyAB network.c ema_update."""
    layers = "[convolutional]\nfilters=4\n[convolutional]\nfilters=4\nshare_index=0\n[connected]\noutput=2\n[softmax]\n"
    net = "[net]\nwidth=8\nheight=8\nchannels=4\nbatch=1\nema_alpha=0.5\nmax_batches=4000\n"
    model = darkparse.build(darkparse.compile(net + layers, dialect="alexeyab"), initialize=True)
    optimizer, schedule = build_optimizer(model, 1999)
    schedule.step()
    names = {name for name, parameter in model.named_parameters() if parameter in optimizer.averages}
    assert names == {"layers.0.conv.weight", "layers.0.conv.bias"}
    assert len(optimizer.averages) == 2


def _near(cls: Any, score: float = 0.5, **options: Any) -> Tensor:
    """Return the delta of a predictor that overlaps a box by exactly one half; another one is assigned the box."""
    settings = YoloTraining(iou_normalizer=1.0, **options)
    extra = {"shift": 0.0} if cls is GaussianYoloLoss else {}
    anchors = ((4.0, 4.0), (2.0, 4.0))
    loss = cls(options=settings, classes=1, anchors=anchors, mask=(0, 1), strides=(8, 8), map=None, **extra)
    box = [0.5, 1, 0.5, 1, 0, 1, 0, 1] if cls is GaussianYoloLoss else [0.5, 0.5, 0, 0]
    output = torch.tensor([*box, 0.75, score] * 2).reshape(1, -1, 1, 1)
    delta: Tensor = loss(output, [torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.0]])], 10**6).delta
    return delta.reshape(2, -1)[1]


@pytest.mark.parametrize(("cls", "options", "at", "above"), [
    (GaussianYoloLoss, {"objectness_smooth": True}, -0.75, 0.25 - 0.75),
    (AlexeyYoloLoss, {"objectness_smooth": True}, -0.75, 0.5 - 0.75),
    (AlexeyYoloLoss, {"obj_normalizer": 2.0}, -1.5, 0.0), (YoloLoss, {}, -0.75, 0.0),
])  # fmt: skip
def test_overlap_at_the_threshold_is_not_near(cls: Any, options: dict[str, Any], at: float, above: float) -> None:
    objectness = [float(_near(cls, ignore_thresh=threshold, **options)[-2]) for threshold in (0.5, 0.49)]
    assert objectness == pytest.approx([at, above], abs=1e-6)


@pytest.mark.parametrize(("score", "expected"), [(0.25, -0.75), (0.26, 0.0)])
def test_overlap_counts_where_a_class_has_more_than_a_quarter(score: float, expected: float) -> None:
    """yolo_layer.c compare_yolo_class."""
    assert float(_near(AlexeyYoloLoss, score, ignore_thresh=0.4)[-2]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cls", "option"),
    [(YoloLoss, "truth_thresh"), (AlexeyYoloLoss, "truth_thresh"), (AlexeyYoloLoss, "iou_thresh")],
)
def test_predictor_above_the_threshold_is_assigned_the_box_too(cls: Any, option: str) -> None:
    at, above = (_near(cls, **{option: threshold}) for threshold in (0.5, 0.49))
    assert at[:4].eq(0).all()
    assert float(at[-2]) == pytest.approx(-0.75)
    assert float(above[2]) == pytest.approx((2 - 0.25) * math.log(2), rel=1e-5)
    assert float(above[-2]) == pytest.approx(0.25)
    assert [float(delta[-1]) for delta in (at, above)] == [0, 0.5]


def test_confident_predictor_with_smooth_objectness_is_trained_to_the_squared_overlap() -> None:
    delta = _near(AlexeyYoloLoss, truth_thresh=0.49, objectness_smooth=True, obj_normalizer=3.0)
    assert float(delta[-2]) == pytest.approx(3 * (0.25 - 0.75))
    assert float(delta[-1]) == pytest.approx(0.25 - 0.5)


@pytest.mark.parametrize(("option", "value", "factor"), [
    ("delta_normalizer", 3.0, 3.0), ("counters_per_class", (4,), 1.0), ("label_smooth_eps", 0.5, None),
])  # fmt: skip
def test_options_of_yolo_scale_the_deltas_of_a_confident_predictor(
    option: str, value: Any, factor: float | None
) -> None:
    plain, scaled = (_near(AlexeyYoloLoss, truth_thresh=0.49, **options) for options in ({}, {option: value}))
    if factor is None:
        assert float(scaled[-1]) == pytest.approx(0.5 + 0.25 - 0.5)
        torch.testing.assert_close(scaled[:-1], plain[:-1])
    else:
        torch.testing.assert_close(scaled, plain * factor)


@pytest.mark.parametrize("cls", [RegionLoss, AlexeyRegionLoss])
def test_region_ignores_predictors_above_its_threshold(cls: Any) -> None:
    """One cell with an anchor of the box and one of half its width."""
    found = []
    for threshold in (0.5, 0.49):
        options = RegionTraining(thresh=threshold, bias_match=True)
        loss = cls(options, 1, ((0.5, 0.5), (0.25, 0.5)), softmax=True, tree=None, map=None)
        values = torch.tensor([0.5, 0.5, 0, 0, 0.75, 1.0] * 2)
        if cls is AlexeyRegionLoss:
            values[[0, 1, 6, 7]] = 0.0  # it applies the logistic function to x and y itself
        output = values.reshape(1, 12, 1, 1) if cls is RegionLoss else values.reshape(1, 1, 1, 12)
        found.append(float(loss(output, [torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.0]])], 20_000).delta.reshape(2, 6)[1, 4]))
    assert found == pytest.approx([-0.75 * 0.75 * 0.25, 0])


@pytest.mark.parametrize(("seen", "is_pulled"), [(PRIOR_SEEN - 1, True), (PRIOR_SEEN, False)])
def test_region_pulls_predictors_to_their_anchors_at_first(seen: int, is_pulled: bool) -> None:
    loss = RegionLoss(RegionTraining(), 1, ((0.5, 0.5),), softmax=True, tree=None, map=None)
    output = torch.tensor([0.25, 0.5, 0.5, 0, 0.5, 1.0]).reshape(1, 6, 1, 1)
    delta = loss(output, [torch.zeros(0, 5)], seen).delta.flatten()[:4].tolist()
    assert delta == pytest.approx([0.01 * 0.25 * 0.25 * 0.75, 0, -0.01 * 0.5, 0] if is_pulled else [0] * 4)


def test_threshold_below_zero_assigns_the_first_class_without_any_box() -> None:
    """Darknet reads the truth of an image without boxes as zeros."""
    options = YoloTraining(truth_thresh=-1.0)
    loss = YoloLoss(options=options, classes=1, anchors=((4.0, 4.0),), mask=(0,), strides=(8, 8), map=None)
    output = torch.tensor([0.5, 0.5, 0, 0, 0.75, 0.25]).reshape(1, 6, 1, 1)
    assert loss(output, [torch.zeros(0, 5)], 10**6).delta.flatten()[4:].tolist() == [0.25, 0.75]


@pytest.mark.parametrize(("number", "factor"), [(0, 4.0), (1, 1.0)])
@pytest.mark.parametrize("iou_loss", ["mse", "ciou"])
def test_rare_classes_weigh_more_by_their_counts(number: int, factor: float, iou_loss: str) -> None:
    """`counters_per_class`: the largest count divided by that of the class weights box, objectness and the class."""
    deltas = []
    for counters in ((), (2, 8)):
        options = YoloTraining(counters_per_class=counters, iou_normalizer=1.0, iou_loss=iou_loss)
        loss = AlexeyYoloLoss(options=options, classes=2, anchors=((4.0, 4.0),), mask=(0,), strides=(8, 8), map=None)
        output = torch.tensor([0.5, 0.25, 0.5, 0, 0.75, 0.25, 0.375]).reshape(1, 7, 1, 1)
        deltas.append(loss(output, [torch.tensor([[0.5, 0.5, 0.5, 0.5, number]])], 10**6).delta.flatten())
    plain, weighted = deltas
    expected = plain * factor
    expected[6 - number] = plain[6 - number]  # the other class
    torch.testing.assert_close(weighted, expected)
