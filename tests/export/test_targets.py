"""torch.export, TorchScript, AOTInductor: each file computes what the module computes."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
import torch

import darkparse
from darkparse.cli.export import find_ending
from darkparse.model.verification import compare_outputs
from darkparse.network.dynamic_axes import DynamicAxes, compute_size_step
from tests.export.test_source import initialized, outputs

HEAD = "[yolo]\nmask=0,1\nanchors=4,5,9,7\nclasses=3\nnum=2\n"
SMALL = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n"
    "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
    "[maxpool]\nsize=2\nstride=2\n"
    f"[convolutional]\nfilters=16\nsize=1\nactivation=linear\n{HEAD}"
)
BOUND = 1e-4


@pytest.mark.slow
def test_to_program_and_to_torchscript_equal_module(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    for write, name in ((darkparse.to_program, "x.pt2"), (darkparse.to_torchscript, "x.ts")):
        checked = write(model, tmp_path / name, heads="decoded")
        assert checked is not None
        assert checked.difference < BOUND
    loaded = torch.export.load(tmp_path / "x.pt2").module()
    assert loaded(torch.rand(5, 3, 32, 32)).shape == (5, 128, 7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pt2", "x.ts"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler: apt-get install g++")
def test_to_compiled_equals_module(tmp_path: Path) -> None:
    checked = darkparse.to_compiled(initialized(darkparse.compile(SMALL)), tmp_path / "x.aoti.pt2", heads="decoded")
    assert checked is not None
    assert checked.difference < BOUND


@pytest.mark.slow
def test_to_program_half_keeps_float32_inputs_and_outputs(tmp_path: Path) -> None:
    model = initialized(darkparse.compile(SMALL))
    checked = darkparse.to_program(model, tmp_path / "x.pt2", half=True)
    assert checked is not None
    assert 0 < checked.difference < 1e-2
    assert next(model.parameters()).dtype == torch.float32


def test_compare_outputs_of_different_outputs_raises() -> None:
    network = darkparse.compile(SMALL)
    model = initialized(network)
    with pytest.raises(darkparse.DarkparseError, match="differs from the module by"):
        compare_outputs(
            network, lambda x: outputs(model, x), lambda x: [y + 1e-2 for y in outputs(model, x)], DynamicAxes()
        )


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_compare_outputs_finite_on_one_side_only_raises(odd: float) -> None:
    network = darkparse.compile(SMALL)
    one, bad = torch.ones(4), torch.tensor([1, 1, odd, odd])
    for mine, theirs in ((one, bad), (bad, one)):
        with pytest.raises(darkparse.DarkparseError, match=r"2 of 4 values are finite in only one of them"):
            compare_outputs(network, lambda _, y=mine: [y], lambda _, y=theirs: [y], DynamicAxes())  # type: ignore[misc]
    assert compare_outputs(network, lambda _: [bad], lambda _: [bad], DynamicAxes()).difference == 0


def test_compare_outputs_scales_each_output_separately() -> None:
    network = darkparse.compile(SMALL)
    large, small = torch.full((4,), 1e4), torch.ones(4)
    with pytest.raises(darkparse.DarkparseError, match=r"by 1\.00e-01, more than 1\.0e-03"):
        compare_outputs(network, lambda _: [large, small], lambda _: [large, small + 0.1], DynamicAxes())
    checked = compare_outputs(network, lambda _: [large, small], lambda _: [large + 1, small], DynamicAxes())
    assert (checked.difference, checked.scale) == (1, 1e4)


def test_size_step_and_ending_of_known_names() -> None:
    assert compute_size_step(darkparse.compile("yolov3")) == 32
    assert compute_size_step(darkparse.compile("darknet53")) == 32
    assert [find_ending(Path(name)) for name in ("a.onnx", "a.aoti.pt2", "a.pt2", "a.ts", "a.weights")] == [
        ".onnx",
        ".aoti.pt2",
        ".pt2",
        ".ts",
        "",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov4-tiny"])
def test_torch_compile_of_network_has_no_graph_break(name: str) -> None:
    model = initialized(darkparse.compile(name, size=64))
    x = torch.rand(1, 3, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = outputs(torch.compile(model, fullgraph=True, backend="eager"), x)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(outputs(model, x), found, strict=True))
