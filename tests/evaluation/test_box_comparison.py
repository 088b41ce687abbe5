"""Decoded boxes and scores are compared, and mistakes made on purpose are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import darkparse
from darkparse.evaluation import BoxComparison, Comparison, Reference, compare
from darkparse.evaluation.box_comparison import DecodedHead, compare_boxes
from tests.detect.reference import picture
from tests.evaluation.box_layouts import FORMS, write_outputs
from tests.evaluation.test_compare import run

DATA = Path(__file__).parents[1] / "data" / "compare"

BACKBONE = """
[net]
width=64
height=64
channels=3
[convolutional]
filters=8
size=3
stride=2
pad=1
activation=leaky
[maxpool]
size=4
stride=4
"""
ANCHORS = "anchors=5,7, 9,12, 14,20, 22,30, 40,38, 60,70\nclasses=2\nnum=6\n"


def convolution(filters: int, activation: str = "linear") -> str:
    return f"[convolutional]\nfilters={filters}\nsize=1\nactivation={activation}\n"


def yolo(mask: str, options: str = "") -> str:
    return f"[yolo]\nmask={mask}\n{ANCHORS}{options}"


UPSAMPLED = "[route]\nlayers=-3\n[upsample]\nstride=2\n"
TWO_HEADS = BACKBONE + convolution(21) + yolo("3,4,5") + UPSAMPLED + convolution(21) + yolo("0,1,2")
SCALED = BACKBONE + convolution(21) + yolo("3,4,5", "scale_x_y=1.05\n")
NEW_COORDS = BACKBONE + convolution(21, "logistic") + yolo("3,4,5", "new_coords=1\nscale_x_y=2\n")
GAUSSIAN = BACKBONE + convolution(33) + yolo("3,4,5").replace("[yolo]", "[Gaussian_yolo]")
REGION = BACKBONE + convolution(21) + "[region]\nanchors=1,2, 2,2, 3,1\nclasses=2\nnum=3\ncoords=4\nsoftmax=1\n"
DETECTION = (
    BACKBONE + "[connected]\noutput=108\nactivation=linear\n[detection]\nside=3\nnum=2\nclasses=2\ncoords=4\nsqrt=1\n"
)


class OtherModel(Reference):
    """The outputs of another implementation whose layers are right."""

    def __init__(self, layers: list[Tensor], outputs: list[Any]) -> None:
        self.layers, self.outputs = layers, outputs

    def output(self, node: darkparse.Node, ours: Any) -> Any:
        return self.layers[node.index].numpy()


def decode_heads(model: darkparse.Darknet, outputs: list[Tensor], image: Tensor) -> tuple[list[Any], Any]:
    """Return the boxes of a model's heads, and the objectness of all (B, 1)."""
    network = model.network
    with torch.inference_mode():
        heads = [DecodedHead(network, network.nodes[i], outputs, image) for i in network.heads]
    return [head.boxes for head in heads], np.concatenate([head.objectness for head in heads])[:, None]


