"""What holds for every layer kind, over the registry: a kind without a small cfg here fails."""

from __future__ import annotations

import copy
import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import darkparse
from darkparse.layers import REGISTRY, Layer, LayerContext, Layout, Shape
from darkparse.layers.convolutional import Convolutional
from darkparse.layers.dialect import DIALECTS
from darkparse.layers.pooling import Maxpool
from darkparse.network.analysis.receptive import get_receptive_fields
from tests.conftest import DATA, examples, original_params, shipped_cfgs
from tests.layers.small_networks import SMALL, choose_dialect, compile_small, find_distinct_dialects

over_all = pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)


def _small_network(path: Path) -> darkparse.Network:
    return compile_small(path, choose_dialect(path))


def _input(network: darkparse.Network, batch: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, *network.input_shape.tensor, generator=generator)


def test_small_cfgs_cover_every_kind() -> None:
    seen = {node.kind for path in SMALL for node in compile_small(path, "alexeyab").nodes}
    assert {cls.kind for cls in REGISTRY.values()} == seen


def test_register_layer_with_taken_name_raises() -> None:
    with pytest.raises(ValueError, match=r"\[conv\] is already registered for Convolutional"):

        @darkparse.layers.layer("other", "conv")
        class Other(Layer):
            """A second owner of a name."""

    assert "other" not in REGISTRY


@over_all
def test_inferred_shapes_equal_module_outputs(path: Path) -> None:
    network = _small_network(path)
    model = darkparse.build(network, initialize=True).eval()
    x = _input(network)
    with torch.inference_mode():
        outputs = model.layer_outputs(x)
    for node, out in zip(network.nodes, outputs, strict=True):
        assert out.shape == (2, *node.out_shape.tensor), f"layer {node.index} [{node.kind}]"


@over_all
def test_declared_tensors_equal_state_dict(path: Path) -> None:
    for dialect in find_distinct_dialects(path):
        network = compile_small(path, dialect)
        state = darkparse.build(network).state_dict()
        declared = {f"layers.{n.index}.{t.path}": t.shape for n in network.nodes for t in n.tensors}
        assert {name: tuple(tensor.shape) for name, tensor in state.items()} == declared, dialect


@over_all
def test_counted_parameters_equal_torch(path: Path) -> None:
    network = _small_network(path)
    assert sum(p.numel() for p in darkparse.build(network).parameters()) == network.cost.params


@over_all
def test_save_weights_after_load_writes_same_bytes(path: Path, tmp_path: Path) -> None:
    for dialect in find_distinct_dialects(path):
        network = compile_small(path, dialect)
        darkparse.save_weights(darkparse.build(network, initialize=True), tmp_path / "a.weights")
        assert (tmp_path / "a.weights").stat().st_size == 20 + 4 * network.stored_floats
        darkparse.save_weights(darkparse.load(network, tmp_path / "a.weights"), tmp_path / "b.weights")
        assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes(), dialect


@over_all
def test_batch_outputs_equal_single_images(path: Path) -> None:
    network = _small_network(path)
    model = darkparse.build(network, initialize=True).eval().double()
    x = _input(network, batch=3).double()
    with torch.inference_mode():
        together = model.layer_outputs(x)
        for image in range(3):
            model.reset_state()
            for node, whole, one in zip(
                network.nodes, together, model.layer_outputs(x[image : image + 1]), strict=True
            ):
                torch.testing.assert_close(
                    whole[image : image + 1], one, rtol=1e-9, atol=1e-9, msg=f"layer {node.index} [{node.kind}]"
                )


@over_all
def test_gradients_reach_every_parameter(path: Path) -> None:
    network = _small_network(path)
    model = darkparse.build(network, initialize=True).train()
    x = _input(network).requires_grad_()
    outputs = model.layer_outputs(x)
    sum((out.square().sum() for out in outputs), torch.zeros(())).backward()
    finite = all(torch.isfinite(out).all() for out in outputs)  # lrn_big takes a root of negative sums, as Darknet does
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all() or not finite, name
    assert x.grad is not None or network.nodes[0].inputs == ()


@over_all
def test_network_cost_is_sum_of_layer_costs(path: Path) -> None:
    network = _small_network(path)
    assert network.cost.params == sum(node.cost.params for node in network.nodes)
    assert network.cost.macs == sum(node.cost.macs for node in network.nodes)
    for node in network.nodes:
        assert node.cost.activations == node.out_shape.size
        assert node.weights <= node.params
        if node.weights and node.kind != "implicit":
            assert node.macs > 0, f"layer {node.index} [{node.kind}] has weights and multiplies nothing"


