"""Networks and options that have no graph, and files that are damaged, end in one error."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse.onnx.elements import encode_values
from darkparse.onnx.in_place import WeightsReference
from darkparse.onnx.protobuf import iter_fields
from darkparse.onnx.validate import check_structure, read_metadata
from tests.export.test_source import initialized
from tests.export.test_targets import SMALL


def test_to_onnx_in_training_mode_raises(tmp_path: Path) -> None:
    model = darkparse.build(SMALL, initialize=True)
    with pytest.raises(darkparse.DarkparseError, match=r"in training mode; export model.eval\(\)"):
        darkparse.to_onnx(model, tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("float16", (65504.0, 65536.0, -1e9), (65504.0, np.inf, -np.inf)),
        ("float32", (3.4e38, 1e39, -1e39), (np.float32(3.4e38), np.inf, -np.inf)),
        ("float64", (1e300, -2.5), (1e300, -2.5)),
        ("int64", (-1, 2**62), (-1, 2**62)),
        ("bool", (True, False), (True, False)),
    ],
)
def test_encode_values_writes_numbers_of_dtype(dtype: Any, values: Any, expected: Any) -> None:
    assert tuple(np.frombuffer(encode_values(values, dtype), np.dtype(dtype).newbyteorder("<"))) == expected


def test_iter_fields_of_unterminated_integer_raises() -> None:
    assert list(iter_fields(memoryview(b"\x08\xac\x02"))) == [(1, 300)]
    for damaged in (b"\x08\xac", b"\x08", b"\x88"):
        with pytest.raises(ValueError, match="unterminated integer"):
            list(iter_fields(memoryview(damaged)))


def test_check_structure_of_changed_file_raises(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "x.onnx"
    darkparse.to_onnx(initialized(darkparse.compile(SMALL)), path)
    for message in ("no node produces the output other", r"has \d+ bytes for .* values"):
        model = onnx.load(path)
        if "output" in message:
            model.graph.output[0].name = "other"
        else:
            model.graph.initializer[0].dims[0] += 1
        onnx.save(model, tmp_path / "y.onnx")
        with pytest.raises(darkparse.DarkparseError, match=message):
            check_structure(tmp_path / "y.onnx")


def test_check_structure_compares_the_size_of_external_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.onnx.serialization.MAX_INLINE_SIZE", 0)
    text = SMALL.replace("filters=8", "filters=64")
    darkparse.to_onnx(initialized(darkparse.compile(text)), tmp_path / "x.onnx")
    size = (tmp_path / "x.onnx.data").stat().st_size
    check_structure(tmp_path / "x.onnx", {"x.onnx.data": size})
    for sizes in ({"x.onnx.data": size - 1}, {}):
        with pytest.raises(darkparse.DarkparseError, match="exceeds the weights file"):
            check_structure(tmp_path / "x.onnx", sizes)


def test_metadata_of_damaged_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(struct.pack("<BI", 0x8A, 2**31))
    assert read_metadata(tmp_path / "x.onnx") == {}
    assert WeightsReference.from_metadata({}) is None
    for text in ("", "{}", "[]", '{"file": 1}'):
        with pytest.raises(darkparse.DarkparseError, match=r"invalid entry darkparse.weights"):
            WeightsReference.from_metadata({"darkparse.weights": text})
