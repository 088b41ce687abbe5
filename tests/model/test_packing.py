"""What `optimize` changes: the layout and the steps, not the numbers."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

import darkparse
from darkparse.detect.engines.torch_engine import TorchEngine
from darkparse.model.activations import Mish
from darkparse.model.optimize import winograd
from darkparse.model.optimize.fusion import Norm
from darkparse.model.optimize.half_precision import find_float32_layers
from darkparse.model.optimize.optimizer import make_optimized
from darkparse.model.optimize.packing import PackedConvolution, can_pack
from tests.layers.small_networks import SMALL, choose_dialect
from tests.model.samples import mark_repeated, narrow

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="needs torch with oneDNN, as its x86 builds are"
)
BOUND = 1e-4
"""Part of a layer's root mean square."""
HALF_DTYPES = [torch.bfloat16, torch.float16]
TINY = narrow("yolov3-tiny")


def trained(cfg: Path | str, dialect: str | None = None, size: int | None = None) -> darkparse.Darknet:
    """A module with other numbers in its batch norm than those of the start."""
    torch.manual_seed(0)
    model = darkparse.load(cfg, dialect=dialect, size=size)
    for module in model.modules():
        if isinstance(module, Norm):
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            for values in (module.running_mean, module.weight, module.bias):
                torch.nn.init.normal_(values, std=0.5)
    return model


@cache
def trained_small(path: Path) -> darkparse.Darknet:
    return trained(path, choose_dialect(path))


def assert_same_layers(model: darkparse.Darknet, other: darkparse.Darknet, x: torch.Tensor) -> None:
    with torch.inference_mode():
        for node, want, got in zip(model.network.nodes, model.layer_outputs(x), other.layer_outputs(x), strict=True):
            bound = BOUND * want.square().mean().sqrt().item()
            torch.testing.assert_close(
                got, want, rtol=0, atol=bound, equal_nan=True, msg=f"layer {node.index} [{node.kind}]"
            )


@needs_onednn
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_optimize_computes_same_outputs(path: Path) -> None:
    model = trained_small(path)
    model.reset_state()
    x = torch.rand(2, *model.network.input_shape.tensor)
    assert_same_layers(model, darkparse.optimize(model), x)


def moved_and_back(model: darkparse.Darknet) -> darkparse.Darknet:
    return copy.deepcopy(model).double().float()


def reloaded(model: darkparse.Darknet) -> darkparse.Darknet:
    other = darkparse.optimize(darkparse.load(model.network))
    other.load_state_dict(model.state_dict())
    return other


@needs_onednn
@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_optimized_model_at_other_size_or_copied_computes_same_outputs(dialect: str) -> None:
    cfg = "[net]\nwidth=32\nheight=32\nchannels=3\n"
    for size, stride, activation in ((3, 1, "leaky"), (3, 2, "logistic"), (1, 1, "linear")):
        cfg += "[convolutional]\nbatch_normalize=1\nfilters=24\npad=1\n"
        cfg += f"size={size}\nstride={stride}\nactivation={activation}\n"
    model = trained(cfg, dialect)
    assert_same_layers(model, make_optimized(model, folds=False), torch.rand(2, 3, 32, 32))
    fast = darkparse.optimize(model)
    ways: tuple[Callable[[darkparse.Darknet], darkparse.Darknet], ...]
    ways = (lambda same: same, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), moved_and_back, reloaded)
    for way in ways:
        other = way(fast)
        for size in (32, 48, 18):
            assert_same_layers(model, other, torch.rand(1, 3, size, size))
            assert all(part.weight.is_mkldnn for part in packed(other))
    assert not any(parameter.requires_grad for parameter in copy.deepcopy(fast).parameters())
    assert fast.to(torch.float64).layers[0].conv.weight.dtype == torch.float64  # type: ignore[union-attr]


def packed(model: torch.nn.Module) -> list[PackedConvolution]:
    return [part for part in model.modules() if isinstance(part, PackedConvolution)]


@needs_onednn
def test_optimize_fuses_activations_into_copy_only() -> None:
    model = darkparse.load(TINY)
    before = model.state_dict()
    fast = darkparse.optimize(model)
    convolutions = packed(fast)
    assert len(convolutions) == 13
    activations = [part.activation for part in convolutions if isinstance(part.activation, torch.nn.LeakyReLU)]
    assert len(activations) == 11
    assert all(activation.inplace for activation in activations)
    assert all(len(layer._modules) == 1 for layer in fast.layers if packed(layer))
    assert model.state_dict().keys() == before.keys()
    assert not packed(model)
    assert {value.dtype for value in fast.state_dict().values()} == {torch.float32}