def seen_by_outputs(network: darkparse.Network) -> tuple[int, ...] | None:
    """Height and width of what the last layer's middle values see, by oracle: a row or column that is not a number
    spoils them. At most what the layers state is allowed; None where no map comes in and out."""
    shape, (stated, *_) = network.input_shape, reversed(get_receptive_fields(network))
    if stated is None or any(x.layout is not Layout.MAP for x in (shape, network.nodes[-1].out_shape)):
        return None
    model, seen = darkparse.build(network, initialize=True, dtype=torch.double).eval(), []
    for axis, length in ((2, shape.h), (3, shape.w)):
        pictures = torch.ones(length, *shape.tensor, dtype=torch.double)
        pictures.transpose(2, axis)[range(length), :, range(length)] = torch.nan
        with torch.no_grad():
            spoiled = model.layer_outputs(pictures)[-1].transpose(2, axis).isnan().any(3).any(1)
        quarter = spoiled.shape[1] // 4
        places = [spoiled[:, i].nonzero() for i in range(quarter, spoiled.shape[1] - quarter)]
        seen.append(max((int(p.max() - p.min()) + 1 for p in places if len(p)), default=0))
    assert all(mine <= its for mine, its in zip(seen, stated, strict=True)), f"{network.nodes[-1]} sees {seen}"
    return tuple(seen)


@over_all
def test_output_depends_only_on_declared_windows(path: Path) -> None:
    seen_by_outputs(_small_network(path))


MULTIPLYING = {"scale_channels", "sam", "batchnorm", "normalization", "l2norm", "crop"}


def test_layers_without_weights_that_multiply_have_macs() -> None:
    for path in SMALL:
        for node in compile_small(path, "alexeyab").nodes:
            if node.kind in MULTIPLYING and not getattr(node.layer, "noadjust", False):
                assert node.macs >= node.out_shape.size, node.kind


@pytest.mark.slow
@pytest.mark.parametrize("path", shipped_cfgs(), ids=lambda p: p.stem)
def test_shipped_network_module_has_inferred_shapes(path: Path) -> None:
    _check_whole_network(path)


@pytest.mark.parametrize("path", original_params())
def test_original_network_module_has_inferred_shapes(path: Path) -> None:
    _check_whole_network(path)


def _check_whole_network(path: Path) -> None:
    """On torch's meta device: shapes only, no memory."""
    network = darkparse.compile(path)
    model = darkparse.build(network)
    x = torch.empty(1, *network.input_shape.tensor, device="meta")
    for node, out in zip(network.nodes, model.layer_outputs(x), strict=True):
        assert out.shape == (1, *node.out_shape.tensor), f"layer {node.index} [{node.kind}]"
    assert sum(p.numel() for p in model.parameters()) == network.cost.params


# Properties: layers made from their fields.

SIZES = st.integers(1, 24)


@examples(150)
@given(
    size=st.integers(1, 7),
    stride_x=st.integers(1, 3),
    stride_y=st.integers(1, 3),
    pad=st.booleans(),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    normalized=st.booleans(),
    h=SIZES,
    w=SIZES,
)
def test_convolution_shape_of_any_options_equals_torch(
    size: int,
    stride_x: int,
    stride_y: int,
    pad: bool,
    padding: int,
    dilation: int,
    groups: int,
    normalized: bool,
    h: int,
    w: int,
) -> None:
    layer = Convolutional(
        filters=8,
        size=size,
        stride_x=stride_x,
        stride_y=stride_y,
        pad=pad,
        padding=padding,
        dilation=dilation,
        groups=groups,
        batch_normalize=normalized,
    )
    x = Shape(4, h, w)
    out = layer.infer_shape((x,), DIALECTS["alexeyab"])
    if min(out) < 1:
        return  # the compiler refuses it
    _check(layer, x, out)


@examples(150)
@given(size=st.integers(1, 7), stride=st.integers(1, 4), padding=st.integers(0, 8), h=SIZES, w=SIZES)
def test_pooling_shape_of_any_options_equals_torch(size: int, stride: int, padding: int, h: int, w: int) -> None:
    layer = Maxpool(size=size, stride=stride, padding=padding)
    x = Shape(3, h, w)
    out = layer.infer_shape((x,), DIALECTS["pjreddie"])
    if min(out) < 1:
        return
    _check(layer, x, out)


