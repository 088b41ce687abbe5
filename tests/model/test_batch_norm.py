"""AlexeyAB's batch norm is one of torch's, so that tools find it; pjreddie's computes something else and is not."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

import darkparse
from darkparse.model.modules import BatchNorm, RootEpsilonBatchNorm
from darkparse.model.optimize.fusion import Norm
from tests.export.test_source import class_of, load_source

CFG = """[net]
width=16
height=16
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
[batchnorm]
[connected]
output=6
batch_normalize=1
activation=linear
"""
NUM_NORMS = 4


def build(dialect: str) -> darkparse.Darknet:
    torch.manual_seed(0)
    model = darkparse.build(darkparse.compile(CFG, dialect=dialect), initialize=True).eval()
    for module in model.modules():
        if isinstance(module, Norm):
            with torch.no_grad():
                for value in (module.weight, module.bias, module.running_mean, module.running_var):
                    value.uniform_(0.25, 2)
    return model


def make_images() -> Tensor:
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def find_norms(model: nn.Module) -> list[nn.Module]:
    """Return the modules that tools take for batch norms."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def test_sync_batch_norm_of_alexeyab_computes_same_outputs() -> None:
    model, x = build("alexeyab"), make_images()
    assert len(find_norms(model)) == NUM_NORMS
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    assert [type(module) for module in find_norms(converted)] == [nn.SyncBatchNorm] * NUM_NORMS
    with torch.no_grad():
        assert torch.equal(converted(x), model(x))


def test_sync_batch_norm_in_training_updates_same_statistics() -> None:
    model, x = build("alexeyab").train(), make_images()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    assert torch.equal(converted(x), model(x))
    state = converted.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(state[key], value), key


def test_sync_batch_norm_state_dict_loads_back() -> None:
    model = build("alexeyab")
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(build("alexeyab"))
    state = {key: value + 1 for key, value in converted.state_dict().items()}
    assert sum(key.endswith(".num_batches_tracked") for key in state) == NUM_NORMS
    model.load_state_dict(state)
    for key, value in model.state_dict().items():
        assert torch.equal(state[key], value), key
    converted.load_state_dict(dict(model.state_dict()))


def test_sync_batch_norm_leaves_pjreddie_unchanged() -> None:
    model, x = build("pjreddie"), make_images()
    assert find_norms(model) == []
    assert sum(isinstance(module, RootEpsilonBatchNorm) for module in model.modules()) == NUM_NORMS
    with torch.no_grad():
        expected = model(x)
        assert torch.equal(nn.SyncBatchNorm.convert_sync_batchnorm(model)(x), expected)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("dialect", ["alexeyab", "pjreddie"])
def test_state_dict_of_plain_tensors_loads_strictly(dialect: str, assign: bool) -> None:
    model, x = build(dialect), make_images()
    state = dict(model.state_dict())
    assert not any("num_batches_tracked" in key for key in state)
    empty = darkparse.build(model.network)
    empty.load_state_dict(state, assign=assign)
    assert not any(tensor.is_meta for tensor in (*empty.parameters(), *empty.buffers()))
    with torch.no_grad():
        assert torch.equal(empty.eval()(x), model(x))


def test_state_dict_with_missing_statistic_raises() -> None:
    model = build("alexeyab")
    state = dict(model.state_dict())
    del state["layers.0.norm.running_var"]
    with pytest.raises(
        RuntimeError, match=r"Missing key\(s\) in state_dict: \"layers.0.norm.running_var\"\."
    ) as caught:
        model.load_state_dict(state)
    assert "num_batches_tracked" not in str(caught.value)


def test_update_bn_computes_mean_of_batches() -> None:
    model = build("alexeyab")
    first, second = make_images(), make_images() + 1
    update_bn([first, second], model)
    convolution, norm = model.layers[0].conv, model.layers[0].norm
    assert isinstance(norm, BatchNorm)
    assert isinstance(convolution, nn.Conv2d)
    with torch.no_grad():
        means = [convolution(x).mean((0, 2, 3)) for x in (first, second)]
    torch.testing.assert_close(norm.running_mean, (means[0] + means[1]) / 2)
    assert norm.momentum == 0.01


def test_training_step_moves_statistics_by_one_hundredth() -> None:
    model, x = build("alexeyab"), make_images()
    convolution, norm = model.layers[0].conv, model.layers[0].norm
    assert isinstance(norm, BatchNorm)
    assert isinstance(convolution, nn.Conv2d)
    before = norm.running_var.clone()
    with torch.no_grad():
        variance = convolution(x).var((0, 2, 3))
    model.train()(x)
    torch.testing.assert_close(norm.running_var, before * 0.99 + variance * 0.01)


def test_sync_batch_norm_converts_emitted_source() -> None:
    model, x = build("alexeyab"), make_images()
    module = load_source(darkparse.to_source(model.network))
    with torch.device("meta"):
        emitted = class_of(module)()
    emitted.load_state_dict(model.state_dict(), assign=True)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(emitted.eval())
    assert [type(part) for part in find_norms(converted)] == [nn.SyncBatchNorm] * NUM_NORMS
    with torch.no_grad():
        assert torch.equal(converted(x), model(x))
