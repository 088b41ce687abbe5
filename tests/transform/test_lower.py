"""Lowered networks compute what the PyTorch projects compute; sections that cannot be lowered raise an error."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import darkparse
from darkparse.cli import main
from darkparse.detect.engines.engine import ENGINES
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.yolo_heads import Yolo
from darkparse.weights.checkpoints import IgnoredValue
from tests.transform.foreign import FOLDER, NAMES, load_case, make_input, make_state, save_state

Lowered = tuple[darkparse.Network, darkparse.Darknet]


def lower_case(name: str, folder: Path, wrapper: str | None = None, family: str | None = None) -> Lowered:
    _, meta = load_case(name)
    state = save_state(folder / f"{name}.pt", make_state(name, meta), wrapper or meta["wrapper"])
    network, loaded = darkparse.lower(FOLDER / f"{name}.cfg", state, family=family)
    return network, darkparse.load(network, loaded)


def lower_text(text: str, state: dict[str, torch.Tensor], folder: Path, family: str | None = None) -> Lowered:
    network, loaded = darkparse.lower(text, save_state(folder / "x.pt", state), family=family)
    return network, darkparse.load(network, loaded)


def decode(output: np.ndarray[Any, Any], head: Yolo, network: darkparse.Network) -> np.ndarray[Any, Any]:
    """Return boxes from a head's output: (anchors, rows, columns, 5 + classes) with centers and sizes in pixels."""
    _, height, width = output.shape
    boxes = output.reshape(head.predictors, -1, height, width).transpose(0, 2, 3, 1).astype(np.float64)
    boxes[..., 0] = (boxes[..., 0] + np.arange(width)) * network.net.width / width
    boxes[..., 1] = (boxes[..., 1] + np.arange(height)[:, None]) * network.net.height / height
    sizes = 4 * boxes[..., 2:4] ** 2 if head.new_coords else np.exp(boxes[..., 2:4])
    boxes[..., 2:4] = sizes * np.array(head.boxes)[:, None, None]
    return boxes


def error(actual: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    return float(np.abs(actual - expected).max() / np.sqrt(np.mean(expected.astype(np.float64) ** 2)))


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Lowered]:
    """The name of a case, and what it is lowered to."""
    return request.param, lower_case(request.param, tmp_path_factory.mktemp("case"))


def test_lower_every_case_computes_the_reference_outputs(case: tuple[str, Lowered]) -> None:
    name, (network, model) = case
    arrays, meta = load_case(name)
    with torch.inference_mode():
        outputs = [output.numpy() for output in model.layer_outputs(make_input(name, meta))]
    assert len(network.heads) == meta["heads"]
    for number, index in enumerate(network.heads):
        head, expected = network.nodes[index].layer, arrays[f"head{number}"]
        assert isinstance(head, Yolo)
        bound = max(1e-4, 20 * float(arrays["noise"][number]))
        expected_map = 1 / (1 + np.exp(-expected)) if head.new_coords else expected
        assert error(outputs[index - 1][0], expected_map) < bound
        boxes, expected_boxes = decode(outputs[index][0], head, network), arrays[f"boxes{number}"]
        for part in (slice(0, 2), slice(2, 4), slice(4, None)):
            assert error(boxes[..., part], expected_boxes[..., part]) < 10 * bound


def test_lower_every_case_has_only_names_that_alexeyab_knows(case: tuple[str, Lowered]) -> None:
    _, (network, _) = case
    again = darkparse.compile(darkparse.to_cfg(network), dialect="alexeyab")
    assert [node.layer for node in again.nodes] == [node.layer for node in network.nodes]
    assert not [
        d for d in again.diagnostics if d.code in ("unknown-activation", "foreign-option", "odd-value", "remark")
    ]
    assert {option.text for s in again.config.sections if (option := s.find("activation"))} <= ACTIVATIONS.keys()


def test_lower_folds_constants_of_the_usual_head(tmp_path: Path) -> None:
    network, _ = lower_case("yolor-one-head", tmp_path)
    assert [node.kind for node in network.nodes] == ["convolutional"] * 5 + ["yolo"]


def test_lower_keeps_the_text_of_unchanged_sections(tmp_path: Path) -> None:
    network, _ = lower_case("yolor-one-head", tmp_path)
    assert darkparse.to_cfg(network).startswith("# One head as in YOLOR")
    assert "stride=2\npad=1\nactivation=swish\n" in darkparse.to_cfg(network)