def _check(layer: Layer, x: Shape, out: Shape) -> None:
    from darkparse.model.darknet import instantiate

    site = LayerContext((x,), out, DIALECTS["alexeyab"])
    y = torch.zeros(1, *x.tensor, device="meta")
    with torch.device("meta"):
        for spec in layer.modules(site):
            y = instantiate(spec).eval()(y)
    assert y.shape == (1, *out.tensor)
    weights = sum(t.size for t in layer.tensors(site) if t.path == "conv.weight")
    assert layer.macs(site) == weights * out.area


def test_pooling_equals_darknets_loop() -> None:
    """Every size, stride and padding beside maxpool_layer.c's loop, written out."""
    from darkparse.model.modules import AvgPool2d, MaxPool2d

    x = torch.rand(1, 1, 7, 9, generator=torch.Generator().manual_seed(3)) - 1
    values = x[0, 0].tolist()
    for size in range(1, 6):
        for stride in range(1, 4):
            for padding in range(8):
                shape = Maxpool(size=size, stride=stride, padding=padding).infer_shape(
                    (Shape(1, 7, 9),), DIALECTS["alexeyab"]
                )
                kwargs = {"size": size, "stride": (stride, stride), "padding": padding}
                for module, reduce in ((MaxPool2d, max), (AvgPool2d, lambda taps: sum(taps) / len(taps))):
                    if module is AvgPool2d and not _all_windows_meet_the_map(shape, size, stride, padding):
                        continue
                    places = product(range(shape.h), range(shape.w))
                    want = [reduce(_taps(values, i, j, size, stride, padding)) for i, j in places]
                    got = module(**kwargs)(x).flatten().tolist()  # type: ignore[arg-type]
                    assert got == pytest.approx(want, rel=1e-6), (module.__name__, size, stride, padding)


def _taps(values: list[list[float]], i: int, j: int, size: int, stride: int, padding: int) -> list[float]:
    top, left = i * stride - padding // 2, j * stride - padding // 2
    rows, columns = range(max(top, 0), min(top + size, 7)), range(max(left, 0), min(left + size, 9))
    return [values[r][c] for r in rows for c in columns] or [torch.finfo(torch.float32).min]


def _all_windows_meet_the_map(shape: Shape, size: int, stride: int, padding: int) -> bool:
    before = padding // 2
    return size > before and all((n - 1) * stride - before < limit for n, limit in ((shape.h, 7), (shape.w, 9)))


# Memory of recurrent layers.

RECURRENT = [p for p in SMALL if any(n.layer.has_state for n in compile_small(p, "alexeyab").nodes)]


