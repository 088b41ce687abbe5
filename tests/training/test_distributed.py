"""Sums and averages over the processes of a training, beside a group whose processes all have the same values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import darkparse
from darkparse.training import distributed
from darkparse.training.distributed import Parallel, has_unused_parameters

CFG = """[net]
batch=2
width=8
height=8
channels=3
[convolutional]
batch_normalize=1
filters=2
activation=linear
[convolutional]
filters=2
activation=linear
[cost]
"""
REAL = nn.parallel.DistributedDataParallel


class Wrapper(nn.Module):
    """Stands in for DistributedDataParallel: records its options, and when gradients are not exchanged."""

    def __init__(self, module: nn.Module, **options: Any) -> None:
        super().__init__()
        self.module, self.options, self.skipped = module, options, 0

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        self.skipped += 1
        yield


@pytest.fixture
def model() -> darkparse.Darknet:
    return darkparse.build(darkparse.compile(CFG), initialize=True).train()


@pytest.fixture
def _three_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The group of three processes, of which this is the second."""
    group = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 1, get_world_size=lambda: 3,
        all_reduce=lambda values: values.mul_(3),
    )  # fmt: skip
    monkeypatch.setattr(distributed, "distributed", group)
    monkeypatch.setattr(nn.parallel, "DistributedDataParallel", Wrapper)


@pytest.mark.usefixtures("_three_processes")
def test_processes_share_sums_and_averages(model: darkparse.Darknet) -> None:
    parallel = Parallel(model, {1, 2})
    assert (parallel.rank, parallel.size) == (1, 3)
    assert parallel.sum(torch.tensor([1.0, 2.0])).tolist() == [3, 6]
    assert parallel.any(True)
    assert not parallel.any(False)
    before = {name: value.clone() for name, value in model.named_buffers()}
    parallel.average_statistics()
    for name, value in model.named_buffers():
        torch.testing.assert_close(value, before[name])


@pytest.mark.usefixtures("_three_processes")
def test_gradients_are_exchanged_with_the_last_mini_batch_alone(model: darkparse.Darknet) -> None:
    parallel = Parallel(model, {1, 2})
    outputs: Any = parallel.outputs
    for is_last, skipped in ((False, 1), (False, 2), (True, 2)):
        with parallel.mini_batch(is_last=is_last):
            assert outputs.skipped == skipped
    old, new = "broadcast_buffers", "forward_sync_buffers"
    name = new if new in signature(REAL.__init__).parameters else old
    assert outputs.options == {name: False, "find_unused_parameters": False}


@pytest.mark.parametrize(("is_available", "is_initialized"), [(False, True), (True, False), (False, False)])
def test_training_without_a_group_is_a_single_process(
    is_available: bool, is_initialized: bool, model: darkparse.Darknet, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = SimpleNamespace(is_available=lambda: is_available, is_initialized=lambda: is_initialized)
    monkeypatch.setattr(distributed, "distributed", group)
    parallel = Parallel(model, {1, 2})
    assert (parallel.rank, parallel.size, parallel.outputs) == (0, 1, parallel.selected)
    with parallel.mini_batch(is_last=False):
        assert parallel.any(True)
    assert not parallel.any(False)
    parallel.average_statistics()
    first, second, third = parallel.outputs(torch.zeros(2, 3, 8, 8))
    assert first is None
    assert second.shape == (2, 2, 8, 8)
    assert third is not None


def test_recurrent_network_has_no_unused_parameters() -> None:
    """A pass needs whole images of `time_steps` rows each."""
    text = "[net]\nbatch=2\ntime_steps=3\ninputs=5\n[rnn]\noutput=4\nhidden=4\n[connected]\noutput=2\n[cost]\n"
    model = darkparse.build(darkparse.compile(text, dialect="alexeyab"), initialize=True).train()
    assert not has_unused_parameters(model, {1, 2})
    assert has_unused_parameters(model, {0})
