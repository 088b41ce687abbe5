"""The module: a plain nn.Module that computes what Darknet computes and holds on to no more than it must."""

from __future__ import annotations

import copy
import gc
import io
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import darkparse
from darkparse.model import Darknet
from tests.conftest import SHARED, needs_shared

RESIDUAL = """
[net]
width=32
height=32
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=4
size=1
activation=mish

[convolutional]
filters=8
size=3
pad=1
activation=relu

[shortcut]
from=-3
activation=leaky

[maxpool]
size=2
stride=2

[upsample]
stride=2

[route]
layers=-1,0

[convolutional]
filters=21
activation=linear

[yolo]
mask=0,1,2
anchors=1,2,3,4,5,6
num=3
classes=2
"""


@pytest.fixture
def model() -> Darknet:
    torch.manual_seed(0)
    return darkparse.load(RESIDUAL)


def _picture(batch: int = 2, size: tuple[int, int] = (32, 32)) -> Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def _heads(model: Darknet, x: Tensor) -> tuple[Tensor, ...]:
    out = model(x)
    assert isinstance(out, tuple)
    return out


def test_forward_with_heads_returns_tuple(model: Darknet) -> None:
    x = _picture()
    (head,) = _heads(model, x)
    assert torch.equal(head, model.layer_outputs(x)[-1])


def test_forward_without_heads_returns_last_output() -> None:
    model = darkparse.load("[net]\ninputs=5\n[connected]\noutput=3\n[softmax]\n[cost]\n")
    out = model(torch.rand(4, 5))
    assert isinstance(out, Tensor)
    torch.testing.assert_close(out.sum(1), torch.ones(4))


def test_state_dict_keys_name_layer_and_parameter(model: Darknet) -> None:
    keys = set(model.state_dict())
    assert {"layers.0.conv.weight", "layers.0.norm.running_var", "layers.2.conv.bias"} <= keys
    assert "layers.0.conv.bias" not in keys, "batch norm has the bias"


def test_initialize_draws_darknets_start() -> None:
    model = darkparse.build(darkparse.compile("yolov3-tiny"), initialize=True)
    weights = model.state_dict()["layers.2.conv.weight"]
    bound = (2 / (9 * 16)) ** 0.5
    assert weights.abs().max() <= bound
    assert weights.std() == pytest.approx(bound / 3**0.5, rel=0.03)
    assert model.state_dict()["layers.2.norm.bias"].abs().max() == 0
    assert torch.equal(model.state_dict()["layers.2.norm.weight"], torch.ones(32))
    with torch.inference_mode():
        assert all(out.isfinite().all() for out in _heads(model.eval(), torch.rand(1, 3, 64, 64)))


def test_build_leaves_tensors_on_meta_device() -> None:
    model = darkparse.build(darkparse.compile("yolov4"))
    assert all(tensor.is_meta for tensor in model.state_dict().values())
    assert not model.training


def test_forward_frees_outputs_after_last_read(model: Darknet) -> None:
    gc.freeze()  # what earlier tests left need not be collected
    alive: dict[int, weakref.ref[Tensor]] = {}
    held: list[int] = []

    def note(index: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            alive[index] = weakref.ref(output)
            held.append(sum(ref() is not None for ref in alive.values()))

        return hook

    for index, layer in enumerate(model.layers):
        layer.register_forward_hook(note(index))
    with torch.inference_mode():
        heads = _heads(model, _picture())
    gc.collect()
    assert [index for index, ref in alive.items() if ref() is not None] == [8]
    assert max(held) <= 4, f"of 9 layers {held} were alive"
    assert len(heads) == 1


def test_layer_outputs_are_not_overwritten(model: Darknet) -> None:
    copies: list[Tensor] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, inputs, output: copies.append(output.clone()))
    with torch.inference_mode():
        for kept, at_once in zip(model.layer_outputs(_picture()), copies, strict=True):
            assert torch.equal(kept, at_once)


def test_layer_outputs_leave_input_unchanged(model: Darknet) -> None:
    x = _picture()
    before = x.clone()
    model.layer_outputs(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 4, 32, 32), (2, 3072)])
