"""Devices, heads and batches that a module cannot run on end in one error."""

from __future__ import annotations

import pytest
import torch

import darkparse
from darkparse.model.decoders import GridDecoder
from darkparse.model.device import choose_device
from darkparse.model.recurrent import StatefulModule
from darkparse.model.tracing import make_dynamic_shapes, prepare_export, trace
from darkparse.model.training import run_through_time
from darkparse.network.dynamic_axes import DynamicAxes
from tests.model.samples import narrow

RNN = "[net]\nbatch=4\ntime_steps=2\ninputs=3\n[rnn]\nhidden=2\noutput=2\n"


@pytest.mark.parametrize("device", ["", "nothing", "cuda:x", "cpu:-1"])
def test_choose_device_that_torch_does_not_have_raises(device: str) -> None:
    with pytest.raises(darkparse.DarkparseError, match="device"):
        choose_device(device)
    assert choose_device("cpu") == torch.device("cpu")


def test_decoder_of_other_coords_raises() -> None:
    with pytest.raises(darkparse.DarkparseError, match=r"\[detection\] head with coords=3; expected coords=4"):
        GridDecoder(side=2, num=1, classes=1, coords=3, sqrt=False)


def test_batch_that_time_steps_do_not_divide_raises() -> None:
    model = darkparse.build(RNN, initialize=True).train()
    assert model.layer_outputs(torch.zeros(4, 3))[0].shape == (4, 2)
    with pytest.raises(ValueError, match="batch size must be a multiple of time_steps=2, got 3"):
        model(torch.zeros(3, 3))


@pytest.mark.parametrize(("size", "axes"), [(False, "batch"), (True, "batch, height and width")])
def test_trace_that_torch_refuses_names_the_dynamic_axes(
    size: bool, axes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("\nno such axis\nand more")

    monkeypatch.setattr(torch.export, "export", refuse)
    network = darkparse.compile("[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\n")
    dynamic_axes = DynamicAxes(batch=True, size=size)
    exported = prepare_export(darkparse.load(network), "raw", dynamic_axes=dynamic_axes)
    with pytest.raises(darkparse.DarkparseError, match=f"with a dynamic {axes}: no such axis$"):
        trace(exported, network, dynamic_axes)


def test_run_through_time_starts_and_leaves_without_a_state() -> None:
    class Sum(StatefulModule):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.total = self.recall("total", x, 1) + x
            return self.total

    module = Sum("total")
    module(torch.full((2, 1), 5.0))
    for _ in range(2):
        assert run_through_time(module, torch.tensor([[1.0], [2.0], [3.0], [4.0]]), 2).flatten().tolist() == [
            1,
            2,
            4,
            6,
        ]
        assert module.total is None


def test_dynamic_shapes_start_at_one_image_of_one_stride() -> None:
    (axes,) = make_dynamic_shapes(darkparse.compile(narrow("yolov3-tiny")), DynamicAxes(batch=True, size=True))
    assert {axis: dimension.min for axis, dimension in axes.items()} == {0: 1, 2: 32, 3: 32}  # type: ignore[attr-defined]
    assert make_dynamic_shapes(darkparse.compile(RNN), DynamicAxes(batch=False)) == ({},)
