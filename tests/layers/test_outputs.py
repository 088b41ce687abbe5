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


def reorg_in_c(x: Any, shape: tuple[int, int, int], stride: int, forward: bool) -> Any:
    """Return the output of blas.c reorg_cpu, called with a shape (C, H, W), for each image."""
    (c, h, w), out = shape, np.zeros_like(x)
    parts = c // stride**2
    for k, j, i in np.ndindex(c, h, w):
        block = k // parts
        there = i * stride + block % stride + w * stride * (j * stride + block // stride + h * stride * (k % parts))
        here = i + w * (j + h * k)
        source, target = (here, there) if forward else (there, here)
        out[:, target] = x[:, source]
    return out


REORGS = {
    "[reorg]": lambda x, before, after, reverse: reorg_in_c(x, before, 2, reverse),
    "[reorg3d]": lambda x, before, after, reverse: reorg_in_c(x, after, 2, reverse),
    "[reorg]\nflatten=1": lambda x, before, after, reverse: (
        x.reshape(len(x), -1, before[0]).swapaxes(1, 2) if reverse else x.reshape(len(x), before[0], -1).swapaxes(1, 2)
    ),
}


@pytest.mark.parametrize(
    ("section", "reverse"), [*((section, False) for section in REORGS), ("[reorg]", True), ("[reorg]\nflatten=1", True)]
)
def test_reorg_equals_darknets_loop(section: str, reverse: bool) -> None:
    """pjreddie's forward_reorg_layer passes the sizes of its input, AlexeyAB's [reorg3d] of its output."""
    dialect = "alexeyab" if "3d" in section else "pjreddie"
    before = (16, 4, 6)
    after = (4, 8, 12) if reverse else (64, 2, 3)
    x = np.random.default_rng(0).random((2, *before))
    text = f"[net]\nwidth=6\nheight=4\nchannels=16\n{section}\nstride=2\nreverse={int(reverse)}\n"
    model = darkparse.build(darkparse.compile(text, dialect=dialect), dtype=torch.double).eval()
    with torch.inference_mode():
        found = model.layer_outputs(torch.from_numpy(x))[0]
    assert found.shape == (2, *after)
    expected = REORGS[section](x.reshape(2, -1), before, after, reverse)
    np.testing.assert_array_equal(found.numpy().ravel(), expected.ravel())


@pytest.mark.parametrize("outputs", [1, 2, 3, 4])
def test_maxpool_over_channels_equals_darknets_loop(outputs: int) -> None:
    """maxpool_layer.c forward_maxpool_layer: the maximum over every `out_channels`-th channel."""
    x = torch.rand(2, 4, 3, 5, dtype=torch.double) - 2
    expected = np.stack([x.numpy()[:, first::outputs].max(1) for first in range(outputs)], 1)
    np.testing.assert_array_equal(compute(f"[maxpool]\nmaxpool_depth=1\nout_channels={outputs}\n", x), expected)


@pytest.mark.parametrize("noadjust", [0, 1])
def test_crop_is_the_center_scaled_to_minus_1_to_1(noadjust: int) -> None:
    """crop_layer.c forward_crop_layer, outside of training."""
    x = torch.rand(2, 4, 3, 5, dtype=torch.double)
    center = x.numpy()[:, :, 0:2, 1:4]
    found = compute(f"[crop]\ncrop_width=3\ncrop_height=2\nnoadjust={noadjust}\n", x)
    np.testing.assert_allclose(found, center if noadjust else center * 2 - 1, rtol=1e-12)
