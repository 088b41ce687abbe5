"""Load, then save: the same bytes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path

import pytest

import darkparse
from darkparse.network import Network
from darkparse.weights import Entry, Header, compute_layout
from tests.conftest import SHARED, needs_shared, original_params
from tests.weights.weight_files import HEADERS, SMALL, network, transposed_header, weights

MODELS = sorted((SHARED / "models").glob("*.cfg")) if SHARED.is_dir() else []
UNITS = sorted((SHARED / "golden" / "units").glob("*.cfg")) if SHARED.is_dir() else []
DIALECTS = ("pjreddie", "alexeyab")
LARGEST = int(os.environ.get("DARKPARSE_LARGEST_FILE", "50000000"))
"""Bytes of a file that an ordinary slow run still makes."""


def headers(dialect: str) -> Iterator[tuple[str, Header]]:
    yield from HEADERS.items()
    yield "transposed", transposed_header(dialect)


def check(cfg: str | Path, data: bytes, dialect: str, folder: Path, *, container: bool = False) -> None:
    """Load, save, compare; and the same by way of a container."""
    model = darkparse.load(cfg, data, dialect=dialect)
    out = folder / "out.weights"
    assert darkparse.save_weights(model, out) == len(data)
    assert out.read_bytes() == data
    if container:
        box = folder / "out.safetensors"
        darkparse.save(model, box)
        del model
        darkparse.save_weights(darkparse.load(box), out)
        assert out.read_bytes() == data


@needs_shared
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "cfg",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * ("fastest-1" in path.stem)) for path in MODELS],
)
def test_trained_model_round_trips(cfg: Path, dialect: str, tmp_path: Path) -> None:
    check(cfg, cfg.with_suffix(".weights").read_bytes(), dialect, tmp_path, container=True)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_header_round_trips(dialect: str, tmp_path: Path) -> None:
    connected = "[connected]\noutput=4\nbatch_normalize=1\n[lstm]\noutput=3\nbatch_normalize=1\n[gru]\noutput=2\n"
    for cfg in (SMALL, f"[net]\nheight=2\nwidth=2\nchannels=3\n[batchnorm]\n{connected}"):
        net = network(cfg, dialect)
        for _, header in headers(dialect):
            check(cfg, weights(net, header), dialect, tmp_path, container=True)


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("dialect", DIALECTS)
def test_unit_networks_round_trip(dialect: str, tmp_path: Path) -> None:
    """One network for each option that changes what is stored, and every kind of layer."""
    done = 0
    for cfg in UNITS:
        try:
            net = darkparse.compile(cfg, dialect=dialect)
        except darkparse.DarkparseError:
            continue
        if net.stored_floats < 2_000_000:
            check(cfg, weights(net, transposed_header(dialect)), dialect, tmp_path)
            done += 1
    assert done > 100


@needs_shared
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("cfg", original_params())
def test_original_cfg_weights_round_trip(cfg: Path, dialect: str, tmp_path: Path) -> None:
    """With every header if the file is small, and once by way of safetensors."""
    try:
        net = darkparse.compile(cfg, dialect=dialect)
    except darkparse.CfgError as problem:
        pytest.skip(f"not possible: does not compile as {dialect}: {problem.diagnostics[0].message}")
    if 4 * net.stored_floats > LARGEST:
        pytest.skip(f"more than {LARGEST:,} bytes: set DARKPARSE_LARGEST_FILE to include it")
    # A container does not hold a word tree: it is looked for beside it.
    shutil.copytree(SHARED / "cfgs" / "data", tmp_path / "data")
    body = synthesized(net, tmp_path)
    for name, header in headers(dialect):
        if len(body) < LARGEST / 10 or name == "0.2.5":
            check(cfg, header.pack() + body, dialect, tmp_path, container=name == "0.2.5")


PARTS = {"bias": "biases", "running_mean": "rolling_mean", "running_var": "rolling_variance"}


def synthesized(net: Network, folder: Path) -> bytes:
    """The floats that the reference's own generator makes for a network."""
    sys.path.insert(0, str(SHARED / "golden"))
    try:
        import synth  # type: ignore[import-not-found, unused-ignore]
    finally:
        sys.path.pop(0)
    path = folder / "synthesized"
    rows = [[e.node.index, e.tensor.path, _part(e), e.size, prod(e.tensor.shape[1:])] for e in compute_layout(net)]
    assert synth.write_weights(path, net.name, rows) == net.stored_floats
    body = path.read_bytes()[20:]
    path.unlink()
    return body


def _part(entry: Entry) -> str:
    owner, _, role = entry.tensor.path.rpartition(".")
    if owner in ("shortcut", "implicit"):
        return f"{owner}_weights"
    return PARTS.get(role, "scales" if owner.endswith("norm") else "weights")


def test_partly_stored_layers_round_trip(tmp_path: Path) -> None:
    conv = "[convolutional]\nbatch_normalize=1\nfilters=8\n"
    cfg = (
        f"[net]\nwidth=4\nheight=4\nchannels=2\n{conv}numload=3\nflipped=1\n{conv}dontload=1\n{conv}dontloadscales=1\n"
    )
    check(cfg, weights(network(cfg)), "pjreddie", tmp_path, container=True)
    loaded = darkparse.load(cfg, weights(network(cfg))).loaded
    assert loaded is not None
    assert (loaded.layers, loaded.missing) == ((0, 2), (0, 1, 2))
