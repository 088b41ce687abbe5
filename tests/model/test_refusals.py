"""Devices, heads and batches that a module cannot run on end in one error."""

from __future__ import annotations

import pytest
import torch

import darkparse
from darkparse.model.decoders import GridDecoder
from darkparse.model.device import choose_device

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
