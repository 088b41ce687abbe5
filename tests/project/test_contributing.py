"""The examples of CONTRIBUTING.md run as printed."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import darkparse
from darkparse.layers import REGISTRY
from darkparse.onnx.context import EMITTERS
from darkparse.views.text.table import table
from tests.conftest import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def _block(language: str, number: int = 0) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(blocks[number])


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the example layer as a module, registered while a test runs."""
    (tmp_path / "channel_scale.py").write_text(_block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("channel_scale")
    REGISTRY.pop("channel_scale")
    sys.modules.pop("channel_scale")


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    path = tmp_path / "toy.cfg"
    path.write_text(_block("ini"))
    return path


@pytest.mark.usefixtures("toy")
def test_example_kind_compiles_builds_and_loads(cfg: Path, tmp_path: Path) -> None:
    network = darkparse.compile(cfg)
    node = network.nodes[1]
    assert (node.kind, str(node.out_shape), node.params, node.macs) == ("channel_scale", "6×8×8", 8, 6 * 8 * 8)
    assert not network.diagnostics
    model = darkparse.load(cfg)
    darkparse.save_weights(model, tmp_path / "toy.weights")
    again = darkparse.load(cfg, tmp_path / "toy.weights")
    before, after = again.layer_outputs(torch.rand(2, 3, 12, 16))
    torch.testing.assert_close(after, before + 0.5)
    with torch.no_grad():
        again.get_parameter("layers.1.scale.weight").fill_(3)
    darkparse.save_weights(again, tmp_path / "changed.weights")
    assert darkparse.load(cfg, tmp_path / "changed.weights").state_dict()["layers.1.scale.weight"].tolist() == [3] * 8


@pytest.mark.usefixtures("toy")
def test_example_kind_is_shown_and_drawn(cfg: Path) -> None:
    network = darkparse.compile(cfg)
    assert [row.layer for row in table(network)] == ["conv 3×3 /2, 8", "channel scale"]
    assert "channel scale" in darkparse.draw(network).dot
    assert "channel_scale" in network.to_yaml()


@pytest.mark.usefixtures("toy")
def test_example_kind_with_wrong_value_names_place() -> None:
    with pytest.raises(darkparse.CfgError, match="invalid value for offset, got 'much'; expected a number"):
        darkparse.compile(_block("ini").replace("0.5", "much"))


def test_example_emitter_exports_equal_outputs(cfg: Path, toy: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "emitter.py").write_text(_block("python", 1))
    runpy.run_path(str(tmp_path / "emitter.py"))
    try:
        result = darkparse.to_onnx(darkparse.load(cfg), tmp_path / "toy.onnx", verify=True)
    finally:
        del EMITTERS[f"{toy.__name__}.Scale"]
    assert result is not None
    assert result.difference <= 1e-6 * result.scale
