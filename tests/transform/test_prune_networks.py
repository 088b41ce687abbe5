"""Whole networks without their channels of zeros: the same heads, and files that load, train, save and export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import darkparse
from darkparse.network import Network
from darkparse.network.training import bind_net_training
from darkparse.weights.buffer import Arrays
from darkparse.weights.layout import get_tensors
from tests.conftest import ROOT, needs_shared, original_cfgs, shipped_cfgs
from tests.transform.test_prune import make_planted, remove_zeros, run

SIZES = (64, 96, 128, 192, 224, 256, 320)
SAMPLE = ("shapes", "yolov4-tiny")


def compile_small(path: Path) -> Network:
    """Compile a cfg with the smallest input that gives it the same layers and arrays."""
    network = darkparse.compile(path)
    for size in SIZES:
        if size**2 < network.input_shape.h * network.input_shape.w:
            try:
                small = darkparse.compile(path, size=size)
            except darkparse.DarkparseError:
                continue
            if list_arrays(small) == list_arrays(network):
                return small
    return network


def list_arrays(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    return [(key, tensor.shape) for key, (_, tensor) in get_tensors(network).items()]


def is_simple(network: Network) -> bool:
    """Return whether a batch-norm convolution is read only by max-pools and plain convolutions."""
    plain = [node.kind in ("convolutional", "maxpool") and not getattr(node.layer, "xnor", 0) for node in network.nodes]
    return any(
        node.kind == "convolutional"
        and any(tensor.role == "scale" for tensor in node.tensors)
        and network.readers[node.index]
        and all(plain[reader] for reader in network.readers[node.index])
        for node in network.nodes
    )


def prune_zeros(network: Network) -> tuple[Network, Arrays, Arrays]:
    """Return the pruned network, its arrays and those of the network, or skip a network without such channels."""
    if not is_simple(network):
        pytest.skip("not possible: no batch-norm convolution that only convolutions and max-pools read")
    arrays = make_planted(network)
    pruned, pruned_arrays, count = remove_zeros(network, arrays)
    assert count > 0
    assert pruned.cost.macs < network.cost.macs
    assert [node.kind for node in pruned.nodes] == [node.kind for node in network.nodes]
    assert [pruned.nodes[index].out_shape for index in pruned.outputs] == [
        network.nodes[index].out_shape for index in network.outputs
    ]
    assert {key: array.shape for key, array in pruned_arrays.items()} == dict(list_arrays(pruned))
    return pruned, pruned_arrays, arrays


def check_heads(network: Network) -> None:
    pruned, pruned_arrays, arrays = prune_zeros(network)
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        for before, after in zip(run(network, arrays, dtype), run(pruned, pruned_arrays, dtype), strict=True):
            assert before.std() > 0
            assert (before - after).abs().max() <= bound * before.square().mean().sqrt()


def check_files(network: Network, folder: Path) -> None:
    """Check that cfg and weights of the pruned network compile, load, train, save and export."""
    pruned, arrays, _ = prune_zeros(network)
    cfg, weights = folder / "pruned.cfg", folder / "pruned.weights"
    darkparse.save_cfg(pruned, cfg)
    model = darkparse.build(pruned)
    model.load_state_dict({key: array.to_tensor() for key, array in arrays.items()}, assign=True)
    darkparse.save_weights(model, weights)
    check_dialects(network, pruned, cfg)
    loaded = darkparse.load(cfg, weights, dialect=network.dialect.name)
    darkparse.save_weights(loaded, folder / "again.weights")
    assert (folder / "again.weights").read_bytes() == weights.read_bytes()
    check_onnx(loaded.eval(), folder / "pruned.onnx")
    check_training(loaded.train())


def check_dialects(network: Network, pruned: Network, cfg: Path) -> None:
    for dialect in ("pjreddie", "alexeyab"):
        try:
            original = darkparse.compile(darkparse.to_cfg(network), dialect=dialect)
        except darkparse.CfgError:
            continue
        compiled = darkparse.compile(cfg, dialect=dialect)
        if [node.out_shape for node in original.nodes] == [node.out_shape for node in network.nodes]:
            assert [node.out_shape for node in compiled.nodes] == [node.out_shape for node in pruned.nodes]


def check_onnx(model: darkparse.Darknet, path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    darkparse.to_onnx(model, path)
    x = torch.rand(1, *model.network.input_shape, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        outputs = model(x)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    results = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    for expected, result in zip(outputs if isinstance(outputs, list | tuple) else [outputs], results, strict=True):
        assert np.abs(expected.numpy() - result).max() <= 1e-3 * expected.square().mean().sqrt()


def check_training(model: darkparse.Darknet) -> None:
    """Check that one step changes the parameters and leaves them finite."""
    network, seen = model.network, 10**6
    try:
        losses = darkparse.training.losses.Losses(model)
    except darkparse.DarkparseError:
        return  # a network without a head does not train
    middle = network.net.batch * max(1, bind_net_training(network).max_batches // 2)  # where no schedule is over
    optimizer, _ = darkparse.training.build_optimizer(model, seen=middle)
    rows = 2 * network.net.time_steps
    truth: list[torch.Tensor] | torch.Tensor = [torch.tensor([[0.5, 0.5, 0.25, 0.25, 0.0]])] * rows
    if not network.heads:
        truth = torch.eye(rows, network.nodes[network.outputs[-1]].out_shape.size)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    losses(model.layer_outputs(torch.rand(rows, *network.input_shape)), truth, seen=seen).total.backward()
    optimizer.step()
    assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("path", shipped_cfgs()[::3], ids=lambda path: path.stem)
def test_prune_of_shipped_cfg_removes_zero_channels(path: Path) -> None:
    prune_zeros(darkparse.compile(path))


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_prune_of_shipped_network_keeps_heads_and_writes_files(name: str, tmp_path: Path) -> None:
    network = compile_small(ROOT / "cfgs" / f"{name}.cfg")
    check_heads(network)
    check_files(network, tmp_path)


@needs_shared
@pytest.mark.long
@pytest.mark.parametrize("path", original_cfgs(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_prune_of_original_cfg_keeps_heads_and_writes_files(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parents[1])  # a saved cfg names its word tree, which is below this directory
    network = compile_small(path)
    check_heads(network)
    check_files(network, tmp_path)
