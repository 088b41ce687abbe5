"""Weights of Keras: files of `model.save` and `save_weights`, as YAD2K and keras-yolo3 write them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse.cli.main import main
from darkparse.weights import keras
from darkparse.weights.buffer import MAX_EXPANSION, MIN_UNPACKED_LIMIT
from tests.weights.weight_files import SMALL, network, weights

h5py = pytest.importorskip("h5py")

NET = network()
DATA = weights(NET)
Layers = dict[str, dict[str, np.ndarray[Any, Any]]]
NORM_NAMES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def make_layers(text: str = SMALL, first: int = 1) -> Layers:
    """The layers of a network under Keras' names and in its shapes, in the order of the cfg."""
    state = darkparse.load(text, weights(network(text))).state_dict()
    owners = sorted({key.rpartition(".")[0] for key in state}, key=lambda name: (int(name.split(".")[1]), name))
    layers: Layers = {}
    counts = {"conv": first, "norm": first}
    for owner in owners:
        kind = owner.rpartition(".")[2]
        number = counts[kind]
        counts[kind] += 1
        name = {"conv": "conv2d", "norm": "batch_normalization"}[kind] + (f"_{number}" if number else "")
        arrays = {role: state[f"{owner}.{role}"].numpy() for role in NORM_NAMES if f"{owner}.{role}" in state}
        if kind == "norm":
            layers[name] = {NORM_NAMES[role]: array for role, array in arrays.items()}
        else:
            layers[name] = {"kernel": arrays["weight"].transpose(2, 3, 1, 0)}
            layers[name] |= {"bias": arrays["bias"]} if "bias" in arrays else {}
    return layers


def write_layers(root: Any, layers: Layers, prefix: str = "") -> None:
    root.attrs["layer_names"] = [name.encode() for name in layers]
    for layer, arrays in layers.items():
        group = root.create_group(layer)
        group.attrs["weight_names"] = [f"{prefix}{layer}/{name}:0".encode() for name in arrays]
        for name, array in arrays.items():
            group.create_dataset(f"{prefix}{layer}/{name}:0", data=array)


def write_file(path: Path, layers: Layers, layout: str = "save_weights") -> Path:
    with h5py.File(path, "w") as file:
        if layout == "save":
            write_layers(file.create_group("model_weights"), layers)
            file.create_group("optimizer_weights").create_dataset("Adam/m:0", data=np.zeros(5, np.float32))
        elif layout == "save_weights":
            write_layers(file, layers)
        elif layout == "split_names":
            write_layers(file, layers)
            names = file.attrs["layer_names"]
            del file.attrs["layer_names"]
            file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:3], names[3:]
        elif layout == "nested":
            group = file.create_group("model_1")
            file.attrs["layer_names"] = [b"model_1"]
            group.attrs["weight_names"] = [
                f"{layer}/{name}:0".encode() for layer, arrays in layers.items() for name in arrays
            ]
            for layer, arrays in layers.items():
                for name, array in arrays.items():
                    group.create_dataset(f"{layer}/{name}:0", data=array)
        elif layout == "keras_3":
            for layer, arrays in layers.items():
                for position, array in enumerate(arrays.values()):
                    file.create_dataset(f"layers/{layer}/vars/{position}", data=array)
            file.create_dataset("optimizer/vars/0", data=np.zeros(5, np.float32))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "yolo.h5"


@pytest.mark.parametrize(
    ("layout", "first"),
    [
        # Keras' first layer has no number, a second model goes on counting.
        pytest.param(layout, first, marks=pytest.mark.slow if first and layout != "save_weights" else ())
        for layout in ("save", "save_weights", "split_names", "nested", "keras_3")
        for first in (0, 1, 9)
    ],
)
def test_load_any_keras_layout_gives_same_weights(layout: str, first: int, path: Path, tmp_path: Path) -> None:
    write_file(path, make_layers(first=first), layout)
    for source in (path, path.read_bytes()):
        model = darkparse.load(SMALL, source)
        darkparse.save_weights(model, tmp_path / "x.weights")
        assert (tmp_path / "x.weights").read_bytes()[20:] == DATA[20:]


