"""`diff` and `draw` show what a transformation changed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import darkparse
from darkparse.cli import main
from tests.conftest import ROOT
from tests.transform.foreign import FOLDER, load_case, make_state, save_state

SHAPES = ROOT / "cfgs" / "shapes" / "shapes.weights"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Return the cfg of the shapes network with two of its classes."""
    network, _ = darkparse.select_classes("shapes", SHAPES, [3, 0])
    return darkparse.save_cfg(network, tmp_path / "two.cfg")


def test_diff_lists_the_removed_classes(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["diff", "shapes", str(two)])
    printed = capsys.readouterr().out
    assert stopped.value.code == 1
    assert printed.count("filters 27 → 21") == 2
    assert printed.count("classes 4 → 2") == 2


def test_draw_marks_the_layers_that_changed(two: Path, tmp_path: Path) -> None:
    main(["draw", "shapes", str(two), "-o", str(tmp_path / "both.svg")])
    main(["draw", str(two), "-o", str(tmp_path / "one.svg")])
    both = (tmp_path / "both.svg").read_text("utf-8")
    assert [both.count(f"± L{index}<") for index in (11, 18)] == [2, 2]  # in either network
    assert len(re.findall(r"± L\d+", both)) == 4
    assert "±" not in (tmp_path / "one.svg").read_text("utf-8")


def test_lowered_network_draws_and_exports(tmp_path: Path) -> None:
    name = "mobile-small"
    state = save_state(tmp_path / "x.pt", make_state(name, load_case(name)[1]))
    network, arrays = darkparse.lower(FOLDER / f"{name}.cfg", state)
    assert darkparse.draw(network).svg().startswith("<svg")
    assert "nn.Conv2d" in darkparse.to_source(network)
    pytest.importorskip("onnx")
    darkparse.to_onnx(network, tmp_path / "x.onnx", weights=arrays)
    assert (tmp_path / "x.onnx").stat().st_size > 0
