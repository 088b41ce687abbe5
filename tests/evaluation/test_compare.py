"""`darkparse compare` finds mistakes that were made on purpose, and names them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import darkparse
from darkparse.cli import main
from darkparse.evaluation import Comparison, Dump, compare
from darkparse.evaluation.comparison import _has_counterpart
from darkparse.evaluation.known_deviations import list_trials
from darkparse.model.darknet import Stage
from darkparse.model.modules import Reorg3d
from tests.detect.reference import picture, tiny_weights

CFG = """
[net]
width=16
height=16
channels=3
[convolutional]
filters=8
size=3
stride=1
pad=1
batch_normalize=1
activation=leaky
[maxpool]
size=2
stride=1
[reorg]
stride=2
[convolutional]
filters=8
size=3
stride=2
pad=1
batch_normalize=1
activation=leaky
[upsample]
stride=2
[route]
layers=-1,-3
"""


def network(dialect: str = "pjreddie") -> darkparse.Darknet:
    torch.manual_seed(0)
    model = darkparse.build(darkparse.compile(CFG, dialect=dialect), initialize=True).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.fill_(1e-4)
        elif name.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
    return model


def against(
    model: darkparse.Darknet, layer: int, wrong: Any, tmp_path: Path, image: torch.Tensor | None = None
) -> Comparison:
    """Compare with a dump of the model in which one layer is another function of its inputs."""
    image = torch.rand(1, 3, 16, 16) if image is None else image
    with torch.inference_mode():
        outputs = model.layer_outputs(image)
        inputs = [outputs[i] if i >= 0 else image for i in model.network.nodes[layer].inputs]
        outputs = [*outputs[:layer], wrong(*inputs), *outputs[layer + 1 :]]
    path = tmp_path / "dump.npz"
    layers: dict[str, Any] = {f"layers.{i}": o.numpy() for i, o in enumerate(outputs)}
    np.savez(path, input=image.numpy(), **layers)
    return compare(model, torch.zeros_like(image), Dump(path))


def test_compare_model_with_itself_agrees(tmp_path: Path) -> None:
    model = network()
    found = against(model, 1, model.layers[1], tmp_path)
    assert found.first is None
    assert len(found.differences) == 6


def test_compare_epsilon_of_other_dialect_is_named(tmp_path: Path) -> None:
    for one, other in (("pjreddie", "alexeyab"), ("alexeyab", "pjreddie")):
        theirs = network(other)
        theirs.load_state_dict(network(one).state_dict())
        found = against(network(one), 0, theirs.layers[0], tmp_path)
        assert found.first is not None
        assert found.first.node.index == 0
        assert "batch norm as in" in (found.cause or "")
        assert ("AlexeyAB" if other == "alexeyab" else "pjreddie") in (found.cause or "")
        assert found.with_cause < 1e-4


class Wrong(nn.Module):
    """A convolution stage with the input padded behind and not around it."""

    def __init__(self, stage: Any) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        conv = self.stage.conv
        x = F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, conv.bias, conv.stride)
        out: torch.Tensor = self.stage.activation(self.stage.norm(x))
        return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "wrong", "cause"),
    [
        (0, lambda m: lambda x: m.layers[0](x.flip(1)), "blue, green, red"),
        (0, lambda m: lambda x: F.leaky_relu(m.layers[0].norm(m.layers[0].conv(x)), 0.01), "slope 0.01"),
        (0, lambda m: lambda x: m.layers[0].norm(m.layers[0].conv(x)), "no activation"),
        (1, lambda m: lambda x: F.max_pool2d(F.pad(x - 5, (0, 1, 0, 1), value=-5), 2, 1) + 5, "padded with zeros"),
        (1, lambda m: lambda x: F.max_pool2d(F.pad(x, (1, 0, 1, 0), value=-9e9), 2, 1), "more before the map"),
        (2, lambda m: Reorg3d(stride=2, reverse=False), "[reorg3d]"),
        (2, lambda m: lambda x: F.pixel_unshuffle(x, 2), "pixel_unshuffle"),
        (3, lambda m: Wrong(m.layers[3]), "TensorFlow's SAME"),
        (4, lambda m: lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "bilinear upsampling"),
        (5, lambda m: lambda a, b: torch.cat((b, a), 1), "reverse order"),
        (3, lambda m: lambda x: torch.randn_like(m.layers[3](x)), None),
    ],
)
def test_compare_mistake_is_named(layer: int, wrong: Any, cause: str | None, tmp_path: Path) -> None:
    model = network()
    torch.manual_seed(1)
    found = against(model, layer, wrong(model), tmp_path)
    assert found.first is not None
    assert found.first.node.index == layer
    if cause is None:
        assert found.cause is None
    else:
        assert cause in (found.cause or "")


POOLS = {
    "size 2": "size=2\nstride=1\n",
    "size 2, by halves": "size=2\nstride=2\n",
    "size 3": "size=3\nstride=1\n",
    "size 3, by halves": "size=3\nstride=2\n",
    "size 5": "size=5\nstride=1\n",
    "size 13": "size=13\nstride=1\n",
    "padding 0": "size=2\nstride=2\npadding=0\n",
    "padding 3": "size=3\nstride=2\npadding=3\n",
    "two strides": "size=3\nstride_x=2\nstride_y=1\n",
    "blurred": "size=2\nstride=2\nantialiasing=1\n",
    "blurred by two taps": "size=3\nstride=2\nantialiasing=2\n",
    "over channels": "maxpool_depth=1\nout_channels=1\n",
    "over every fourth channel": "maxpool_depth=1\nout_channels=4\n",
}


def _wrong_pools(node: darkparse.Node, stage: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """A pooling as others compute it, written with torch's functions alone."""
    layer: Any = node.layer
    if layer.maxpool_depth:
        blocks = x.unflatten(1, (layer.out_channels, -1))
        return {"neighboring channels": blocks.amax(2), "mean over the channels": blocks.mean(2)}
    size, strides = layer.size, (layer.stride_y, layer.stride_x)
    own = (1, 1) if layer.antialiasing else strides
    blur = stage.blur if layer.antialiasing else lambda y: y
    before = layer.padding // 2
    behind = layer.padding - before

    def padded(first: int, last: int, value: float) -> torch.Tensor:
        out: torch.Tensor = blur(F.max_pool2d(F.pad(x, (first, last) * 2, value=value), size, own))
        return out

    return {
        "padded with zeros": padded(before, behind, 0.0),
        "more before the map": padded(behind, before, -9e9),
        "without padding": padded(0, 0, 0.0),
        "on both sides, size // 2": padded(size // 2, size // 2, -9e9),
        "mean instead of the maximum": blur(F.avg_pool2d(F.pad(x, (before, behind) * 2), size, own)),
        "without the blur": F.max_pool2d(F.pad(x, (before, behind) * 2, value=-9e9), size, strides),
    }


@pytest.mark.parametrize("options", POOLS.values(), ids=POOLS)
def test_compare_wrong_max_pooling_is_named(options: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    cfg = CFG.partition("[maxpool]")[0].replace("leaky", "linear") + f"[maxpool]\n{options}"
    for side in (16, 17):
        model = darkparse.build(darkparse.compile(cfg, dialect="alexeyab", size=side), initialize=True).eval()
        image, named = torch.rand(1, 3, side, side), 0
        with torch.inference_mode():
            x, right = model.layer_outputs(image)
            pools = _wrong_pools(model.network.nodes[1], model.layers[1], x)
            for wrong in pools.values():
                if wrong.shape != right.shape or torch.allclose(wrong, right):
                    continue
                found = against(model, 1, lambda *_, wrong=wrong: wrong, tmp_path, image)
                assert found.first is not None
                assert found.first.node.index == 1
                alike = [words for words, other in pools.items() if torch.equal(other, wrong)]
                assert any(words in (found.cause or "") for words in alike), f"{alike[0]} is called {found.cause}"
                named += 1
        assert named > 0


def divide_by_root(x: torch.Tensor, variance: torch.Tensor, eps: float) -> torch.Tensor:
    return x / (variance + eps).sqrt()[:, None, None]


def add_to_root(x: torch.Tensor, variance: torch.Tensor, eps: float) -> torch.Tensor:
    return x / (variance.sqrt() + eps)[:, None, None]


@pytest.mark.parametrize(
    ("tool", "normalize", "eps"),
    [
        ("pjreddie's", add_to_root, 1e-6),
        ("AlexeyAB's", divide_by_root, 1e-5),
        ("OpenCV", divide_by_root, 1e-6),
        ("darkflow", add_to_root, 1e-5),
        ("PyTorch_YOLOv4", divide_by_root, 1e-4),
        ("Keras", divide_by_root, 1e-3),
        ("without", divide_by_root, 0.0),
    ],
)
def test_trial_of_a_tool_has_its_batch_norm(tool: str, normalize: Any, eps: float) -> None:
    cfg = "[net]\nwidth=2\nheight=2\nchannels=3\n[convolutional]\nfilters=2\nbatch_normalize=1\nactivation=linear\n"
    model = darkparse.build(darkparse.compile(cfg), initialize=True).eval()
    state, stage = model.state_dict(), model.layers[0]
    assert isinstance(stage, Stage)
    variance = state["layers.0.norm.running_var"].fill_(1e-6)
    x = torch.rand(1, 3, 2, 2)
    (output,) = (run() for name, run in list_trials(model.network.nodes[0], stage, (x,)) if tool in name)
    expected = normalize(F.conv2d(x, state["layers.0.conv.weight"]), variance, eps)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_compare_skips_causes_that_change_the_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> torch.Tensor:
        raise RuntimeError("the shapes do not fit")

    def make_trials(node: Any, stage: Any, inputs: Any) -> Any:
        return iter([("fails", fail), ("smaller", lambda: torch.zeros(3)), ("doubled", lambda: 2 * stage(*inputs))])

    monkeypatch.setattr("darkparse.evaluation.comparison.list_trials", make_trials)
    model = network()
    found = against(model, 3, lambda x: 2 * model.layers[3](x), tmp_path)
    assert found.cause == "doubled"
    assert found.with_cause == pytest.approx(0, abs=1e-5)


def test_trials_replace_the_activation_by_mistaken_ones() -> None:
    model = network()
    stage = model.layers[0]
    assert isinstance(stage, Stage)
    names = [name for name, _ in list_trials(model.network.nodes[0], stage, (torch.rand(1, 3, 16, 16),))]
    assert "no activation" in names
    assert all(names)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"input": np.zeros((3, 16, 16))}, "no layers in the file"),
        ({"0": np.zeros(3)}, r"wrong size of layer 0 \[convolutional\], got 3 values; expected 2,048"),
        ({"first": np.zeros(3)}, "array 'first' does not name a layer"),
    ],
)
def test_compare_with_arrays_that_do_not_fit_raises(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(darkparse.DarkparseError, match=message):
        compare(network(), torch.rand(1, 3, 16, 16), Dump(tmp_path / "x.npz"))


def test_compare_with_reference_of_no_layer_raises() -> None:
    class Nothing:
        input = None

        def output(self, *_: object) -> None:
            return None

    reference: Any = Nothing()
    with pytest.raises(darkparse.DarkparseError, match="no output for any of the layers 0 to 5"):
        compare(network(), torch.rand(1, 3, 16, 16), reference)


def test_compare_nan_differs(tmp_path: Path) -> None:
    found = against(network(), 2, lambda x: Reorg3d(stride=2, reverse=False)(x) * torch.nan, tmp_path)
    assert found.first is not None
    assert found.first.worst == np.inf


def test_compare_command_exits_by_first_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights = tiny_weights(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    detector = darkparse.Detector.load(cfg, weights, fold=False, engine="torch")
    image = torch.from_numpy(detector.prepare(tmp_path / "a.png").values[None])
    with torch.inference_mode():
        outputs = detector.model.layer_outputs(image)
    good, bad, other = (tmp_path / f"{name}.npz" for name in ("good", "bad", "other"))
    dump: dict[str, Any] = {str(i): o.numpy() for i, o in enumerate(outputs)}
    np.savez(good, **dump)
    np.savez(bad, **(dump | {"1": 1.5 * dump["1"]}))
    np.savez(other, layer=np.zeros(3))
    arguments = ["compare", str(cfg), str(weights), str(tmp_path / "a.png"), "--against"]
    assert run([*arguments, str(good)]) == 0
    assert "3 layers agree" in capsys.readouterr().out
    assert run([*arguments, str(bad), "--all"]) == 1
    out = capsys.readouterr().out
    assert "L1 conv 1×1 /2, 21" in out
    assert "1 layers before it agree" in out
    assert run([*arguments, str(bad), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["first"] == 1
    for wrong, message in (
        (other, "does not name a layer"),
        (tmp_path / "none.npz", "does not exist"),
        (cfg, "expected an .npz file"),
    ):
        assert run([*arguments, str(wrong)]) == 2
        assert message in capsys.readouterr().err


def test_compare_command_rejects_options_without_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg, weights = tiny_weights(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    arguments = ["compare", str(cfg), str(weights), str(tmp_path / "a.png"), "--against", str(cfg)]
    for option in (
        ["--engine", "onnxruntime"],
        ["--device", "cuda"],
        ["--half"],
        ["--names", "x"],
        ["--use-class-map"],
    ):
        assert run([*arguments, *option]) == 2
        assert f"No such option '{option[0]}'" in capsys.readouterr().err


def run(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
def test_compare_command_against_onnx_names_first_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install 'darkparse[onnxruntime]'")
    cfg, weights = tiny_weights(tmp_path)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    model = darkparse.load(cfg, weights)
    torch.onnx.export(model, (torch.rand(1, 3, 32, 32),), str(tmp_path / "same.onnx"), dynamo=False)
    with torch.no_grad():
        model.layers[1].conv.weight *= 2  # type: ignore[union-attr, operator]
    torch.onnx.export(model, (torch.rand(1, 3, 32, 32),), str(tmp_path / "other.onnx"), dynamo=False)
    arguments = ["compare", str(cfg), str(weights), str(tmp_path / "a.png"), "--against"]
    assert run([*arguments, str(tmp_path / "same.onnx")]) == 0
    assert run([*arguments, str(tmp_path / "other.onnx")]) == 1
    assert "L1 conv" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "other", "expected"), [(1.0, 1.0, True), (np.nan, np.nan, True), (1.0, 2.0, False)])
def test_head_has_counterpart_only_among_the_outputs_of_the_reference(
    value: float, other: float, expected: bool
) -> None:
    node: Any = SimpleNamespace(layer=SimpleNamespace(role="head"), index=0, inputs=())
    theirs = np.full((1, 4), value, np.float32)
    reference: Any = SimpleNamespace(output=lambda *_: theirs, outputs=[np.full((1, 4), other, np.float32)])
    assert _has_counterpart(node, [torch.zeros(1, 4)], reference, 0.001) is expected


def test_layer_other_than_a_head_has_a_counterpart_in_any_value() -> None:
    node: Any = SimpleNamespace(layer=SimpleNamespace(role="map"), index=0, inputs=())
    reference: Any = SimpleNamespace(output=lambda *_: None, outputs=[])
    assert _has_counterpart(node, [torch.zeros(1, 4)], reference, 0.001)