def test_load_keras_layers_listed_by_depth_are_ordered_by_number(path: Path) -> None:
    layers = make_layers()
    by_depth = dict(sorted(layers.items(), key=lambda item: (len(item[1]) == 2, item[0])))
    assert list(by_depth) != list(layers)
    model = darkparse.load(SMALL, write_file(path, by_depth))
    expected = darkparse.load(SMALL, DATA).state_dict()
    assert all(np.array_equal(tensor, expected[key]) for key, tensor in model.state_dict().items())


def test_load_keras_names_without_numbers_keep_file_order(path: Path) -> None:
    layers = {f"{'abcdefghij'[i]}_layer": arrays for i, arrays in enumerate(make_layers().values())}
    model = darkparse.load(SMALL, write_file(path, layers))
    expected = darkparse.load(SMALL, DATA).state_dict()
    assert all(np.array_equal(tensor, expected[key]) for key, tensor in model.state_dict().items())


def test_load_keras_depthwise_and_dense_kernels_are_transposed(path: Path) -> None:
    cfg = (
        "[net]\nwidth=4\nheight=4\nchannels=6\n[convolutional]\nfilters=6\ngroups=6\nsize=3\npad=1\n"
        "[avgpool]\n[connected]\noutput=5\n"
    )
    state = darkparse.load(cfg, weights(network(cfg))).state_dict()
    layers: Layers = {
        "depthwise_conv2d": {
            "depthwise_kernel": state["layers.0.conv.weight"].numpy().transpose(2, 3, 0, 1),
            "bias": state["layers.0.conv.bias"].numpy(),
        },
        "dense": {
            "kernel": state["layers.2.linear.weight"].numpy().T,
            "bias": state["layers.2.linear.bias"].numpy(),
        },
    }
    model = darkparse.load(cfg, write_file(path, layers))
    assert all(np.array_equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    flat = cfg.replace("[avgpool]\n", "")
    with pytest.raises(darkparse.WeightsError, match="map of 4×4×6, which Keras flattens in a different order"):
        darkparse.load(flat, path)


def test_convert_keras_writes_original_weights(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_file(path, make_layers(), "save")
    (tmp_path / "small.cfg").write_text(SMALL)
    main(["convert", str(tmp_path / "small.cfg"), str(path), "-o", str(tmp_path / "x.weights")])
    assert "verified" in capsys.readouterr().err
    assert (tmp_path / "x.weights").read_bytes()[20:] == DATA[20:]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (SMALL.replace("filters=21", "filters=24").replace("classes=2", "classes=3"), "classes=3: filters=24"),
        (SMALL.replace("channels=3", "channels=1"), "channels=1 in line 4"),
        (SMALL.replace("batch_normalize=1\n", ""), "without batch_normalize= in lines 7, 15 and 40"),
    ],
)
def test_load_keras_of_other_cfg_names_cause(path: Path, written: str, message: str) -> None:
    write_file(path, make_layers(written))
    with pytest.raises(darkparse.WeightsError, match="does not fit") as caught:
        darkparse.load(SMALL, path)
    assert message in caught.value.causes[0].message


def test_load_keras_without_h5py_names_extra(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(path, make_layers())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        darkparse.WeightsError,
        match=r"^reading a Keras file \(\.h5\) requires h5py\nhint: "
        r".*'darkparse\[keras\]'$",
    ):
        darkparse.load(SMALL, path)


def link_externally(file: Any) -> None:
    del file["conv2d_1"]
    file["conv2d_1"] = h5py.ExternalLink("/etc/passwd", "/conv2d_1")


def link_root_externally(file: Any) -> None:
    file["model_weights"] = h5py.ExternalLink("/etc/passwd", "/model_weights")


def store_externally(file: Any) -> None:
    del file["conv2d_1/conv2d_1/kernel:0"]
    file["conv2d_1"].create_dataset("conv2d_1/kernel:0", (3, 3, 3, 8), "f4", external=[("/etc/passwd", 0, 864)])