def test_lower_fused_state_dict_gives_the_same_map(tmp_path: Path) -> None:
    """A fused state dict has folded batch norm, and numbers as names of a layer's parts."""
    name = "yolor-one-head"
    _, meta = load_case(name)
    state = make_state(name, meta)
    fused: dict[str, torch.Tensor] = {}
    for key in [key for key in state if key.endswith("Conv2d.weight")]:
        stem, norm = key.removesuffix("Conv2d.weight"), key.replace("Conv2d.weight", "BatchNorm2d.")
        weight, bias = state[key].double(), state.get(f"{stem}Conv2d.bias", torch.zeros(1)).double()
        if f"{norm}weight" in state:
            scale = state[f"{norm}weight"].double() / (state[f"{norm}running_var"].double() + 1e-4).sqrt()
            weight = weight * scale[:, None, None, None]
            bias = state[f"{norm}bias"].double() - state[f"{norm}running_mean"].double() * scale
        fused |= {f"{stem}0.weight": weight.float(), f"{stem}0.bias": bias.float()}
    fused |= {key: value for key, value in state.items() if key.endswith("implicit")}
    _, model = lower_text((FOLDER / f"{name}.cfg").read_text("utf-8"), fused, tmp_path)
    expected = load_case(name)[0]["head0"]
    with torch.inference_mode():
        actual = list(model.layer_outputs(make_input(name, meta)))[-2][0].numpy()
    assert error(actual, 1 / (1 + np.exp(-expected))) < 1e-4


NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"


def convolution(filters: int, size: int = 1, extra: str = "activation=linear") -> str:
    return f"[convolutional]\nfilters={filters}\nsize={size}\nstride=1\npad=1\n{extra}\n"


