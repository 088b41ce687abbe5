"""Safetensors files as the library of the format writes and reads them, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.weights import LazyArray, open_source
from darkparse.weights.completion import complete_arrays
from darkparse.weights.containers import read_container
from darkparse.weights.layout import get_tensors
from tests.weights.weight_files import SMALL, network, weights

safetensors = pytest.importorskip("safetensors.torch")

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


def _read(path: Path) -> dict[str, LazyArray]:
    return dict(read_container(open_source(path), "safetensors").arrays)


def test_read_safetensors_of_every_dtype_equals_library(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in DTYPES} | {
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
    }
    safetensors.save_file(tensors, path)
    arrays = _read(path)
    assert arrays.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert arrays[name].to_tensor().dtype == tensor.dtype
        assert torch.equal(arrays[name].to_tensor().to(torch.float32), tensor.to(torch.float32))
        assert np.array_equal(arrays[name].read(), tensor.float().numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_save_safetensors_equals_library_bytes(dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    model = darkparse.load(SMALL, weights(network()), dtype=dtype)
    darkparse.save(model, path)
    data, theirs = path.read_bytes(), safetensors.load_file(path)
    assert all(torch.equal(theirs[key], value) for key, value in model.state_dict().items())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    expected = safetensors.save(model.state_dict(), header["__metadata__"])
    assert len(data) == len(expected)
    start = 8 + int.from_bytes(expected[:8], "little")
    assert header == json.loads(expected[8:start])
    assert data[start:] == expected[start:]


def _file(header: Any, size: int) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def _entry(shape: Any, offsets: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


DAMAGED = {
    "beyond the end": _file({"a": _entry([2], [0, 8])}, 4),
    "too long": _file({"a": _entry([2], [0, 8])}, 12),
    "a hole": _file({"a": _entry([1], [0, 4]), "b": _entry([1], [8, 12])}, 12),
    "an overlap": _file({"a": _entry([2], [0, 8]), "b": _entry([1], [4, 8])}, 8),
    "another size": _file({"a": _entry([3], [0, 8])}, 8),
    "backwards": _file({"a": _entry([1], [4, 0])}, 4),
    "below zero": _file({"a": _entry([-1, -1], [0, 4])}, 4),
    "a fraction": _file({"a": _entry([1.0], [0, 4])}, 4),
    "a truth value": _file({"a": _entry([True], [0, 4])}, 4),
    "no list": _file({"a": _entry(1, [0, 4])}, 4),
    "too many axes": _file({"a": _entry([1] * 65, [0, 4])}, 4),
    "beyond all numbers": _file({"a": _entry([2**40] * 9, [0, 4])}, 4),
    "an unknown dtype": _file({"a": _entry([1], [0, 4], "F31")}, 4),
    "no dtype": _file({"a": _entry([1], [0, 4], [])}, 4),
    "no entry": _file({"a": 5}, 4),
    "a missing key": _file({"a": {"dtype": "F32"}}, 4),
    "mixed offsets": _file({"a": _entry([1], [0, 4]), "b": _entry([1], "ab")}, 4),
    "no JSON": _file(b'{"a":', 4),
    "no UTF-8": _file(b'{"\xff\xfe":1}', 4),
    "deep": _file(b'{"a":' * 100_000, 4),
    "odd metadata": _file({"__metadata__": 5, "a": _entry([1], [0, 4])}, 4),
    "metadata of numbers": _file({"__metadata__": {"darkparse.cfg": 5}, "a": _entry([1], [0, 4])}, 4),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_load_damaged_safetensors_is_one_sentence_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(DAMAGED[kind])
    for source in (path, path.read_bytes()):
        with pytest.raises(darkparse.WeightsError, match="invalid safetensors file: ") as caught:
            darkparse.load(SMALL, source)
        assert "\n" not in str(caught.value)


def test_read_safetensors_with_unaligned_values(tmp_path: Path) -> None:
    """The header's length is any number in files that the library did not write."""
    path = tmp_path / "x.safetensors"
    values = np.arange(3, dtype=np.float32)
    for space in range(8):
        text = json.dumps({"a": _entry([3], [0, 12])}) + " " * space
        path.write_bytes(_file(text.encode(), 0) + values.tobytes())
        array = _read(path)["a"].load()
        assert array.flags.aligned
        assert np.array_equal(array, values)


def test_save_dtype_unsupported_by_container_raises(tmp_path: Path) -> None:
    model = darkparse.load(SMALL, weights(network()), dtype=torch.float8_e4m3fnuz)
    with pytest.raises(darkparse.WeightsError, match=r"cannot store float8_e4m3fnuz"):
        darkparse.save(model, tmp_path / "x.safetensors")
    with pytest.raises(darkparse.WeightsError, match="NumPy does not support float8_e4m3fnuz"):
        darkparse.save(model, tmp_path / "x.npz")
    assert not list(tmp_path.iterdir())


def test_safetensors_header_is_readable_text_in_any_alphabet(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    darkparse.save(darkparse.load("# Größe\n" + SMALL), path)
    assert "# Größe".encode() in path.read_bytes()
    assert str(darkparse.load(path).network.config).startswith("# Größe")


def test_load_non_finite_values_of_safetensors_warns(tmp_path: Path) -> None:
    model = darkparse.load(SMALL, weights(network(SMALL)))
    path = tmp_path / "nan.safetensors"
    next(model.parameters()).data.view(-1)[:2] = torch.tensor([torch.nan, torch.inf])
    darkparse.save(model, path)
    with pytest.warns(UserWarning, match="nan.safetensors: 2 NaN or infinite values"):
        darkparse.load(SMALL, path)


@pytest.mark.parametrize(
    ("dtypes", "expected"), [((), "float32"), (("float16",), "float16"), (("bfloat16", "float16"), "float16")]
)
def test_missing_arrays_have_the_dtype_of_those_that_numpy_has(dtypes: tuple[str, ...], expected: str) -> None:
    net = network(SMALL)
    keys = list(get_tensors(net))
    stored = {key: LazyArray((1,), dtype, lambda: np.zeros(1)) for key, dtype in zip(keys, dtypes, strict=False)}
    array = complete_arrays(stored, net)[keys[-1]]
    assert array.dtype == expected
    assert array.load().dtype == expected