@pytest.mark.parametrize("path", RECURRENT, ids=lambda p: p.stem)
def test_stateful_layer_keeps_state_until_reset_and_never_saves_it(path: Path) -> None:
    network = compile_small(path, "alexeyab")
    model = darkparse.build(network, initialize=True).eval()
    keys = set(model.state_dict())
    x, other = _input(network), _input(network, seed=1)
    with torch.inference_mode():
        first = _last(model, x)
        second = _last(model, other)
        assert not torch.equal(second, _fresh(model, other)), "the second call forgot the first"
        model.reset_state()
        assert torch.equal(first, _last(model, x))
        assert torch.equal(second, _last(model, other)), "the same calls again give the same"
        _last(model, x[:1])
        assert torch.equal(_last(model, x), first), "a batch of another size starts anew"
    assert set(model.state_dict()) == keys
    assert not any("state" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("path", RECURRENT, ids=lambda p: p.stem)
def test_stateful_layer_state_follows_copy_and_dtype(path: Path) -> None:
    network = compile_small(path, "alexeyab")
    model = darkparse.build(network, initialize=True).eval()
    x = _input(network)
    with torch.inference_mode():
        _last(model, x)
        twin = copy.deepcopy(model)
        assert torch.equal(_last(model, x), _last(twin, x)), "a copy remembers the same"
        model = model.double()
        assert all(b.dtype == torch.float64 for b in model.buffers() if b.is_floating_point())
        out = _last(model, x.double())
    assert out.dtype == torch.float64


def _last(model: darkparse.Darknet, x: torch.Tensor) -> torch.Tensor:
    return model.layer_outputs(x)[-1].clone()


def _fresh(model: darkparse.Darknet, x: torch.Tensor) -> torch.Tensor:
    twin = copy.deepcopy(model)
    twin.reset_state()
    return _last(twin, x)


def test_history_holds_last_inputs_newest_first() -> None:
    network = compile_small(DATA / "kinds" / "history.cfg", "alexeyab")
    model = darkparse.build(network, initialize=True).eval()
    frames = [_input(network, seed=s) for s in range(4)]
    with torch.inference_mode():
        outputs = [model.layer_outputs(frame)[0] for frame in frames]
    zeros = torch.zeros_like(frames[0])
    assert torch.equal(outputs[0], torch.cat((frames[0], zeros, zeros), 1))
    assert torch.equal(outputs[3], torch.cat((frames[3], frames[2], frames[1]), 1))


def test_conv_lstm_bottleneck_precedes_gates() -> None:
    """conv_lstm_layer.c forward_conv_lstm_layer_gpu, written out; Darknet's CPU code asserts here."""
    network = compile_small(DATA / "kinds" / "conv_lstm_bottleneck.cfg", "alexeyab")
    model = darkparse.build(network, initialize=True).eval()
    cell: Any = model.layers[0].cell
    x = _input(network)
    with torch.inference_mode():
        model.layer_outputs(x)
        hidden, memory = cell.hidden.clone(), cell.cell.clone()
        out = model.layer_outputs(x)[0]
        narrow = torch.tanh(cell.wf(torch.cat((hidden, x), 1)))
        f = torch.sigmoid(cell.uf(narrow) + cell.vf(memory))
        i = torch.sigmoid(cell.ui(narrow) + cell.vi(memory))
        memory = f * memory + i * torch.tanh(cell.ug(narrow))
        o = torch.sigmoid(cell.uo(narrow) + cell.vo(memory))
        want = o * torch.tanh(memory)
        want[:, :3] += narrow[:, :3]
    torch.testing.assert_close(out, want)


def test_tree_softmax_sums_to_one_per_group() -> None:
    network = compile_small(DATA / "kinds" / "softmax_tree.cfg", "pjreddie")
    with torch.inference_mode():
        out = darkparse.build(network, initialize=True).eval()(_input(network))
    assert isinstance(out, torch.Tensor)
    torch.testing.assert_close(out[:, :2].sum(1), torch.ones(2))
    torch.testing.assert_close(out[:, 2:].sum(1), torch.ones(2))


def test_tree_of_other_class_count_is_error_with_place(tmp_path: Path) -> None:
    (tmp_path / "x.tree").write_text("a -1\nb -1\n", "utf-8")
    cfg = tmp_path / "x.cfg"
    net = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters={}\n"
    for filters, body, message in (
        (8, "[region]\nclasses=3\ntree=x.tree\n", "9:6: error: wrong number of nodes in the tree, got 2; expected 3"),
        (5, "[avgpool]\n[softmax]\ntree=x.tree\n", "9:6: error: wrong number of nodes in the tree, got 2; expected 5"),
    ):
        cfg.write_text(net.format(filters) + body, "utf-8")
        with pytest.raises(darkparse.CfgError, match=message):
            darkparse.compile(cfg)
        (tmp_path / "y.tree").write_text("a 5\n", "utf-8")
        cfg.write_text(net.format(filters) + body.replace("x.tree", "y.tree"), "utf-8")
        with pytest.raises(darkparse.CfgError, match=r"9:6: error: .*y.tree:1: invalid line of a tree; the parent"):
            darkparse.compile(cfg)


def test_crop_of_smaller_map_raises() -> None:
    model = darkparse.load("[net]\nwidth=8\nheight=8\nchannels=3\n[crop]\ncrop_width=6\ncrop_height=6\n")
    with pytest.raises(ValueError, match="got 4×8; expected at least 6×6"):
        model(torch.rand(1, 3, 4, 8))


def test_deconvolution_dontloadscales_stores_fewer_floats() -> None:
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[deconvolutional]\nfilters=5\nbatch_normalize=1\n"
    assert darkparse.compile(text + "dontloadscales=1\n").stored_floats == darkparse.compile(text).stored_floats - 15


def test_xnor_convolution_computes_with_signs() -> None:
    """Each output is a sum of plus or minus one, times the mean magnitude of its filter; around the map lies -1."""
    from torch.nn import functional as F

    network = compile_small(DATA / "kinds" / "xnor.cfg", "alexeyab")
    model = darkparse.build(network, initialize=True).eval()
    with torch.inference_mode():
        before, _ = model.layer_outputs(_input(network))
        conv: Any = model.layers[1].conv
        got = conv(before)
        signs = F.pad(torch.where(before > 0, 1.0, -1.0), (1, 1, 1, 1), value=-1.0)
        want = F.conv2d(signs, torch.where(conv.weight > 0, 1.0, -1.0)) * conv.weight.abs().mean((1, 2, 3)).view(
            1, -1, 1, 1
        )
    torch.testing.assert_close(got, want)
    assert all(math.isfinite(v) for v in got.flatten().tolist())