def compare_with(cfg: str, other_cfg: str, dialect: str = "auto", **layout: Any) -> Comparison:
    """Compare a network with one that has the same layers and weights, and boxes as another cfg says."""
    torch.manual_seed(0)
    model = darkparse.build(darkparse.compile(cfg, dialect=dialect), initialize=True).eval()
    other = darkparse.build(darkparse.compile(other_cfg, dialect=dialect), initialize=True).eval()
    other.load_state_dict(model.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        layers, other_layers = model.layer_outputs(image), other.layer_outputs(image)
    outputs = write_outputs(*decode_heads(other, other_layers, image), **layout)
    return compare(model, image, OtherModel(layers, outputs))


def get_boxes(comparison: Comparison) -> BoxComparison:
    assert comparison.boxes is not None
    return comparison.boxes


LAYOUTS: dict[str, dict[str, Any]] = {
    "one tensor": {},
    "corners in pixels": {"encoding": "corners", "pixels": (64, 64), "form": FORMS["two tensors"]},
    "anchor by anchor, a tensor per head": {"order": (2, 0, 1), "joined": False},
}


@pytest.mark.parametrize(
    ("cfg", "layout"),
    [
        pytest.param(cfg, layout, marks=pytest.mark.slow if layout and cfg != TWO_HEADS else ())
        for layout in LAYOUTS.values()
        for cfg in (TWO_HEADS, SCALED, NEW_COORDS, GAUSSIAN, REGION, DETECTION)
    ],
)
def test_compare_same_boxes_agree(cfg: str, layout: dict[str, Any]) -> None:
    comparison = compare_with(cfg, cfg, **layout)
    boxes = get_boxes(comparison)
    assert not comparison.differs
    assert boxes.not_compared == ""
    assert len(boxes.differences) == 3 * (2 if cfg == TWO_HEADS else 1)


MISTAKES: dict[str, tuple[str, str, str, str, dict[str, str]]] = {
    "anchors": (
        TWO_HEADS,
        "5,7, 9,12, 14,20,",
        "10,14, 18,24, 28,40,",
        "auto",
        {"sizes": "10×14, 18×24, 28×40 instead"},
    ),
    "one anchor": (TWO_HEADS, "9,12,", "9,13,", "auto", {"sizes": "5×7, 9×13, 14×20 instead"}),
    "mask": (TWO_HEADS, "mask=3,4,5", "mask=1,2,3", "auto", {"sizes": "mask=1,2,3 instead of 3,4,5"}),
    "scale_x_y left out": (SCALED, "scale_x_y=1.05", "", "auto", {"centers": "without scale_x_y=1.05"}),
    "another scale_x_y": (SCALED, "=1.05", "=1.2", "auto", {"centers": "scale_x_y=1.2 instead of 1.05"}),
    "scale_x_y added": (TWO_HEADS, "num=6\n", "num=6\nscale_x_y=2\n", "auto", {"centers": "scale_x_y=2 instead of 1"}),
    "new_coords left out": (
        NEW_COORDS,
        "new_coords=1\n",
        "",
        "alexeyab",
        {"sizes": "without new_coords=1", "centers": "new_coords", "scores": "new_coords"},
    ),
    "new_coords and scale_x_y left out": (
        NEW_COORDS,
        "new_coords=1\nscale_x_y=2\n",
        "",
        "alexeyab",
        {"sizes": "without new_coords=1", "centers": "without new_coords=1 and scale_x_y", "scores": "new_coords"},
    ),
    "new_coords added": (
        TWO_HEADS,
        "num=6\n",
        "num=6\nnew_coords=1\n",
        "alexeyab",
        {"sizes": "as with new_coords=1", "centers": "no logistic", "scores": "no logistic"},
    ),
    "anchors of a Gaussian head": (GAUSSIAN, "22,30,", "30,22,", "auto", {"sizes": "30×22, 40×38, 60×70 instead"}),
    "anchors in pixels": (REGION, "1,2, 2,2, 3,1", "8,16, 16,16, 24,8", "auto", {"sizes": "8×16, 16×16, 24×8 instead"}),
    "sigmoid for softmax": (REGION, "softmax=1", "softmax=0", "pjreddie", {"scores": "sigmoid of the classes"}),
    "softmax for sigmoid": (
        REGION.replace("softmax=1", "softmax=0"),
        "=0",
        "=1",
        "pjreddie",
        {"scores": "softmax over"},
    ),
    "sqrt left out": (DETECTION, "sqrt=1", "sqrt=0", "auto", {"sizes": "without sqrt=1"}),
}


@pytest.mark.parametrize(
    "layout",
    [pytest.param(layout, id=name, marks=[pytest.mark.slow] * bool(layout)) for name, layout in LAYOUTS.items()],
)
@pytest.mark.parametrize(("cfg", "old", "new", "dialect", "causes"), MISTAKES.values(), ids=MISTAKES)
def test_compare_wrong_boxes_names_quantity_and_cause(
    cfg: str, old: str, new: str, dialect: str, causes: dict[str, str], layout: dict[str, Any]
) -> None:
    comparison = compare_with(cfg, cfg.replace(old, new), dialect, **layout)
    assert comparison.first is None
    assert comparison.differs
    differing = get_boxes(comparison).differing
    assert {difference.quantity for difference in differing} == set(causes)
    for difference in differing:
        assert causes[difference.quantity] in (difference.cause or "")


def test_compare_wrong_anchors_of_one_head_names_head_and_ratio() -> None:
    comparison = compare_with(TWO_HEADS, TWO_HEADS.replace("5,7, 9,12, 14,20,", "10,14, 18,24, 28,40,"))
    (difference,) = get_boxes(comparison).differing
    assert difference.node.index == 7
    assert difference.description == "×2 in width and height"


def test_compare_softmax_of_yolo_classes_is_named() -> None:
    model, image, layers = make_model(TWO_HEADS)
    heads, objectness = decode_heads(model, layers, image)
    for head, index in zip(heads, (2, 6), strict=True):
        raw = layers[index].unflatten(1, (3, 7)).permute(0, 3, 4, 1, 2).reshape(-1, 7)
        classes = raw[:, 5:].softmax(1) * raw[:, 4:5].sigmoid()
        head.scores[:] = classes.numpy()
    comparison = compare(model, image, OtherModel(layers, write_outputs(heads, objectness)))
    assert {d.quantity for d in get_boxes(comparison).differing} == {"scores"}
    assert {d.cause for d in get_boxes(comparison).differing} == {"softmax over the classes instead of sigmoid"}


def test_compare_scores_without_objectness_is_named() -> None:
    model, image, layers = make_model(TWO_HEADS)
    heads, objectness = decode_heads(model, layers, image)

    def write(boxes: Any, scores: Any, own_objectness: Any) -> list[Any]:
        return [boxes, scores / own_objectness]

    comparison = compare(model, image, OtherModel(layers, write_outputs(heads, objectness, form=write)))
    assert {d.cause for d in get_boxes(comparison).differing} == {"scores without the objectness"}


def test_compare_boxes_rounding_of_few_large_values_agrees() -> None:
    model, image, layers = make_model(TWO_HEADS)
    with torch.inference_mode():
        for index in (3, 7):  # nearly all scores are 0, and one box is thousands of times as large as the others
            entries = layers[index].unflatten(1, (3, 7))
            entries[:, :, 4], entries[:, :, 2:4] = 1e-9, -5
            entries[:, 0, 4, 0, 0], entries[:, 0, 2:4, 0, 0] = 0.9, 4
    (output,) = write_outputs(*decode_heads(model, layers, image))
    output[..., 2:] *= 1 + 3e-4 * np.random.default_rng(0).choice([-1, 1], output[..., 2:].shape)
    boxes = compare_boxes(model.network, layers, image, [output], tolerance=1e-3)
    assert not boxes.differing
    assert boxes.not_compared == ""


def test_compare_boxes_rounding_of_corners_of_huge_boxes_agrees() -> None:
    model, image, layers = make_model(TWO_HEADS)
    with torch.inference_mode():
        for index in (3, 7):
            layers[index].unflatten(1, (3, 7))[:, :, 2:4] = 14
    outputs = write_outputs(*decode_heads(model, layers, image), encoding="corners")
    boxes = compare_boxes(model.network, layers, image, outputs, tolerance=1e-3)
    assert not boxes.differing
    assert boxes.not_compared == ""


def test_compare_unexplained_boxes_differ_without_cause() -> None:
    model, image, layers = make_model(TWO_HEADS)
    heads, objectness = decode_heads(model, layers, image)
    for head in heads:
        head.boxes[0, 2:] *= 3
    differing = get_boxes(compare(model, image, OtherModel(layers, write_outputs(heads, objectness)))).differing
    assert [(d.quantity, d.cause) for d in differing] == [("sizes", None)] * 2


def test_compare_outputs_without_boxes_are_not_compared() -> None:
    model, image, layers = make_model(TWO_HEADS)
    comparison = compare(model, image, OtherModel(layers, [np.zeros((1, 5), np.float32)]))
    assert not comparison.differs
    assert "known layout" in get_boxes(comparison).not_compared


def test_compare_boxes_without_scores_are_reported() -> None:
    model, image, layers = make_model(TWO_HEADS)
    outputs = write_outputs(*decode_heads(model, layers, image), form=lambda boxes, *_: [boxes])
    boxes = get_boxes(compare(model, image, OtherModel(layers, outputs)))
    assert boxes.not_compared == "the reference has no scores for L3, L7"
    assert not boxes.differing


def test_compare_head_that_predicts_no_boxes_is_reported() -> None:
    model, image, layers = make_model(f"{BACKBONE}{convolution(4)}[iseg]\nclasses=2\nids=2\n", "pjreddie")
    boxes = get_boxes(compare(model, image, OtherModel(layers, [np.zeros((1, 5), np.float32)])))
    assert "does not predict boxes" in boxes.not_compared


def test_compare_network_without_heads_has_no_boxes() -> None:
    model, image, layers = make_model(BACKBONE)
    assert compare(model, image, OtherModel(layers, [])).boxes is None


def make_model(cfg: str, dialect: str = "auto") -> tuple[darkparse.Darknet, Tensor, list[Tensor]]:
    """Return a model, an image and the outputs of its layers for it."""
    torch.manual_seed(0)
    model = darkparse.build(darkparse.compile(cfg, dialect=dialect), initialize=True).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        return model, image, model.layer_outputs(image)


@pytest.fixture
def image_path(tmp_path: Path) -> Path:
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def compare_files(cfg: str, image: Path, against: Path, *options: str) -> int:
    return run(["compare", str(DATA / cfg), str(DATA / "two.weights"), str(image), "--against", str(against), *options])


def test_compare_command_wrong_anchors_exits_1(image_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install 'darkparse[onnxruntime]'")
    assert compare_files("two.cfg", image_path, DATA / "wrong-anchors.onnx") == 1
    out = capsys.readouterr().out
    assert "boxes of L10 YOLO head [yolo] differ by ×2 in width and height" in out
    assert "other anchors (10×14, 18×24, 28×40 instead of 5×7, 9×12, 14×20)" in out
    assert "boxes of L5 YOLO head [yolo] differ by ×1.65 to ×2 in width, ×1.41 to ×2 in height" in out
    assert compare_files("two.cfg", image_path, DATA / "wrong-anchors.onnx", "--json") == 1
    boxes = json.loads(capsys.readouterr().out)["boxes"]
    assert [d["layer"] for d in boxes["differences"] if d["differs"]] == [5, 10]


def test_compare_command_missing_scale_of_a_head_exits_1(image_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install 'darkparse[onnxruntime]'")
    assert compare_files("two-scale.cfg", image_path, DATA / "scale-missing.onnx") == 1
    out = capsys.readouterr().out
    assert "L5 YOLO head [yolo] is the first that differs: by" in out
    assert "likely cause: x and y without scale_x_y=1.2" in out
    assert "11 layers agree" not in out


def test_compare_command_heads_decoded_in_other_steps_are_compared_by_boxes(
    image_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install 'darkparse[onnxruntime]'")
    assert compare_files("two-scale.cfg", image_path, DATA / "wrong-anchors.onnx") == 1
    out = capsys.readouterr().out
    assert "9 layers agree" in out
    assert "layers not compared: L5, L10 (no matching value in" in out
    assert "likely cause: x and y without scale_x_y=1.2" in out


@pytest.mark.parametrize(
    ("cfg", "heads", "text"),
    [
        ("two.cfg", "raw", "boxes not compared"),
        ("two-scale.cfg", "decoded", "boxes of 2 heads agree"),
        pytest.param("two-scale.cfg", "raw", "boxes not compared", marks=pytest.mark.slow),
        pytest.param("two.cfg", "decoded", "boxes of 2 heads agree", marks=pytest.mark.slow),
    ],
)
def test_compare_command_own_export_exits_0(
    cfg: str, heads: Any, text: str, image_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install 'darkparse[onnxruntime]'")
    path = tmp_path / "own.onnx"
    darkparse.to_onnx(DATA / cfg, path, weights=DATA / "two.weights", heads=heads)
    assert compare_files(cfg, image_path, path) == 0
    out = capsys.readouterr().out
    assert "11 layers agree" in out
    assert text in out
