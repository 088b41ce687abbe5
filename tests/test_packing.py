"""The layout for the CPU: the same numbers, in fewer steps."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch

import darkparse
from darkparse.detect.torch_engine import TorchEngine
from darkparse.model.packing import PackedConvolution, can_pack, pack
from tests.test_kinds import SMALL, _dialect_of

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN in torch")


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_packed_model_computes_the_same(path: Path) -> None:
    torch.manual_seed(0)
    model = darkparse.fuse(darkparse.load(path, dialect=_dialect_of(path)))
    packed = pack(model)
    x = torch.rand(2, *model.network.input_shape.tensor)
    with torch.inference_mode():
        for node, want, got in zip(model.network.nodes, model.layer_outputs(x), packed.layer_outputs(x), strict=True):
            bound = 1e-5 * want.square().mean().sqrt().item()
            torch.testing.assert_close(
                got, want, rtol=0, atol=bound, equal_nan=True, msg=f"layer {node.index} [{node.kind}]"
            )


def test_activations_go_into_the_convolutions_and_the_rest_is_shared() -> None:
    plain = darkparse.load("yolov3-tiny", size=64)
    norms = [name for name, _ in plain.named_parameters() if ".norm." in name]
    assert all(pack(plain).get_parameter(name) is plain.get_parameter(name) for name in norms)
    model = darkparse.fuse(plain)
    packed = pack(model)
    convolutions = [module for module in packed.modules() if isinstance(module, PackedConvolution)]
    assert len(convolutions) == 13
    assert not [module for module in packed.modules() if isinstance(module, torch.nn.LeakyReLU | torch.nn.Conv2d)]
    assert sum(isinstance(module, torch.nn.LeakyReLU) for module in model.modules()) == 11


def test_only_float32_on_the_cpu_is_packed() -> None:
    model = darkparse.load("yolov3-tiny", size=64)
    assert can_pack(model)
    assert not can_pack(model.half())
    assert not can_pack(darkparse.build(model.network))


def forward(detector: darkparse.Detector, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    assert isinstance(detector.engine, TorchEngine)
    return detector.engine.forward(x)


def test_a_detector_can_be_copied_and_pickled() -> None:
    detector = darkparse.Detector(darkparse.load("yolov3-tiny", size=64))
    x = torch.rand(1, 3, 64, 64)
    want = forward(detector, x)
    for other in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        assert all(torch.equal(a, b) for a, b in zip(want, forward(other, x), strict=True))


def test_a_detector_follows_its_model_to_another_dtype() -> None:
    detector = darkparse.Detector(darkparse.load("yolov3-tiny", size=64))
    x = torch.rand(1, 3, 64, 64)
    before = forward(detector, x)
    detector.model.double()
    after = forward(detector, x)
    assert {output.dtype for output in after} == {torch.float64}
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b.float(), rtol=1e-3, atol=1e-5)


def test_changes_of_the_model_do_not_reach_the_copy() -> None:
    model = darkparse.fuse(darkparse.load("yolov3-tiny", size=64))
    packed, x = pack(model), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        before = packed(x)[0].clone()
        for parameter in model.parameters():
            parameter.data.zero_()
        assert torch.equal(packed(x)[0], before)