def claim_unwritten(file: Any) -> None:
    del file["conv2d_1/conv2d_1/kernel:0"]
    file["conv2d_1"].create_dataset("conv2d_1/kernel:0", (3, 3, 30000, 800000), "f4")


def claim_compressed(file: Any) -> None:
    del file["conv2d_1/conv2d_1/kernel:0"]
    shape = (3, 3, 30000, 800000)
    file["conv2d_1"].create_dataset("conv2d_1/kernel:0", shape, "f4", chunks=(1, 1, 100, 100), compression="gzip")


def claim_chunk(file: Any) -> None:
    del file["conv2d_1/conv2d_1/kernel:0"]
    chunks = (1, 1, 1, 900_000_000)
    file["conv2d_1"].create_dataset(
        "conv2d_1/kernel:0", (3, 3, 3, 8), "f4", maxshape=(3, 3, 3, None), chunks=chunks, compression="gzip"
    )


def list_missing(file: Any) -> None:
    del file["conv2d_1/conv2d_1/kernel:0"]


def drop_variance(file: Any) -> None:
    group = file["batch_normalization_1"]
    group.attrs["weight_names"] = group.attrs["weight_names"][:3]


def change_axes(file: Any) -> None:
    del file["conv2d_1/conv2d_1/kernel:0"]
    file["conv2d_1"].create_dataset("conv2d_1/kernel:0", data=np.zeros((3, 3, 3), np.float32))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (link_externally, "'conv2d_1' links to another file"),
        (link_root_externally, "'model_weights' links to another file"),
        (store_externally, "are in another file"),
        (claim_unwritten, "got 0 bytes; expected 864,000,000,000"),
        (claim_compressed, f"at most {MAX_EXPANSION} times"),
        (claim_chunk, f"at most {MAX_EXPANSION} times"),
        (list_missing, "'conv2d_1/conv2d_1/kernel:0' is listed but missing"),
        (drop_variance, "expected a kernel and a bias, or gamma, beta, mean and variance"),
        (change_axes, "got 3; expected 2 or 4"),
    ],
)
def test_load_hostile_keras_is_refused_before_allocation(path: Path, harm: Callable[[Any], None], message: str) -> None:
    write_file(path, make_layers())
    with h5py.File(path, "r+") as file:
        harm(file)
    assert path.stat().st_size < MIN_UNPACKED_LIMIT
    with pytest.raises(darkparse.WeightsError) as caught:
        darkparse.load(SMALL, path)
    assert message in str(caught.value).replace('"', "'")
    assert "\n" not in str(caught.value)


def test_load_damaged_keras_is_one_error(path: Path) -> None:
    data = write_file(path, make_layers()).read_bytes()
    random = np.random.default_rng(0)
    step = len(data) // 60
    cut = [data[:size] for size in range(8, len(data), step)]
    flipped, messages = [], []
    for _ in range(60):
        damaged = bytearray(data)
        for position in random.integers(8, len(data), 30):
            damaged[position] = int(random.integers(256))
        flipped.append(bytes(damaged))
    for damaged_data in cut + flipped:
        try:
            darkparse.load(SMALL, io.BytesIO(damaged_data))
        except darkparse.WeightsError as problem:
            messages.append(str(problem))
        else:
            assert len(damaged_data) == len(data)
    assert len(messages) > len(cut)
    assert all(message.count("\n") == 0 or "cause: " in message for message in messages)


def test_keras_arrays_may_take_exactly_the_limit_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        datasets = {name: file.create_dataset(name, data=np.zeros(4, np.float32)) for name in "ab"}
        blob: Any = SimpleNamespace(size=0)
        monkeypatch.setattr(keras, "MIN_UNPACKED_LIMIT", 32)
        keras._check_size(blob, datasets)
        monkeypatch.setattr(keras, "MIN_UNPACKED_LIMIT", 31)
        with pytest.raises(ValueError, match="32"):
            keras._check_size(blob, datasets)
