"""The memory of a training, from the peaks of steps of two sizes, and what is said where a step does not fit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import darkparse
from darkparse.training import memory
from darkparse.training.distributed import SelectedOutputs
from darkparse.training.initialization import build_optimizer
from darkparse.training.losses import Losses
from darkparse.training.precision import Precision
from tests.training.tiny_data import CFG, CLASSIFIER

CPU = torch.device("cpu")
RECURRENT = "[net]\nbatch=8\ntime_steps=3\ninputs=5\n[rnn]\noutput=4\nhidden=4\n[connected]\noutput=2\n[cost]\n"
NORM = """[net]
batch={batch}
width=4
height=4
channels=1
[convolutional]
batch_normalize=1
filters=2
size=4
[cost]
"""


def _parts(text: str = CFG) -> tuple[SelectedOutputs, Losses, Any, Precision]:
    text = text.replace("{net}", "").replace("{yolo}", "").format(max_batches=8, burn_in=0)
    model = darkparse.build(darkparse.compile(text, dialect="alexeyab"), initialize=True).train()
    losses = Losses(model)
    outputs = SelectedOutputs(model, {*losses.heads, *losses.entries.values()})
    return outputs, losses, build_optimizer(model)[0], Precision(CPU, None)


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[memory.MemoryEstimate | None, list[Any]]]:
    """Return a function that measures with given peaks, and returns the estimate and what was done."""

    def run(text: str, shape: memory.Shape, *peaks: int | None) -> tuple[memory.MemoryEstimate | None, list[Any]]:
        done: list[Any] = []
        left = iter(peaks)
        monkeypatch.setattr(memory, "_reset_peak", lambda _: done.append("reset"))
        monkeypatch.setattr(memory, "_read_peak", lambda _: next(left))
        monkeypatch.setattr(memory, "_run_step", lambda *values: done.append(values[-1]))
        return memory.measure_memory(*_parts(text), shape), done

    return run


def test_memory_grows_linearly_from_the_second_step_of_each_size(measure: Any) -> None:
    estimate, done = measure(CFG, (8, 3, 8, 16), 1, 1000, 2, 1600)
    few, many = (4, 3, 8, 16), (8, 3, 8, 16)
    assert done == ["reset", few, "reset", few, "reset", many, "reset", many]
    assert estimate == memory.MemoryEstimate(fixed=400, per_image=150, images=8, measured=(4, 8))
    assert estimate.peak == 1600


def test_memory_of_steps_in_time_counts_images(measure: Any) -> None:
    estimate, done = measure(RECURRENT, (24, 5, 1, 1), 1, 1000, 2, 1600)
    assert [shape for shape in done if shape != "reset"] == [*[(12, 5, 1, 1)] * 2, *[(24, 5, 1, 1)] * 2]
    assert (estimate.images, estimate.measured, estimate.per_image) == (8, (4, 8), 150)


@pytest.mark.parametrize("peaks", [(1, None, 1, 5), (1, 5, 1, None), (None, None, None, None)])
def test_memory_without_peaks_is_unknown(peaks: tuple[int | None, ...], measure: Any) -> None:
    assert measure(CFG, (8, 3, 8, 16), *peaks)[0] is None


def test_memory_that_falls_takes_nothing_for_an_image(measure: Any) -> None:
    estimate, _ = measure(CFG, (8, 3, 8, 16), 1, 1000, 2, 900)
    assert (estimate.fixed, estimate.per_image) == (1000, 0)


@pytest.mark.parametrize(("batch", "images", "few"), [(1, 1, 2), (2, 2, 2), (4, 4, 2), (6, 6, 3), (5, 5, 2)])
def test_step_of_batch_norm_over_single_values_has_two_images(batch: int, images: int, few: int) -> None:
    network = darkparse.compile(NORM.format(batch=batch))
    assert network.nodes[0].out_shape.area == 1
    assert memory._choose_images(network, images) == few


@pytest.mark.parametrize("text", [CFG, CLASSIFIER])
def test_step_on_noise_trains_an_object_in_each_image(text: str) -> None:
    outputs, losses, optimizer, precision = _parts(
        text.replace("classes=2", "classes=1").replace("filters=7", "filters=6")
    )
    computed: list[Any] = []

    def compute(values: Any, truth: Any, *, seen: int) -> Any:
        assert seen == 6
        loss = losses(values, truth, seen=seen)
        computed.append((truth, loss))
        return loss

    before = [parameter.clone() for parameter in outputs.parameters()]
    shape = (6, *outputs.model.network.input_shape.tensor)
    memory._run_step(outputs, compute, optimizer, precision, shape)  # type: ignore[arg-type]
    ((truth, loss),) = computed
    if isinstance(truth, torch.Tensor):
        assert truth.tolist() == [[1, 0]] * 6
    else:
        assert [len(overlaps) for overlaps in loss.overlaps.values()] == [6]
        assert all((boxes[:, :2] - boxes[:, 2:4] / 2 >= 0).all() for boxes in truth)
        assert all((boxes[:, :2] + boxes[:, 2:4] / 2 <= 1).all() for boxes in truth)
    assert not any(map(torch.equal, before, outputs.parameters()))
    assert all(parameter.grad is None for parameter in outputs.parameters())


def test_steps_on_noise_in_float16_follow_each_other() -> None:
    """A scaler refuses a second step of the optimizer before its own update."""
    outputs, losses, optimizer, _ = _parts()
    precision = Precision(CPU, torch.float16)
    for _ in range(2):
        memory._run_step(outputs, losses, optimizer, precision, (2, 3, 8, 16))
    assert all(parameter.isfinite().all() for parameter in outputs.parameters())


def test_reserved_mini_batch_runs_backward() -> None:
    outputs, losses, _, precision = _parts()
    memory.reserve_memory(outputs, losses, precision, (2, 3, 8, 16))
    assert all(parameter.grad is not None for parameter in outputs.parameters())


@pytest.mark.parametrize("is_step", [True, False])
def test_step_that_does_not_fit_names_its_size_and_the_remedy(is_step: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, losses, optimizer, precision = _parts()

    def fail(self: SelectedOutputs, x: torch.Tensor) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(SelectedOutputs, "forward", fail)
    told = "6 images of 16×8 do not fit into the memory of cpu\nhint: increase subdivisions="
    shape = (6, 3, 8, 16)
    run = (
        partial(memory._run_step, outputs, losses, optimizer, precision, shape)
        if is_step
        else partial(memory.reserve_memory, outputs, losses, precision, shape)
    )
    with pytest.raises(darkparse.DarkparseError, match=told):
        run()


def test_peak_of_a_gpu_is_that_of_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    reset: list[object] = []
    gpu = torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123 if device == gpu else 0)
    monkeypatch.setattr("gc.collect", lambda: reset.append("garbage"))
    memory._reset_peak(gpu)
    assert reset == ["garbage", gpu]
    assert memory._read_peak(gpu) == 123


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no module resource: run it on Linux or macOS")
@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("linux", 1024)])
def test_peak_usage_has_the_unit_of_the_system(platform: str, unit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setattr(memory, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=500))
    assert memory._read_peak_usage() == 500 * unit