def test_can_pack_tensor_on_other_device_returns_false() -> None:
    assert not can_pack(torch.empty(0, device="meta"))


def test_make_optimized_calls_function_after_each_layer_and_needs_no_gradients() -> None:
    calls = list[int]()
    model = darkparse.load("[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\n[connected]\noutput=2\n")
    fast = make_optimized(model, after_each=lambda: calls.append(len(calls)))
    assert calls == [0, 1]
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_optimize_dtype_without_kernels_still_runs() -> None:
    model = darkparse.load(TINY)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        want = model(x)
        for dtype, bound in ((torch.bfloat16, 0.05), (torch.float64, 1e-4)):
            fast = darkparse.optimize(model, dtype=dtype)
            assert bool(packed(fast)) == can_pack(torch.empty(0, dtype=dtype))
            for a, b in zip(fast(x.to(dtype)), want, strict=True):
                assert a.dtype == (torch.float32 if dtype == torch.bfloat16 else dtype)
                torch.testing.assert_close(a.float(), b, rtol=0, atol=bound * b.square().mean().sqrt().item())
    with pytest.raises(darkparse.DarkparseError, match="floating point"):
        darkparse.optimize(model, dtype=torch.int8)


def test_mish_equals_torch() -> None:
    x = torch.cat((torch.linspace(-110, 110, 300_001), torch.tensor([-3e38, 0.0, 1e4, 3e38, torch.inf])))
    want = torch.nn.functional.mish(x.double())
    for inplace in (False, True):
        torch.testing.assert_close(Mish(inplace)(x.clone()).double(), want, rtol=1e-6, atol=1e-30)
        for dtype in HALF_DTYPES:
            torch.testing.assert_close(
                Mish(inplace)(x.to(dtype)), torch.nn.functional.mish(x.to(dtype)), equal_nan=True
            )


def test_mish_of_any_memory_order_equals_torch_and_keeps_input_unless_in_place() -> None:
    maps = torch.randn(2, 6, 5, 7)
    for x in (maps, maps.contiguous(memory_format=torch.channels_last), maps[:, 2:5], maps.transpose(2, 3)[..., ::2]):
        before, want = x.clone(), torch.nn.functional.mish(x)
        torch.testing.assert_close(Mish()(x), want)
        assert torch.equal(x, before)
        torch.testing.assert_close(Mish(inplace=True)(x), want)
    for dense in (maps, maps.contiguous(memory_format=torch.channels_last)):
        assert Mish(inplace=True)(dense) is dense
    traced = torch.jit.trace(Mish(), maps)
    torch.testing.assert_close(traced(maps[:1]), torch.nn.functional.mish(maps[:1]))


