"""Outputs of layers that the reference numbers do not cover, compared with Darknet's loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import darkparse

NET = "[net]\nwidth=5\nheight=3\nchannels=4\n"


def compute(section: str, x: torch.Tensor, dialect: str = "alexeyab") -> Any:
    """Return the output of a network of one layer, (N, …)."""
    model = darkparse.build(darkparse.compile(NET + section, dialect=dialect), dtype=torch.double).eval()
    with torch.inference_mode():
        return model.layer_outputs(x)[0].numpy()


def softmax(x: Any, temperature: float = 1.0) -> Any:
    """Darknet's softmax of a vector (blas.c softmax)."""
    e = np.exp((x - x.max()) / temperature)
    return e / e.sum()


def test_spatial_softmax_sums_over_channels() -> None:
    """Like softmax_layer.c forward_softmax_layer_gpu; the CPU code has no such option."""
    x = torch.rand(2, 4, 3, 5, dtype=torch.double) * 5
    expected = np.apply_along_axis(softmax, 1, x.numpy())
    np.testing.assert_allclose(compute("[softmax]\nspatial=1\n", x), expected.reshape(2, 60), rtol=1e-9)


@pytest.mark.parametrize("groups", [1, 2, 5])
@pytest.mark.parametrize("temperature", [1, 0.5, 3])
def test_softmax_of_groups_divides_by_temperature(groups: int, temperature: float) -> None:
    x = torch.rand(2, 4, 3, 5, dtype=torch.double) * 5
    parts = x.numpy().reshape(2 * groups, 60 // groups)
    expected = np.apply_along_axis(softmax, 1, parts, temperature).reshape(2, 60)
    found = compute(f"[softmax]\ngroups={groups}\ntemperature={temperature}\n", x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_shortcut_reads_values_of_its_first_two_inputs_only() -> None:
    """Darknet turns `bin_output` off for these (AlexeyAB parser.c parse_network_cfg_custom)."""
    convolution = "[convolutional]\nfilters=4\nxnor=1\nbin_output=1\nbatch_normalize=1\n"
    network = darkparse.compile(f"{NET}{convolution * 3}[shortcut]\nfrom=-2,-3\n", dialect="alexeyab")
    assert network.nodes[3].inputs == (2, 1, 0)
    assert [node.read_whole for node in network.nodes] == [False, True, True, False]


def test_reorg_with_extra_appends_zeros() -> None:
    """pjreddie's reorg_layer.c forward_reorg_layer: the input, then `extra` zeros."""
    x = torch.rand(2, 4, 3, 5, dtype=torch.double)
    network = darkparse.compile(f"{NET}[reorg]\nextra=7\n", dialect="pjreddie")
    assert network.nodes[0].out_shape.tensor == (67,)
    expected = np.concatenate((x.numpy().reshape(2, 60), np.zeros((2, 7))), 1)
    np.testing.assert_array_equal(compute("[reorg]\nextra=7\n", x, "pjreddie"), expected)
