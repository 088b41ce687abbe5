"""Networks with fewer channels: the same outputs where the removed ones are 0, the same bytes of those that stay."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import darkparse
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.parts import make_activation_modules
from darkparse.layers.specs import TensorSpec
from darkparse.model.darknet import instantiate
from darkparse.network import Network
from darkparse.transform.pruning import Prune, PruningPlan
from darkparse.weights import LazyArray
from darkparse.weights.buffer import Arrays
from darkparse.weights.layout import get_tensors
from tests.commands import run_command
from tests.conftest import ROOT

SHAPES = ROOT / "cfgs" / "shapes" / "shapes.weights"
NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nsize=3\npad=1\nactivation=leaky\n"
END = "[convolutional]\nfilters=5\nactivation=linear\n"


def draw(seed: int, tensor: TensorSpec, *, is_planted: bool) -> NDArray[Any]:
    """Return random values; of planted scales and biases the first 40 % are 0."""
    values = np.random.default_rng(seed).random(tensor.shape, np.float32)
    values += 0.5 if tensor.role in ("scale", "variance") else -0.5
    if tensor.role == "weight":  # outputs of deep networks stay finite
        values *= math.sqrt(12 / max(1, math.prod(tensor.shape[1:])))
    if is_planted and tensor.role in ("scale", "bias"):
        values[: int(0.4 * len(values))] = 0
    return values


def make_planted(network: Network) -> dict[str, LazyArray]:
    """Return random arrays in which channels of every batch norm are 0."""
    return {
        key: LazyArray(
            tensor.shape, "float32", partial(draw, seed, tensor, is_planted="scale" in {t.role for t in node.tensors})
        )
        for seed, (key, (node, tensor)) in enumerate(get_tensors(network).items())
    }


def run(network: Network, arrays: Arrays, dtype: torch.dtype) -> list[torch.Tensor]:
    model = darkparse.build(network)
    model.load_state_dict({key: array.to_tensor() for key, array in arrays.items()}, assign=True)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1, *network.input_shape, generator=generator, dtype=torch.float64).to(dtype)
    with torch.inference_mode():
        outputs = model.eval().to(dtype)(x)
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def remove_zeros(network: Network, arrays: Arrays) -> tuple[Network, Arrays, int]:
    """Remove the groups of channels that are always 0; return their number, too."""
    plan = PruningPlan(network, arrays)
    count = sum(plan.coupling.scores[group] == 0 for group in plan.order)
    return *plan.remove(count), count


def conv(filters: int, options: str = "") -> str:
    return f"{CONV}filters={filters}\n{options}"


EXACT = {
    "chain": conv(10) + "[maxpool]\nsize=2\nstride=2\n" + conv(12),
    "upsample": conv(10) + "[dropout]\n[upsample]\nstride=2\n" + conv(6),
    "shortcut": conv(10) + conv(10) + conv(10) + "[shortcut]\nfrom=-3\nactivation=leaky\n" + conv(6),
    "weighted": conv(10) + conv(10) + "[shortcut]\nfrom=-2\nweights_type=per_channel\nweights_normalization=softmax\n",
    "concatenation": conv(10) + conv(6) + "[route]\nlayers=-1,-2\n" + conv(6),
    "slice": conv(10) + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n" + conv(6) + "[route]\nlayers=-1,0\n",
    "depthwise": conv(10) + conv(10, "groups=10\n") + conv(6),
    "groups": conv(12) + conv(24, "groups=6\n") + conv(6),
    "squeeze": conv(10) + "[avgpool]\n" + conv(5) + "[convolutional]\nfilters=10\nactivation=logistic\n"
    "[scale_channels]\nfrom=-4\n",
    "sam": conv(10) + conv(10) + "[sam]\nfrom=-2\n",
    "batchnorm": "[convolutional]\nfilters=10\nactivation=linear\n[batchnorm]\n[activation]\nactivation=mish\n"
    + conv(6),
    "connected": conv(10) + "[connected]\noutput=10\nbatch_normalize=1\nactivation=relu\n[connected]\noutput=7\n",
    "blur": conv(10, "stride=2\nantialiasing=1\n") + "[maxpool]\nsize=2\nstride=2\nantialiasing=1\n" + conv(4),
    "head": conv(10) + conv(8) + "[convolutional]\nfilters=16\nactivation=linear\n"
    "[yolo]\nmask=0,1\nanchors=1,2,3,4\nnum=2\nclasses=3\n[route]\nlayers=-3\n" + conv(6),
}


@pytest.mark.parametrize("name", EXACT)
def test_prune_of_zero_channels_keeps_outputs(name: str) -> None:
    end = "" if name == "connected" else END
    network = darkparse.compile(NET + EXACT[name] + end, dialect="alexeyab")
    arrays = make_planted(network)
    pruned, pruned_arrays, count = remove_zeros(network, arrays)
    assert count > 0
    assert pruned.cost.params < network.cost.params
    assert {key: array.shape for key, array in pruned_arrays.items()} == {
        key: tensor.shape for key, (_, tensor) in get_tensors(pruned).items()
    }
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        for before, after in zip(run(network, arrays, dtype), run(pruned, pruned_arrays, dtype), strict=True):
            assert before.std() > 1e-3
            assert (before - after).abs().max() <= bound * before.square().mean().sqrt()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[normalization]\n", "[normalization]"),
        ("[local]\nfilters=3\nsize=3\n", "[local]"),
        ("[reorg]\nstride=2\n", "[reorg]"),
        ("[crnn]\nbatch_normalize=1\npad=1\noutput=4\nhidden=4\n", "[crnn]"),
        (conv(9, "xnor=1\n"), "xnor="),
        ("[maxpool]\nmaxpool_depth=1\nout_channels=5\n", "[maxpool]"),
    ],
)
def test_prune_keeps_channels_before_layers_that_mix_them(text: str, reason: str) -> None:
    network = darkparse.compile(NET + conv(12) + text + END, dialect="alexeyab")
    plan = PruningPlan(network, make_planted(network))
    assert reason in plan.coupling.mixing
    first = {plan.coupling.find(label) for label in plan.coupling.outputs[0].labels}
    assert not first & plan.coupling.scores.keys()


@pytest.mark.parametrize("activation", ["logistic", "plse", "normalize_channels"])
def test_prune_keeps_channels_with_an_activation_that_moves_zero(activation: str) -> None:
    network = darkparse.compile(NET + conv(10).replace("leaky", activation) + END, dialect="alexeyab")
    with pytest.raises(darkparse.DarkparseError, match="no channels can be removed"):
        _ = PruningPlan(network, make_planted(network)).order


def test_activation_keeps_zero_as_its_row_says() -> None:
    for row in ACTIVATIONS.values():
        if not row.over_channels:
            modules = [instantiate(spec) for spec in make_activation_modules(row.name)]
            value = torch.nn.Sequential(*modules)(torch.zeros(1, 1, 1, 1))
            assert (value.item() == 0) == row.keeps_zero, row.name


def test_prune_removes_smallest_scales_and_keeps_other_rows() -> None:
    network = darkparse.compile(NET + conv(4) + END)
    arrays = make_planted(network)
    scale = np.array([0.3, -0.1, 0.2, 0.9], np.float32)
    arrays["layers.0.norm.weight"] = LazyArray((4,), "float32", lambda: scale)
    pruned, pruned_arrays = Prune(0.67)(network, arrays)  # of three, since one channel stays
    assert pruned.nodes[0].out_shape.c == 2
    assert pruned_arrays["layers.0.norm.weight"].read().tolist() == scale[[0, 3]].tolist()
    weight = arrays["layers.1.conv.weight"].read()[:, [0, 3]]
    assert np.array_equal(pruned_arrays["layers.1.conv.weight"].read(), weight)
    assert Prune(1.0)(network, arrays)[0].nodes[0].out_shape.c == 1


def test_prune_command_with_share_0_writes_same_bytes(tmp_path: Path) -> None:
    cfg, weights = tmp_path / "o.cfg", tmp_path / "o.weights"
    assert run_command("prune", "shapes", SHAPES, "--share", "0", "-o", cfg, weights).returncode == 0
    assert weights.read_bytes() == SHAPES.read_bytes()
    assert cfg.read_bytes() == (ROOT / "cfgs" / "shapes.cfg").read_bytes()


def test_prune_command_with_flops_keeps_at_most_that_share(tmp_path: Path) -> None:
    cfg, weights = tmp_path / "o.cfg", tmp_path / "o.weights"
    result = run_command("prune", "shapes", SHAPES, "--flops", "0.5", "-o", cfg, weights)
    assert result.returncode == 0
    assert "FLOPs: 120 MFLOPs → 59" in result.stdout
    assert "channels stay before [yolo]: L12, L19" in result.stdout
    before, model = darkparse.compile("shapes"), darkparse.load(cfg, weights)
    assert 0.45 <= model.network.cost.macs / before.cost.macs <= 0.5
    darkparse.to_onnx(model, tmp_path / "o.onnx")
    darkparse.save_weights(model, tmp_path / "again.weights")
    assert (tmp_path / "again.weights").read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--flops", "0.001"], "cannot keep only 0.1% of the FLOPs; at least"),
        (["--share", "1.5"], "1.5"),
        (["--share", "nan"], "share"),
        (["--flops", "0"], "flops must be above 0"),
        (["--share", "0.1", "--flops", "0.5"], "expected either --share or --flops"),
        ([], "expected either --share or --flops"),
    ],
)
def test_prune_command_with_wrong_options_writes_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run_command("prune", "shapes", SHAPES, *arguments, "-o", tmp_path / "o.cfg", tmp_path / "o.weights")
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_prune_of_untrained_network_raises() -> None:
    with pytest.raises(darkparse.WeightsError, match="requires trained weights"):
        darkparse.prune("shapes", None, 0.5)