def test_forward_of_wrong_shape_raises(model: Darknet, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected a tensor \(N, 3, H, W\), got"):
        model(torch.rand(shape))


def test_copied_and_pickled_model_computes_same_outputs(model: Darknet) -> None:
    x = _picture()
    (want,) = _heads(model, x)
    assert torch.equal(_heads(copy.deepcopy(model), x)[0], want)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    assert torch.equal(_heads(torch.load(buffer, weights_only=False), x)[0], want)


def test_load_state_dict_by_name_computes_same_outputs(model: Darknet) -> None:
    other = darkparse.build(model.network)
    other.load_state_dict(model.state_dict(), assign=True)
    x = _picture()
    assert torch.equal(_heads(other, x)[0], _heads(model, x)[0])


NO_WEIGHTS = "no weights yet; load weights or build it with initialize=True"


@pytest.mark.parametrize(
    "use",
    [
        lambda empty: empty(_picture()),
        lambda empty: nn.Sequential(empty)(_picture()),
        lambda empty: empty.layer_outputs(_picture()),
        lambda empty: empty.to("cpu"),
        lambda empty: empty.half().cpu(),
        lambda empty: copy.deepcopy(empty)(_picture()),
        # Importing torch's compiler takes longer than all other cases.
        pytest.param(
            lambda empty: torch.compile(empty, backend="eager")(_picture()), id="compile", marks=pytest.mark.slow
        ),
        pytest.param(
            lambda empty: torch.export.export(empty, (_picture(),), strict=False), id="export", marks=pytest.mark.slow
        ),
    ],
    ids=["call", "in another", "layers", "to", "half", "copy", None, None],
)
def test_use_without_weights_raises(use: Any) -> None:
    with pytest.raises(darkparse.WeightsError, match=NO_WEIGHTS):
        use(darkparse.build(RESIDUAL))


@pytest.mark.parametrize("wrap", [lambda module: module, nn.Sequential], ids=["itself", "in another"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_load_state_dict_into_model_without_weights_copies_values(
    model: Darknet, wrap: Any, dtype: torch.dtype
) -> None:
    donor = copy.deepcopy(model).to(dtype)
    empty = darkparse.build(RESIDUAL)
    wrap(empty).load_state_dict(wrap(donor).state_dict())
    for key, value in donor.state_dict().items():
        assert torch.equal(empty.state_dict()[key], value)
        assert empty.state_dict()[key].data_ptr() != value.data_ptr()
    assert next(empty.parameters()).dtype is dtype
    assert next(empty.parameters()).requires_grad


def test_load_partial_state_dict_initializes_the_rest(model: Darknet) -> None:
    empty, (key, value) = darkparse.build(RESIDUAL), next(iter(model.state_dict().items()))
    empty.load_state_dict({key: value}, strict=False)
    assert torch.equal(empty.state_dict()[key], value)
    assert all(one.isfinite().all() for one in _heads(empty, _picture()))


@pytest.mark.parametrize("strict", [True, False])
def test_load_state_dict_with_unknown_key_reports_it(model: Darknet, strict: bool) -> None:
    values = {**model.state_dict(), "head.weight": torch.zeros(1)}
    if strict:
        with pytest.raises(RuntimeError, match=r"Unexpected key.*head\.weight"):
            model.load_state_dict(values)
    else:
        assert model.load_state_dict(values, strict=False).unexpected_keys == ["head.weight"]


@pytest.mark.parametrize("use", [lambda model: model(_picture()), darkparse.optimize], ids=["call", "optimize"])
def test_use_of_model_with_removed_layer_raises(model: Darknet, use: Any) -> None:
    del model.layers[-1]
    with pytest.raises(ValueError, match="shorter"):
        use(model)


def test_torchinfo_and_torchview_accept_model(model: Darknet) -> None:
    torchinfo, torchview = pytest.importorskip("torchinfo"), pytest.importorskip("torchview")
    summary = torchinfo.summary(copy.deepcopy(model), input_size=(1, 3, 32, 32), verbose=0)
    assert summary.total_params == model.network.cost.params
    drawn = torchview.draw_graph(copy.deepcopy(model), input_size=(1, 3, 32, 32), expand_nested=True)
    assert drawn.visual_graph.source.count("Conv2d") == sum(isinstance(m, nn.Conv2d) for m in model.modules())
    on_meta = torchview.draw_graph(darkparse.build(RESIDUAL), input_size=(1, 3, 32, 32), device="meta")
    assert "Conv2d" in on_meta.visual_graph.source
    with pytest.raises(RuntimeError) as failed:
        torchinfo.summary(darkparse.build(RESIDUAL), input_size=(1, 3, 32, 32), verbose=0)
    assert NO_WEIGHTS in str(failed.value.__cause__)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_model_in_other_dtype_is_close(model: Darknet, dtype: torch.dtype) -> None:
    x = _picture()
    (want,) = _heads(model, x)
    (got,) = _heads(copy.deepcopy(model).to(dtype), x.to(dtype))
    assert got.dtype == dtype
    bound = 1e-5 if dtype is torch.float64 else 0.1
    torch.testing.assert_close(got.float(), want, rtol=bound, atol=bound)


def test_convolutional_network_runs_at_other_size(model: Darknet) -> None:
    at_64 = darkparse.build(darkparse.compile(RESIDUAL, size=(64, 96)))
    at_64.load_state_dict(model.state_dict(), assign=True)
    x = _picture(size=(64, 96))
    for here, there in zip(model.layer_outputs(x), at_64.layer_outputs(x), strict=True):
        assert torch.equal(here, there)


@pytest.mark.slow
def test_torch_compile_of_model_has_no_graph_break(model: Darknet) -> None:
    x = _picture()
    with torch.inference_mode():
        (got,) = torch.compile(model, fullgraph=True)(x)
        torch.testing.assert_close(got, _heads(model, x)[0], rtol=1e-4, atol=1e-5)


@needs_shared
@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolo-fastest-1.1-xl", "MobileNetV2-YOLO-Fastest-voc"])
def test_trained_model_saves_same_bytes(name: str, tmp_path: Path) -> None:
    weights = SHARED / "models" / f"{name}.weights"
    model = darkparse.load(SHARED / "models" / f"{name}.cfg", weights)
    darkparse.save_weights(model, tmp_path / "again.weights")
    assert (tmp_path / "again.weights").read_bytes() == weights.read_bytes()


@pytest.mark.slow
@needs_shared
def test_trained_model_scores_dog_bicycle_and_car_highest() -> None:
    """Objectness × class probability over all cells of both heads;
    16 is a dog, 1 a bicycle, 2 a car in COCO's order."""
    image_module = pytest.importorskip("PIL.Image")
    models = SHARED / "models"
    model = darkparse.load(models / "yolo-fastest-1.1-xl.cfg", models / "yolo-fastest-1.1-xl.weights")
    shape = model.network.input_shape
    picture = image_module.open(SHARED / "images" / "dog.png").convert("RGB").resize((shape.w, shape.h))
    x = (
        torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        .reshape(1, shape.h, shape.w, 3)
        .permute(0, 3, 1, 2)
        / 255
    )
    best = torch.zeros(80)
    with torch.inference_mode():
        for head in _heads(model, x):
            entries = head[0].unflatten(0, (3, 85))
            best = torch.maximum(best, (entries[:, 4:5] * entries[:, 5:]).amax((0, 2, 3)))
    assert set(best.topk(3).indices.tolist()) == {16, 1, 2}
    assert best[[16, 1, 2]].min() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov1-tiny", "yolov2-tiny", "yolov3-tiny", "yolov4-tiny", "darknet19", "darknet53"])
def test_whole_network_at_other_size_equals_single_images(name: str) -> None:
    """Each image of a batch of three equals a batch of one, at a size that is not the cfg's (or its own,
    with fixed vectors)."""
    size = None if name == "yolov1-tiny" else (96, 160)
    torch.manual_seed(0)
    model = darkparse.load(name, size=size)
    shape = model.network.input_shape
    x = torch.rand(3, *shape.tensor)
    with torch.inference_mode():
        together = model.layer_outputs(x)
        for image in range(3):
            for node, whole, one in zip(
                model.network.nodes, together, model.layer_outputs(x[image : image + 1]), strict=True
            ):
                error = (whole[image : image + 1] - one).abs().max() / one.square().mean().sqrt().clamp(min=1e-6)
                assert error < 1e-4, f"layer {node.index} [{node.kind}] is off by {error:.1e} of its rms"


@pytest.mark.slow
def test_float32_outputs_are_close_to_float64() -> None:
    """The bound of 1e-4 of a layer's rms leaves room:
    rounding through all of yolov4-tiny takes less than half of it."""
    torch.manual_seed(0)
    model = darkparse.load("yolov4-tiny", size=128)
    x = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        single = model.layer_outputs(x)
        double = copy.deepcopy(model).double().layer_outputs(x.double())
    worst = max(((a - b).abs().max() / b.square().mean().sqrt()).item() for a, b in zip(single, double, strict=True))
    assert worst < 5e-5


def test_load_accepts_network_in_place_of_cfg(tmp_path: Path) -> None:
    network = darkparse.edit(darkparse.compile("yolov3-tiny", size=64), classes=3)
    model = darkparse.load(network)
    assert model.network is network
    darkparse.save_weights(model, tmp_path / "x.weights")
    assert darkparse.load(network, tmp_path / "x.weights").network is network
    assert darkparse.inspect_weights(network, tmp_path / "x.weights").fits
    assert darkparse.build("yolov3-tiny").network.name == "yolov3-tiny"
    assert str(darkparse.explain("yolov3-tiny")) == str(darkparse.explain(darkparse.compile("yolov3-tiny")))
    assert darkparse.draw("yolov3-tiny").dot == darkparse.draw(darkparse.compile("yolov3-tiny")).dot
    with pytest.raises(darkparse.DarkparseError, match="is already compiled; pass its cfg"):
        darkparse.load(network, size=32)


@pytest.mark.parametrize("suffix", ["weights", "npz", "safetensors"])
@pytest.mark.parametrize("upto", [-1, 0, 3])
def test_save_up_to_a_layer_that_does_not_exist_raises(upto: int, suffix: str, tmp_path: Path) -> None:
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\n[avgpool]\n"
    model = darkparse.build(text, initialize=True)
    with pytest.raises(darkparse.WeightsError, match=rf"upto must be .*got {upto}"):
        darkparse.save(model, tmp_path / f"x.{suffix}", upto=upto)
    assert not list(tmp_path.iterdir())
