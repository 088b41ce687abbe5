"""Weights from paths, open files and bytes, mapped or read, in every order that Darknet stores."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import darkparse
from darkparse.weights import Header, compute_layout
from tests.weights.weight_files import PJREDDIE, SMALL, floats, network, transposed_header, weights


def _same(model: darkparse.Darknet, values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> bool:
    state = model.state_dict()
    return all(
        np.array_equal(state[e.name].numpy().reshape(-1), values[e.start : e.end])
        for e in compute_layout(model.network)
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.weights"
    path.write_bytes(weights(network()))
    return path


@pytest.mark.parametrize("mmap", [True, False])
def test_load_any_source_gives_same_values(file: Path, mmap: bool) -> None:
    class Named(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(file)

    data = file.read_bytes()
    with file.open("rb") as opened, file.open("rb", buffering=0) as raw:
        for source in (
            file,
            str(file),
            Named(),
            data,
            bytearray(data),
            memoryview(data),
            io.BytesIO(data),
            opened,
            raw,
        ):
            model = darkparse.load(SMALL, source, darkparse.ReadOptions(mmap=mmap))
            assert _same(model, floats(network())), type(source)


def test_load_open_file_reads_from_current_position(file: Path) -> None:
    stream = io.BytesIO(b"front" + file.read_bytes())
    stream.seek(5)
    assert _same(darkparse.load(SMALL, stream), floats(network()))


def test_load_file_that_cannot_seek(file: Path) -> None:
    class Pipe(io.RawIOBase):
        data = io.BytesIO(file.read_bytes())

        def read(self, size: int | None = -1) -> bytes:
            return self.data.read(size)

    assert _same(darkparse.load(SMALL, Pipe()), floats(network()))  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes: run it on Linux or macOS")
def test_load_named_pipe(file: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(file.read_bytes()), daemon=True).start()
    assert _same(darkparse.load(SMALL, pipe), floats(network()))


def test_load_invalid_source_raises(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="got int"):
        darkparse.load(SMALL, 5)  # type: ignore[arg-type]
    with pytest.raises(darkparse.WeightsError, match="No such file"):
        darkparse.load(SMALL, tmp_path / "missing.weights")
    with pytest.raises(darkparse.WeightsError, match=r"[Ii]s a directory|[Pp]ermission"):
        darkparse.load(SMALL, tmp_path)
    with pytest.raises(darkparse.WeightsError, match="open it with mode 'rb'"):
        darkparse.load(SMALL, io.StringIO("text"))  # type: ignore[arg-type]
    (tmp_path / "x.weights").write_bytes(b"\xff" * 99)
    with (
        (tmp_path / "x.weights").open(encoding="utf-8") as text,
        pytest.raises(darkparse.WeightsError, match="open it with mode 'rb'"),
    ):
        darkparse.load(SMALL, text)  # type: ignore[arg-type]
    stream = io.BytesIO(gzip.compress(weights(network()))[:-99])
    with gzip.open(stream) as cut, pytest.raises(darkparse.WeightsError, match="ended before"):
        darkparse.load(SMALL, cut)  # type: ignore[arg-type]


def test_mapped_model_keeps_values_after_file_is_replaced(file: Path) -> None:
    model = darkparse.load(SMALL, file)
    other = file.with_suffix(".new")
    other.write_bytes(weights(network(), seed=1))
    other.replace(file)
    assert _same(model, floats(network()))
    assert _same(darkparse.load(SMALL, file), floats(network(), seed=1))


def test_mapped_model_saves_over_its_own_file(file: Path) -> None:
    model, before = darkparse.load(SMALL, file), file.read_bytes()
    darkparse.save_weights(model, file)
    assert file.read_bytes() == before
    assert _same(model, floats(network()))


def test_writing_to_mapped_parameter_leaves_file_unchanged(file: Path) -> None:
    before = file.read_bytes()
    for mmap in (True, False):
        model = darkparse.load(SMALL, file, darkparse.ReadOptions(mmap=mmap))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(5)
        assert file.read_bytes() == before
    data = bytearray(before)
    model = darkparse.load(SMALL, data)
    data[:] = bytes(len(data))
    assert _same(model, floats(network())), "the model must not share the caller's bytes"


def test_read_weights_arrays_share_pages_of_file(file: Path) -> None:
    from darkparse.weights import read_weights

    fitted = read_weights(file, network())
    assert fitted.file.blob.is_mapped
    arrays = (fitted.file.get_array(entry) for entry in fitted.entries)
    assert all(np.shares_memory(array, fitted.file.blob.data) for array in arrays)


CONNECTED = """[net]
width=4
height=4
channels=2
[connected]
output=5
batch_normalize=1
[connected]
output=3
"""


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_load_version_above_1000_transposes_connected_weights(dialect: str) -> None:
    net = network(CONNECTED, dialect)
    header = transposed_header(dialect)
    values = floats(net)
    plain = darkparse.load(CONNECTED, PJREDDIE.pack() + values.tobytes(), dialect=dialect).state_dict()
    turned = darkparse.load(CONNECTED, header.pack() + values.tobytes(), dialect=dialect).state_dict()
    for key, tensor in plain.items():
        if key.endswith("linear.weight"):
            # connected_layer.c transpose_matrix: (inputs, outputs) in the file.
            assert torch.equal(turned[key], tensor.reshape(tensor.shape[1], tensor.shape[0]).T)
            assert turned[key].is_contiguous()
        else:
            assert torch.equal(turned[key], tensor)


def test_load_flipped_convolution_transposes_weights() -> None:
    cfg = "[net]\nwidth=4\nheight=4\nchannels=2\n[convolutional]\nfilters=3\nsize=3\nflipped=1\n"
    values = floats(network(cfg))
    weight = darkparse.load(cfg, PJREDDIE.pack() + values.tobytes()).state_dict()["layers.0.conv.weight"]
    assert torch.equal(weight, torch.from_numpy(values[3:].reshape(18, 3).T.reshape(3, 2, 3, 3).copy()))


def test_load_header_size_option_reads_other_width() -> None:
    odd = Header(0, 2, 0, 9, 4)
    model = darkparse.load(SMALL, weights(network(), odd), darkparse.ReadOptions(header_size=16))
    assert model.header == odd
    assert _same(model, floats(network()))
    with pytest.raises(darkparse.WeightsError, match="16 or 20"):
        darkparse.load(SMALL, weights(network()), darkparse.ReadOptions(header_size=17))


def test_load_longer_file_needs_strict_false() -> None:
    data = weights(network()) + b"more"
    with pytest.raises(darkparse.WeightsError, match="4 bytes too long"):
        darkparse.load(SMALL, data)
    for more in range(1, 5):
        assert _same(
            darkparse.load(SMALL, data[: len(data) - 4 + more], darkparse.ReadOptions(strict=False)), floats(network())
        )


def test_load_weights_keeps_memory_of_module() -> None:
    model = darkparse.load(SMALL, dtype=torch.float64)
    before = {key: tensor.data_ptr() for key, tensor in model.state_dict().items()}
    darkparse.load_weights(model, weights(network()))
    state = model.state_dict()
    assert {key: tensor.data_ptr() for key, tensor in state.items()} == before
    assert all(tensor.dtype == torch.float64 for tensor in state.values())
    assert model.header == PJREDDIE


def test_load_weights_into_changed_module_raises_and_keeps_it() -> None:
    model = darkparse.load(SMALL, weights(network()))
    with pytest.raises(darkparse.WeightsError, match=r"has no tensor .*: the module was changed after it was built"):
        darkparse.load_weights(darkparse.fuse(model), weights(network()))
    model.get_submodule("layers.7.conv").weight = torch.nn.Parameter(torch.zeros(1, 2, 3, 4))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(
        darkparse.WeightsError, match=r"wrong shape of layers\.7\.conv\.weight in the module, got \(1, 2, 3, 4\)"
    ):
        darkparse.load_weights(model, weights(network(), seed=1))
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_load_weights_that_fails_halfway_is_rolled_back() -> None:
    model = darkparse.load(SMALL, weights(network()))
    conv = model.get_submodule("layers.7.conv")
    conv.weight = torch.nn.Parameter(torch.zeros(1).expand(21, 8, 1, 1))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="single memory location"):
        darkparse.load_weights(model, weights(network(), seed=1))
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_load_weights_keeps_frozen_parameters_frozen() -> None:
    model = darkparse.build(network()).requires_grad_(False)
    darkparse.load_weights(model, weights(network()))
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_load_weights_unwraps_module() -> None:
    model = darkparse.load(SMALL)
    darkparse.load_weights(torch.nn.DataParallel(model), weights(network()))
    assert _same(model, floats(network()))


def test_load_integer_dtype_raises() -> None:
    for source in (weights(network()), None):
        with pytest.raises(darkparse.DarkparseError, match=r"invalid dtype torch\.int32; expected a floating point"):
            darkparse.load(SMALL, source, dtype=torch.int32)


def test_load_dtype_and_copies_keep_values_and_header() -> None:
    import copy
    import pickle

    model = darkparse.load(SMALL, weights(network()), dtype=torch.float16)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float16}
    whole = darkparse.load(SMALL, weights(network()))
    for other in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert _same(other, floats(network()))
        assert other.header == PJREDDIE
