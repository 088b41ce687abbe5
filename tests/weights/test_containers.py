"""Safetensors, PyTorch checkpoints and NumPy archives, both ways; they know their cfg."""

from __future__ import annotations

import io
import json
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

import darkparse
from darkparse.weights.containers import SUFFIXES
from darkparse.weights.origin import Origin
from tests.weights.weight_files import ALEXEYAB, SMALL, network, transposed_header, weights

pytest.importorskip("safetensors")

NET = network()
ENDINGS = sorted(SUFFIXES)


@pytest.fixture
def model() -> darkparse.Darknet:
    return darkparse.load(SMALL, weights(NET, ALEXEYAB), dialect="pjreddie", size=(64, 96))


@pytest.mark.parametrize("ending", ENDINGS)
def test_load_of_container_rebuilds_model(model: darkparse.Darknet, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"small{ending}"
    assert darkparse.save(model, path) == path.stat().st_size
    again = darkparse.load(path)
    assert str(again.network.config) == SMALL
    assert again.network.dialect.name == "pjreddie"
    assert tuple(again.network.input_shape) == (3, 64, 96)
    assert again.network.name == model.network.name
    assert again.header == ALEXEYAB
    assert all(torch.equal(again.state_dict()[key], tensor) for key, tensor in model.state_dict().items())
    darkparse.save_weights(again, tmp_path / "small.weights")
    assert (tmp_path / "small.weights").read_bytes() == weights(NET, ALEXEYAB)
    assert tuple(darkparse.load(path, size=32).network.input_shape) == (3, 32, 32)


@pytest.mark.parametrize("ending", ENDINGS)
def test_load_of_container_with_cfg_from_any_source(model: darkparse.Darknet, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"small{ending}"
    darkparse.save(model, path)
    before = path.read_bytes()
    for mmap in (True, False):
        for source in (path, before, io.BytesIO(before)):
            other = darkparse.load(SMALL, source, darkparse.ReadOptions(mmap=mmap))
            assert all(torch.equal(other.state_dict()[key], tensor) for key, tensor in model.state_dict().items())
            with torch.no_grad():
                next(other.parameters()).fill_(5)
    assert path.read_bytes() == before, "a mapped parameter must not write through"


@pytest.mark.parametrize("ending", ENDINGS)
def test_container_of_half_precision_and_backbone_round_trips(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"small{ending}"
    half = darkparse.load(SMALL, weights(NET), dtype=torch.float16)
    darkparse.save(half, path)
    assert {tensor.dtype for tensor in darkparse.load(path).state_dict().values()} == {torch.float16}
    assert {tensor.dtype for tensor in darkparse.load(path, dtype=torch.float32).state_dict().values()} == {
        torch.float32
    }
    darkparse.save(half, path, upto=2)
    with pytest.raises(darkparse.WeightsError, match=r"layers\.2\.conv\.bias, .* are missing from the file"):
        darkparse.load(path)
    loaded = darkparse.load(path, options=darkparse.ReadOptions(allow_partial=True)).loaded
    assert loaded is not None
    assert loaded.missing == (2, 6, 7)


def test_pt_file_is_plain_state_dict(model: darkparse.Darknet, tmp_path: Path) -> None:
    darkparse.save(model, tmp_path / "x.pt")
    state = torch.load(tmp_path / "x.pt", weights_only=True)
    assert list(state) == list(model.state_dict())
    darkparse.build(NET).load_state_dict(state, assign=True)


def test_safetensors_metadata_is_readable_text(model: darkparse.Darknet, tmp_path: Path) -> None:
    from safetensors import safe_open

    darkparse.save(model, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["darkparse.cfg"] == SMALL
    assert metadata["darkparse.dialect"] == "pjreddie"
    assert json.loads(metadata["darkparse.header"])["seen"] == ALEXEYAB.seen


def test_container_keeps_reorg_order_and_transposed_header(tmp_path: Path) -> None:
    cfg = "[net]\nheight=4\nwidth=4\nchannels=4\n[reorg]\nstride=2\n[connected]\noutput=3\n"
    header = transposed_header("alexeyab")
    data = weights(network(cfg, "alexeyab"), header)
    for ending in (".safetensors", ".pt", ".npz"):
        darkparse.save(
            darkparse.load(cfg, data, dialect="alexeyab", compile_options=darkparse.CompileOptions(reorg="reorg3d")),
            tmp_path / f"x{ending}",
        )
        again = darkparse.load(tmp_path / f"x{ending}")
        assert again.network.nodes[0].kind == "reorg3d"
        darkparse.save_weights(again, tmp_path / "x.weights")
        assert (tmp_path / "x.weights").read_bytes() == data


def test_load_third_party_file_that_does_not_fit_raises(model: darkparse.Darknet, tmp_path: Path) -> None:
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    path = tmp_path / "x.pt"
    torch.save(state, path)
    with pytest.raises(darkparse.WeightsError, match=r"does not contain its cfg(?s:.*)darkparse\.load\(cfg, "):
        darkparse.load(path)
    torch.save(state | {"more": torch.zeros(1)}, path)
    with pytest.raises(darkparse.WeightsError, match="more is in the file but not in the cfg"):
        darkparse.load(SMALL, path)
    darkparse.load(SMALL, path, darkparse.ReadOptions(strict=False))
    torch.save(state | {"layers.1.conv.weight": torch.zeros(4, 4)}, path)
    with pytest.raises(
        darkparse.WeightsError,
        match=r"layers\.1\.conv\.weight, got 4×4 float32; expected 16×8×3×3 floating point "
        r"for layer 1",
    ):
        darkparse.load(SMALL, path)
    torch.save(model, path)
    with pytest.raises(darkparse.WeightsError, match=r"Python objects(?s:.*) save model\.state_dict\(\)"):
        darkparse.load(SMALL, path)
    torch.save({"epoch": 3, "best": 0.5}, path)
    with pytest.raises(darkparse.WeightsError, match="no state_dict in the checkpoint, got the keys epoch, best"):
        darkparse.load(SMALL, path)
    np.savez(tmp_path / "x.npz", a=np.array([{}], object))
    with pytest.raises(darkparse.WeightsError, match="invalid npz file"):
        darkparse.load(SMALL, tmp_path / "x.npz")


def test_load_truncated_container_raises(model: darkparse.Darknet, tmp_path: Path) -> None:
    for ending in (".safetensors", ".pt", ".npz"):
        path = tmp_path / f"x{ending}"
        darkparse.save(model, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(darkparse.WeightsError, match=f"x{ending}"):
            darkparse.load(SMALL, path)


def test_save_bfloat16_as_npz_raises(tmp_path: Path) -> None:
    model = darkparse.load(SMALL, weights(NET), dtype=torch.bfloat16)
    with pytest.raises(darkparse.WeightsError, match="NumPy does not support bfloat16"):
        darkparse.save(model, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())
    darkparse.save(model, tmp_path / "x.safetensors")
    assert next(darkparse.load(tmp_path / "x.safetensors").parameters()).dtype == torch.bfloat16


def _foreign(model: darkparse.Darknet, style: str) -> OrderedDict[str, torch.Tensor]:
    """The names that other converters give the same tensors, with what they store besides."""
    state = model.state_dict()
    # Not OrderedDict[…](): that would be pickled with its types, which weights_only=True refuses.
    found: OrderedDict[str, torch.Tensor] = OrderedDict()
    count = 0
    for node in model.network.nodes:
        i = node.index
        if f"layers.{i}.conv.weight" not in state:
            if style == "eriklindernoren" and node.layer.role == "head":
                found[f"module_list.{i}.yolo_{i}.anchors"] = torch.zeros(3, 2)
                found[f"module_list.{i}.yolo_{i}.anchor_grid"] = torch.zeros(1, 3, 1, 1, 2)
            continue
        count += 1
        conv, norm = {
            "tianxiaomo": (f"models.{i}.conv{count}", f"models.{i}.bn{count}"),
            "ultralytics": (f"module_list.{i}.Conv2d", f"module_list.{i}.BatchNorm2d"),
            "eriklindernoren": (f"module_list.{i}.conv_{i}", f"module_list.{i}.batch_norm_{i}"),
        }[style]
        for role in ("weight", "bias"):
            if f"layers.{i}.conv.{role}" in state:
                found[f"{conv}.{role}"] = state[f"layers.{i}.conv.{role}"]
        if f"layers.{i}.norm.weight" in state:
            for role in ("weight", "bias", "running_mean", "running_var"):
                found[f"{norm}.{role}"] = state[f"layers.{i}.norm.{role}"]
            found[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    return found


STYLES = ("tianxiaomo", "ultralytics", "eriklindernoren")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_load_third_party_state_dict_restores_weights_file(style: str, wrapped: bool, tmp_path: Path) -> None:
    data = weights(NET)
    state = _foreign(darkparse.load(SMALL, data), style)
    torch.save({"epoch": 3, "model": state, "optimizer": None} if wrapped else state, tmp_path / "x.pt")
    darkparse.save_weights(darkparse.load(SMALL, tmp_path / "x.pt"), tmp_path / "x.weights")
    assert (tmp_path / "x.weights").read_bytes() == data


def test_load_third_party_state_dict_that_does_not_fit_names_module(tmp_path: Path) -> None:
    state = _foreign(darkparse.load(SMALL, weights(NET)), "ultralytics")
    path = tmp_path / "x.pt"
    torch.save(state, path)
    other = SMALL.replace("filters=16", "filters=12")
    with pytest.raises(
        darkparse.WeightsError,
        match=r"module 3 of 8, module_list\.1\.Conv2d \(weight 16×8×3×3\).*layer 1 \[convolutional\]",
    ):
        darkparse.load(other, path)
    torch.save(OrderedDict(list(state.items())[:12]), path)
    with pytest.raises(darkparse.WeightsError, match=r"the first missing one is layer 2 \[convolutional\]"):
        darkparse.load(SMALL, path)
    torch.save(state | {"head.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(darkparse.WeightsError, match=r"the first extra one is head \(weight 2×2\)"):
        darkparse.load(SMALL, path)


def test_load_third_party_shortcut_weights_and_constants(tmp_path: Path) -> None:
    """ultralytics/yolov3 keeps a shortcut's weights as `w`, yolor a constant as `implicit` of (1, C, 1, 1)."""
    conv = "[convolutional]\nfilters=4\nsize=1\n"
    cfg = (
        f"[net]\nheight=4\nwidth=4\nchannels=4\n{conv}{conv}[shortcut]\nfrom=-2\nweights_type=per_feature\n"
        "[implicit]\nfilters=4\n"
    )
    data = weights(network(cfg, "alexeyab"))
    state = darkparse.load(cfg, data, dialect="alexeyab").state_dict()
    keys = list(state)
    theirs = OrderedDict(
        (f"module_list.{key.split('.')[1]}.Conv2d.{key.split('.')[-1]}", state[key]) for key in keys[:4]
    )
    theirs["module_list.2.w"] = state[keys[4]]
    theirs["module_list.3.implicit"] = state[keys[5]].reshape(1, 4, 1, 1)
    torch.save(theirs, tmp_path / "x.pt")
    darkparse.save_weights(darkparse.load(cfg, tmp_path / "x.pt", dialect="alexeyab"), tmp_path / "x.weights")
    assert (tmp_path / "x.weights").read_bytes()[20:] == data[20:]


def test_load_safetensors_with_length_like_pickle(tmp_path: Path) -> None:
    path, starts = tmp_path / "p.safetensors", set()
    for length in range(256, 512, 8):
        darkparse.save(
            darkparse.load(f"[net]\nwidth=4\nheight=4\nchannels=3\n#{'x' * length}\n[convolutional]\nfilters=4\n"), path
        )
        starts.add(path.read_bytes()[:2])
        darkparse.load(path)
    assert starts & {b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5"}


def test_load_meta_or_sparse_tensor_raises_and_keeps_model(model: darkparse.Darknet, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for odd, kind in ((torch.empty(8, device="meta"), "on the meta device"), (torch.ones(8).to_sparse(), "sparse")):
        torch.save(OrderedDict(darkparse.load(SMALL).state_dict()) | {"layers.6.norm.running_var": odd}, path)
        with pytest.raises(darkparse.WeightsError, match=rf"layers\.6\.norm\.running_var is {kind}"):
            darkparse.load_weights(model, path)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("ending", ENDINGS)
def test_save_tied_and_viewed_parameters_round_trips(model: darkparse.Darknet, ending: str, tmp_path: Path) -> None:
    first, second = model.get_submodule("layers.0.norm"), model.get_submodule("layers.6.norm")
    first.weight = second.weight = torch.nn.Parameter(torch.rand(100_000)[:8])
    path = tmp_path / f"x{ending.upper()}"
    assert darkparse.save(model, path) < 100_000
    loaded = darkparse.load(path).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("ending", ENDINGS)
def test_container_of_network_without_parameters_round_trips(ending: str, tmp_path: Path) -> None:
    cfg = "[net]\nwidth=4\nheight=4\nchannels=3\n[maxpool]\nsize=2\nstride=2\n"
    path = tmp_path / f"x{ending}"
    darkparse.save(darkparse.load(cfg), path)
    assert str(darkparse.load(path).network.config) == cfg


@pytest.mark.parametrize(("key", "value"), [("name", "a/b"), ("header", '{"major": "a"}'), ("height", "tall")])
def test_load_container_with_damaged_metadata_raises(
    model: darkparse.Darknet, key: str, value: str, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    metadata = Origin.from_network(model.network, None).to_metadata() | {f"darkparse.{key}": value}
    save_file(model.state_dict(), tmp_path / "x.safetensors", metadata)
    with pytest.raises(darkparse.WeightsError, match="damaged metadata"):
        darkparse.load(tmp_path / "x.safetensors")


def make_npz(header: dict[str, object], values: bytes, *, claim: int | None = None) -> bytes:
    """An archive of one member, whose directory claims another size if given."""
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    member.write(values)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", member.getvalue())
    data = out.getvalue()
    size = len(member.getvalue()).to_bytes(4, "little")
    return data if claim is None else data.replace(size, claim.to_bytes(4, "little"))


@pytest.mark.parametrize("count", [1 << 40, 5, 3, -4])
def test_npz_header_with_wrong_size_is_refused_before_allocation(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    header = {"shape": (count,), "fortran_order": False, "descr": "<f4"}
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("an array was read"))
    with pytest.raises(darkparse.WeightsError, match=f"a.npy', got 16 bytes; expected {4 * count:,}"):
        darkparse.load(SMALL, make_npz(header, bytes(16)))


def test_npz_directory_claiming_more_than_deflate_can_pack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = 60_000_000
    header = {"shape": ((claim - 128) // 4,), "fortran_order": False, "descr": "<f4"}
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("an array was read"))
    with pytest.raises(darkparse.WeightsError, match="unpacks to fewer than the 60,000,000 bytes"):
        darkparse.load(SMALL, make_npz(header, bytes(16), claim=claim))


def test_load_checkpoint_of_another_pickle_protocol_does_not_warn(model: darkparse.Darknet, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "x.pt", pickle_protocol=3)
    again = darkparse.load(SMALL, tmp_path / "x.pt")
    assert all(torch.equal(again.state_dict()[key], tensor) for key, tensor in model.state_dict().items())


def test_load_container_with_many_unknown_arrays_names_three(model: darkparse.Darknet, tmp_path: Path) -> None:
    torch.save(model.state_dict() | {name: torch.zeros(1) for name in "abcde"}, tmp_path / "x.pt")
    with pytest.raises(darkparse.WeightsError, match="a, b, c and 2 more are in the file but not in the cfg") as caught:
        darkparse.load(SMALL, tmp_path / "x.pt")
    assert caught.value.report is None, "there is no other cfg to name"


def test_load_container_up_to_a_missing_layer_raises(model: darkparse.Darknet, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "x.pt")
    with pytest.raises(darkparse.WeightsError, match="upto"):
        darkparse.load(SMALL, tmp_path / "x.pt", darkparse.ReadOptions(upto=99))
