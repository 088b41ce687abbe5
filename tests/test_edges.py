"""Corners of the two Darknets where a layer computes something else than its options seem to say, or takes what looks unfit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import darkparse

NET = "[net]\nheight=6\nwidth=8\nchannels=4\n"


def _run(text: str, dialect: str) -> tuple[darkparse.Darknet, list[Tensor]]:
    """A network with weights of its own start, and each layer's output for two pictures."""
    torch.manual_seed(0)
    model = darkparse.load(NET + text, dialect=dialect)
    with torch.inference_mode():
        return model, model.layer_outputs(_picture())


def _picture() -> Tensor:
    return torch.rand(2, 4, 6, 8, generator=torch.Generator().manual_seed(1)) - 0.5


@pytest.mark.parametrize(("dialect", "groups"), [("pjreddie", 2), ("alexeyab", 1)])
def test_only_alexeyabs_xnor_convolution_forgets_its_groups(dialect: str, groups: int) -> None:
    model, outputs = _run("[convolutional]\nfilters=6\nsize=3\ngroups=2\nxnor=1\nactivation=linear\n", dialect)
    conv: Any = model.layers[0].conv
    assert conv.weight.shape == (6, 4 // groups, 3, 3)
    assert f"g{groups}" in model.network.nodes[0].summary or groups == 1
    weight = torch.where(conv.weight > 0, 1.0, -1.0) * conv.weight.abs().mean((1, 2, 3), keepdim=True)
    signs = torch.where(_picture() > 0, 1.0, -1.0)
    torch.testing.assert_close(outputs[0], F.conv2d(signs, weight.detach(), conv.bias.detach(), groups=groups))
    assert darkparse.from_yaml(model.network.to_yaml()).nodes[0].layer == model.network.nodes[0].layer


def test_numload_of_a_deconvolution_counts_filters_and_takes_their_number_of_weights() -> None:
    """pjreddie parser.c:1170: numload biases, scales, means and variances, then c·numload·size² weights from the start."""
    text = NET + "[deconvolutional]\nfilters=6\nsize=2\nbatch_normalize=1\nactivation=linear\nnumload=3\n"
    network = darkparse.compile(text)
    assert network.stored_floats == 4 * 3 + 4 * 3 * 2 * 2
    numbers = torch.arange(1.0, network.stored_floats + 1)
    header = bytes([0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, *bytes(8)])
    model: Any = darkparse.load(text, header + numbers.numpy().tobytes())
    assert model.layers[0].deconv.weight.shape == (4, 6, 2, 2)
    assert torch.equal(model.layers[0].deconv.weight.flatten()[:48], numbers[12:])
    assert torch.equal(model.layers[0].norm.bias[:3], numbers[:3])
    with pytest.raises(darkparse.CfgError, match="first 1 of 6 filters ends within the weights of an input channel"):
        darkparse.compile(text.replace("numload=3", "numload=1"))
