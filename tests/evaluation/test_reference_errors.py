"""References that cannot be compared with end in one error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import darkparse
from darkparse.evaluation.comparison import compare
from darkparse.evaluation.reference import open_reference

IMAGE = np.zeros((1, 3, 8, 8), np.float32)
CFG = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\n"


@pytest.mark.parametrize("name", ["missing.npz", "missing.onnx", "."])
def test_reference_that_is_no_file_raises(name: str, tmp_path: Path) -> None:
    with pytest.raises(darkparse.DarkparseError, match="no such file"):
        open_reference(tmp_path / name, IMAGE)


def test_reference_of_other_type_raises(tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()
    with pytest.raises(darkparse.DarkparseError, match=r"unsupported reference; expected an .npz file"):
        open_reference(tmp_path / "x.txt", IMAGE)


def test_dump_of_texts_raises(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **cast("Any", {"0": np.array(["a"])}))
    with pytest.raises(darkparse.DarkparseError, match=r"not an .npz file of numeric arrays"):
        open_reference(tmp_path / "x.npz", IMAGE)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"0": np.zeros(128), "input": np.zeros(191)},
            "wrong input size of the reference, got 191 values; expected 192",
        ),
        ({"7": np.zeros(128)}, "nothing to compare: the reference has no output for any of the layers 0 to 0"),
    ],
)
def test_compare_with_dump_that_does_not_fit_raises(
    arrays: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    model = darkparse.build(CFG, initialize=True).eval()
    with pytest.raises(darkparse.DarkparseError, match=message):
        compare(model, torch.from_numpy(IMAGE), open_reference(tmp_path / "x.npz", IMAGE))


def test_onnx_reference_of_other_input_raises(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    darkparse.to_onnx(darkparse.build(CFG, initialize=True).eval(), tmp_path / "x.onnx")
    with pytest.raises(darkparse.DarkparseError, match=r"the model failed for an input \(1, 3, 8, 9\)"):
        open_reference(tmp_path / "x.onnx", np.zeros((1, 3, 8, 9), np.float32))


def test_onnx_reference_without_package_names_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.onnx").touch()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(darkparse.DarkparseError, match=r"pip install 'darkparse\[onnx\]'"):
        open_reference(tmp_path / "x.onnx", IMAGE)


def test_compare_without_known_cause_has_no_remaining_difference(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", **cast("Any", {"0": random.normal(size=(2, 8, 8)) * 100}))
    model = darkparse.build(CFG, initialize=True).eval()
    image = torch.from_numpy(random.random((1, 3, 8, 8), np.float32))
    result = compare(model, image, open_reference(tmp_path / "x.npz", IMAGE))
    assert result.first is not None
    assert (result.cause, result.with_cause) == (None, 0)