def forward(detector: darkparse.Detector, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    assert isinstance(detector.engine, TorchEngine)
    return detector.engine.forward(x)


@needs_onednn
def test_optimized_detector_follows_model_dtype_and_copies() -> None:
    detector = darkparse.Detector(darkparse.load(TINY))
    x = torch.rand(1, 3, 64, 64)
    want = forward(detector, x)
    for other in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        assert all(torch.equal(a, b) for a, b in zip(want, forward(other, x), strict=True))
    detector.model.double()
    for a, b in zip(want, forward(detector, x), strict=True):
        assert b.dtype == torch.float64
        torch.testing.assert_close(a, b.float(), rtol=1e-3, atol=1e-5)


@needs_onednn
def test_winograd_equals_convolution_and_restores_filters() -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(144, 130, 3, 3), torch.randn(144)
    tiled = winograd.transform_filters(weight)
    assert tiled.shape == (36, 130, 144)
    torch.testing.assert_close(winograd.restore_filters(tiled), weight, rtol=0, atol=2e-6)
    for n, h, w in ((1, 20, 20), (2, 26, 37), (1, 23, 80)):
        x = torch.rand(n, 130, h, w)
        want = torch.nn.functional.conv2d(x.double(), weight.double(), bias.double(), padding=1)
        got = winograd.convolve(x.contiguous(memory_format=torch.channels_last), tiled, bias)
        torch.testing.assert_close(got.double(), want, rtol=0, atol=BOUND * want.square().mean().sqrt().item())


@needs_onednn
def test_optimize_uses_winograd_only_where_faster() -> None:
    cfg = "[net]\nwidth=24\nheight=24\nchannels=3\n"
    for filters, size in ((128, 1), (128, 3), (32, 3)):
        cfg += f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\npad=1\nactivation=mish\n"
    model = trained(cfg, "alexeyab")
    fast, direct = darkparse.optimize(model), darkparse.optimize(model, winograd=False)
    assert [part.weight.dim() for part in packed(fast)] == [4, 3, 4]
    assert [part.weight.dim() for part in packed(direct)] == [4, 4, 4]
    default = make_optimized(model)
    assert [part.weight.dim() for part in packed(default)] == [4, 3, 4]
    assert not any(isinstance(module, Norm) for module in default.modules())
    for size, dims in ((24, 3), (12, 4), (40, 3)):
        x = torch.rand(2, 3, size, size)
        assert_same_layers(model, fast, x)
        assert packed(fast)[1].weight.dim() == dims
        assert_same_layers(model, pickle.loads(pickle.dumps(fast)), x)


def test_find_float32_layers_returns_last_convolutions_and_what_follows_them() -> None:
    """A convolution that another one reads is not one of the last, and shared weights have one dtype."""
    assert find_float32_layers(darkparse.compile("yolov3-tiny")) == {15, 16, 22, 23}
    assert find_float32_layers(darkparse.compile("yolov7-tiny")) == {89, 90, 93, 94, 97, 98}
    assert find_float32_layers(darkparse.compile("darknet19")) == {23, 24, 25}
    convolution = "[convolutional]\nfilters=8\nsize=1\nactivation=linear\n"
    net = "[net]\nwidth=8\nheight=8\nchannels=3\n"
    head = "[yolo]\nmask=0\nanchors=1,1\nnum=1\nclasses=3\n"
    branches = net + convolution + head + "[route]\nlayers=-2\n" + convolution
    assert find_float32_layers(darkparse.compile(branches)) == {1, 3}
    shared = net + convolution + convolution + convolution + "share_index=1\n"
    assert find_float32_layers(darkparse.compile(shared, dialect="alexeyab")) == frozenset()


@pytest.mark.parametrize("dtype", HALF_DTYPES, ids=str)
def test_optimize_in_half_precision_computes_last_convolutions_in_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    model = trained(TINY)
    x = torch.rand(1, 3, 64, 64).to(dtype)
    darkparse.save(model, tmp_path / "x.weights")
    fast, fused = darkparse.optimize(model, dtype=dtype), darkparse.fuse(model)
    loaded = darkparse.load(model.network, tmp_path / "x.weights", dtype=dtype, optimize=True)
    with torch.inference_mode():
        outputs = fast.layer_outputs(x)
        for index in (15, 22):
            before, convolution, head = outputs[index - 1 : index + 2]
            assert before.dtype == dtype
            torch.testing.assert_close(convolution, fused.layers[index](before.float()), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(head, fused.layers[index + 1](convolution))
        for a, b in zip(fast(x), loaded(x), strict=True):
            assert torch.equal(a, b)


@needs_onednn
@pytest.mark.parametrize("path", mark_repeated(SMALL, by_option=False))
def test_optimize_in_bfloat16_runs_every_kind(path: Path) -> None:
    model = trained_small(path)
    model.reset_state()
    x = torch.rand(2, *model.network.input_shape.tensor)
    with torch.inference_mode():
        for want, got in zip(
            model.layer_outputs(x),
            darkparse.optimize(model, dtype=torch.bfloat16).layer_outputs(x.bfloat16()),
            strict=True,
        ):
            assert got.shape == want.shape


def test_load_optimize_equals_loaded_model(tmp_path: Path) -> None:
    model = trained(TINY)
    x = torch.rand(1, 3, 64, 64)
    for name in ("x.weights", "x.safetensors"):
        darkparse.save(model, tmp_path / name)
        fast = darkparse.load(model.network, tmp_path / name, optimize=True)
        assert fast.loaded is not None
        assert_same_layers(model, fast, x)


@needs_onednn
@pytest.mark.parametrize("tracer", ["torch.compiler.is_compiling", "torch.jit.is_tracing"])
def test_traced_convolution_keeps_its_plain_weights(tracer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=24\npad=1\nsize=3\nactivation=leaky\n"
    (part,) = packed(copy.deepcopy(darkparse.optimize(trained(cfg))))  # a copy starts with plain weights
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode(), monkeypatch.context() as patch:
        patch.setattr(tracer, lambda: True)
        plain = part(x)
        assert not part.weight.is_mkldnn
    with torch.inference_mode():
        torch.testing.assert_close(part(x), plain)
    assert part.weight.is_mkldnn