def random_state(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Return random values; `c0_Conv2d_weight` stands for `module_list.0.Conv2d.weight`."""
    torch.manual_seed(0)
    return {
        "module_list." + name[1:].replace("_", ".").replace("running.", "running_"): torch.randn(shape)
        for name, shape in shapes.items()
    }


def run(model: darkparse.Darknet, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return list(model.layer_outputs(x))[-1]


def test_lower_pool_of_size_2_and_stride_1_pads_zeros(tmp_path: Path) -> None:
    text = NET + convolution(4) + "[maxpool]\nsize=2\nstride=1\n"
    state = random_state(c0_Conv2d_weight=(4, 3, 1, 1), c0_Conv2d_bias=(4,))
    _, model = lower_text(text, state, tmp_path, "yolor")
    x = torch.randn(1, 3, 16, 16)
    y = F.conv2d(x, state["module_list.0.Conv2d.weight"], state["module_list.0.Conv2d.bias"])
    expected = F.max_pool2d(F.pad(y, (0, 1, 0, 1)), 2, 1)
    torch.testing.assert_close(run(model, x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [15, 16])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (4, 2), (5, 1)])
def test_lower_pool_pads_and_rounds_as_the_project(size: int, stride: int, side: int, tmp_path: Path) -> None:
    text = NET.replace("16", str(side)) + convolution(4) + f"[maxpool]\nsize={size}\nstride={stride}\n"
    state = random_state(c0_Conv2d_weight=(4, 3, 1, 1), c0_Conv2d_bias=(4,))
    _, model = lower_text(text, state, tmp_path, "spurslipu")
    x = torch.randn(1, 3, side, side)
    y = F.conv2d(x, state["module_list.0.Conv2d.weight"], state["module_list.0.Conv2d.bias"])
    torch.testing.assert_close(run(model, x), F.max_pool2d(y, size, stride, (size - 1) // 2))


def test_lower_focus_read_by_a_grouped_convolution_gets_a_layer(tmp_path: Path) -> None:
    text = NET + "[reorg]\n" + convolution(24, 1, "groups=12\nactivation=linear")
    state = random_state(c1_Conv2d_weight=(24, 1, 1, 1), c1_Conv2d_bias=(24,))
    _, model = lower_text(text, state, tmp_path)
    x = torch.randn(1, 3, 16, 16)
    focus = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
    expected = F.conv2d(focus, state["module_list.1.Conv2d.weight"], state["module_list.1.Conv2d.bias"], groups=12)
    torch.testing.assert_close(run(model, x), expected, atol=1e-5, rtol=1e-5)


def test_lower_route_with_groups_takes_the_second_half_of_the_previous_layer(tmp_path: Path) -> None:
    text = NET + convolution(6) + convolution(4) + "[route]\nlayers=0\ngroups=2\ngroup_id=0\n"
    state = random_state(
        c0_Conv2d_weight=(6, 3, 1, 1), c0_Conv2d_bias=(6,), c1_Conv2d_weight=(4, 6, 1, 1), c1_Conv2d_bias=(4,)
    )
    _, model = lower_text(text, state, tmp_path, "spurslipu")
    with torch.inference_mode():
        *_, before, half = model.layer_outputs(torch.randn(1, 3, 16, 16))
    assert torch.equal(half, before[:, 2:])


@pytest.mark.parametrize(("family", "size", "padding"), [("spurslipu", 4, 1), ("yolor", 4, 2), ("spurslipu", 2, 0)])
def test_lower_even_size_pads_as_the_project(family: str, size: int, padding: int, tmp_path: Path) -> None:
    state = random_state(c0_Conv2d_weight=(4, 3, size, size), c0_Conv2d_bias=(4,))
    _, model = lower_text(NET + convolution(4, size), state, tmp_path, family)
    x = torch.randn(1, 3, 16, 16)
    weight, bias = state.values()
    torch.testing.assert_close(run(model, x), F.conv2d(x, weight, bias, padding=padding), atol=1e-5, rtol=1e-5)


def test_lower_batch_norm_layer_has_its_own_epsilon(tmp_path: Path) -> None:
    state = random_state(
        c0_Conv2d_weight=(4, 3, 1, 1), c0_Conv2d_bias=(4,), c1_weight=(4,), c1_bias=(4,), c1_running_mean=(4,)
    )
    state["module_list.1.running_var"] = torch.tensor([1e-6, 1e-5, 1e-4, 1.0])
    _, model = lower_text(NET + convolution(4) + "[BatchNorm2d]\n", state, tmp_path, "spurslipu")
    x = torch.randn(1, 3, 16, 16)
    weight, bias, scale, shift, mean, variance = state.values()
    expected = F.batch_norm(F.conv2d(x, weight, bias), mean, variance, scale, shift, eps=1e-4)
    torch.testing.assert_close(run(model, x), expected, atol=1e-3, rtol=1e-4)


def test_lower_negative_factors_after_each_other_are_folded(tmp_path: Path) -> None:
    text = (
        f"{NET}{convolution(4, 3)}[implicit_add]\nfilters=4\n[implicit_mul]\nfilters=4\n[route]\nlayers=0\n"
        "[shift_channels]\nfrom=1\n[control_channels]\nfrom=2\n[shift_channels]\nfrom=1\n"
    )
    state = random_state(
        c0_Conv2d_weight=(4, 3, 3, 3), c0_Conv2d_bias=(4,), c1_implicit=(1, 4, 1, 1), c2_implicit=(1, 4, 1, 1)
    )
    network, model = lower_text(text, state, tmp_path)
    assert len(network.nodes) == 1
    x = torch.randn(1, 3, 16, 16)
    weight, bias, shift, factor = state.values()
    expected = (F.conv2d(x, weight, bias, padding=1) + shift) * factor + shift
    torch.testing.assert_close(run(model, x), expected, atol=1e-5, rtol=1e-5)


REFUSED = [
    (NET + convolution(4) + "[alternate_channels]\nfrom=0\n", "yolor", "[alternate_channels]", "not known"),
    (NET + convolution(4, 1, "activation=linear\npadding=1"), "yolor", "padding=1", "padding="),
    (NET + convolution(4).replace("size=1", "size=3,5"), "spurslipu", "3,5", "several sizes"),
    (NET + convolution(4).replace("pad=1\n", ""), "yolor", "[convolutional]", "missing option pad="),
    (NET + convolution(4) + "[route]\nlayers=7\n", "yolor", "7", "expected an earlier layer, 0 to 0"),
    (NET + convolution(4) + "[route]\nlayers=0\ngroups=2\n", "yolor", "2", "does not support groups="),
    (
        NET + convolution(4) + "[shift_channels]\nfrom=0\n",
        "yolor",
        "0",
        "must refer to a learned constant, got [convolutional]",
    ),
    (NET + convolution(4) + "[avgpool]\n", "spurslipu", "[avgpool]", "not known"),
    (NET + convolution(4) + "[se]\nreduction=0\n", "spurslipu", "0", "reduction must be 1 to 4"),
    (NET + convolution(4) + "[se]\nreduction=5\n", "spurslipu", "5", "reduction must be 1 to 4"),
    (NET + convolution(4) + "[shortcut]\nfrom=0\nweights_type=per_feature\n", "spurslipu", "per_feature", "not known"),
]


@pytest.mark.parametrize(("text", "family", "place", "message"), REFUSED)
def test_lower_inexact_section_raises_with_place(
    text: str, family: str, place: str, message: str, tmp_path: Path
) -> None:
    state = save_state(
        tmp_path / "x.pt", random_state(c0_Conv2d_weight=(4, 3, 1, 1), c0_Conv2d_bias=(4,), c1_implicit=(1, 4, 1, 1))
    )
    with pytest.raises(darkparse.CfgError) as caught:
        darkparse.lower(text, state, family=family)
    (problem,) = caught.value.diagnostics
    assert problem.code == "inexact"
    assert message in problem.message
    assert problem.span is not None
    assert problem.span.text == place


def test_lower_state_of_other_classes_names_the_classes(tmp_path: Path) -> None:
    name = "yolor-three-heads"
    _, meta = load_case(name)
    state = save_state(tmp_path / "x.pt", make_state(name, meta))
    text = (
        (FOLDER / f"{name}.cfg")
        .read_text("utf-8")
        .replace("filters=14", "filters=16")
        .replace("classes=2", "classes=3")
    )
    with pytest.raises(darkparse.WeightsError, match=r"module_list\.\d+\.implicit, got 1×14×1×1 float32") as caught:
        darkparse.lower(text, state)
    (cause,) = caught.value.causes
    assert (cause.code, cause.facts["classes"]) == ("classes", 2)
    assert "filters=14 in line" in cause.message


def test_lower_state_of_another_network_raises(tmp_path: Path) -> None:
    _, meta = load_case("lhalf")
    state = save_state(tmp_path / "x.pt", make_state("lhalf", meta))
    with pytest.raises(darkparse.WeightsError, match=r"does not fit network: .* layer \d+ \[\w+\] \(.*:\d+:1\)"):
        darkparse.lower((FOLDER / "yolor-one-head.cfg").read_text("utf-8"), state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"models.0.weight": torch.zeros(1)}, "no key begins with module_list"),
        ({"model": torch.nn.Linear(1, 1)}, "contains Python objects"),
    ],
)
def test_lower_other_files_raise(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(darkparse.WeightsError, match=message):
        darkparse.lower(FOLDER / "yolor-one-head.cfg", tmp_path / "x.pt")


def test_lower_undetectable_project_raises_with_hint(tmp_path: Path) -> None:
    state = random_state(c0_Conv2d_weight=(4, 3, 1, 1), c0_Conv2d_bias=(4,))
    with pytest.raises(darkparse.DarkparseError, match=r"--from yolor \| pytorch-yolov4 \| spurslipu"):
        lower_text(NET + convolution(4), state, tmp_path)


def test_read_checkpoint_with_numpy_values_creates_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No numpy object is created from an untrusted file, so that no code of numpy runs on it."""
    built = []
    monkeypatch.setattr(IgnoredValue, "__init__", lambda self, *arguments: built.append(arguments))
    lower_case("yolor-one-head", tmp_path, "train")
    assert len(built) >= 2


@pytest.mark.parametrize(
    "engine",
    [
        # OpenVINO's compiler takes longer than all else.
        pytest.param(name, marks=pytest.mark.slow if name == "openvino" else ())
        for name in ENGINES
        if name != "torch" and find_spec(name)
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        "mobile-small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("yolor-three-heads", "weighted-shortcut")),
    ],
)
def test_lowered_network_detects_the_same_on_every_engine(name: str, engine: str, tmp_path: Path) -> None:
    _, meta = load_case(name)
    network, arrays = darkparse.lower(FOLDER / f"{name}.cfg", save_state(tmp_path / "x.pt", make_state(name, meta)))
    image = make_input(name, meta)[0].numpy().transpose(1, 2, 0)
    settings = darkparse.DetectionSettings(threshold=0.3)
    found = [
        list(darkparse.Detector.load(network, arrays, engine=other).detect(image, settings))
        for other in ("torch", engine)
    ]
    assert len(found[0]) == len(found[1]) > 0
    for first, second in zip(*found, strict=True):
        assert first.class_id == second.class_id
        assert abs(first.score - second.score) < 1e-4
        np.testing.assert_allclose(first.box, second.box, rtol=1e-3, atol=1e-4)


def test_lower_command_writes_both_files_and_they_detect(tmp_path: Path) -> None:
    _, meta = load_case("yolor-one-head")
    state = save_state(tmp_path / "x.pt", make_state("yolor-one-head", meta), "train")
    cfg, weights = tmp_path / "out.cfg", tmp_path / "out.weights"
    main(["lower", str(FOLDER / "yolor-one-head.cfg"), str(state), "-o", str(cfg), str(weights)])
    expected = lower_case("yolor-one-head", tmp_path)[1]
    model = darkparse.load(cfg, weights)
    assert model.network.dialect.name == "alexeyab"
    for key, value in expected.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


def test_lower_command_that_fails_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pt").write_bytes(b"nothing")
    cfg, weights = tmp_path / "out.cfg", tmp_path / "out.weights"
    with pytest.raises(SystemExit) as stopped:
        main(["lower", str(FOLDER / "lhalf.cfg"), str(tmp_path / "x.pt"), "-o", str(cfg), str(weights)])
    assert stopped.value.code == 2
    assert re.fullmatch(r"darkparse: error: .*\n", capsys.readouterr().err)
    assert not cfg.exists()
    assert not weights.exists()


def test_error_of_a_foreign_cfg_names_the_command() -> None:
    with pytest.raises(darkparse.CfgError, match="`darkparse lower CFG STATE -o OUT"):
        darkparse.compile(FOLDER / "yolor-one-head.cfg")
