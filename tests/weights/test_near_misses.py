"""Files that fit but for one thing: other channels or anchors, half precision, a copy as text, odd values."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import darkparse
from darkparse.weights import read
from tests.conftest import DATA
from tests.weights.weight_files import SMALL, network, weights

CASES = DATA / "cases"
WIDE = "[net]\nwidth=8\nheight=8\nchannels=3\n" + "[convolutional]\nbatch_normalize=1\nfilters=64\nsize=3\npad=1\n" * 8


def _causes(cfg: str, data: bytes) -> dict[str, darkparse.errors.Cause]:
    return {cause.code: cause for cause in darkparse.inspect_weights(cfg, data).causes}


@pytest.mark.parametrize(("cfg_channels", "file_channels"), [(3, 1), (1, 3), (3, 4)])
def test_diagnose_other_input_channels_names_line(cfg_channels: int, file_channels: int) -> None:
    cfg, other = (SMALL.replace("channels=3", f"channels={n}") for n in (cfg_channels, file_channels))
    cause = _causes(cfg, weights(network(other)))["channels"]
    assert cause.facts == {"channels": file_channels, "line": 4}
    assert f"fits exactly with channels={file_channels} in line 4" in cause.message
    assert f"channels={file_channels}" in cause.remedy


def test_weights_command_of_gray_case_names_channels() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "darkparse", "weights", CASES / "colour.cfg", CASES / "grey.weights"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "fits exactly with channels=1" in run.stderr


def test_diagnose_other_anchor_count_names_lines() -> None:
    other = SMALL.replace("mask=3,4,5", "mask=2,3,4,5,1").replace("mask=0,1,2", "mask=0,1,2,3,4")
    other = other.replace("filters=21", "filters=35")
    cause = _causes(SMALL, weights(network(other)))["anchors"]
    assert cause.facts == {"anchors": 5}
    lines = [i for i, line in enumerate(SMALL.splitlines(), 1) if line == "filters=21"]
    assert (
        "fits exactly with 5 anchors per head: " + ", ".join(f"filters=35 in line {i}" for i in lines) in cause.message
    )
    assert "mask=" in cause.remedy


def test_diagnose_half_precision_is_named() -> None:
    data = weights(network(WIDE))
    half = data[:20] + np.frombuffer(data[20:], np.float32).astype(np.float16).tobytes()
    cause = _causes(WIDE, half)["half-precision"]
    assert "16 bits" in cause.message
    assert "float32" in cause.remedy


@pytest.mark.parametrize("change", [(b"\n", b"\r\n"), (b"\r\n", b"\n")], ids=["to-crlf", "to-lf"])
def test_diagnose_copy_in_text_mode_is_named(change: tuple[bytes, bytes]) -> None:
    data = weights(network(WIDE))
    if change[0] == b"\n":
        data = data.replace(b"\r\n", b"\r\0")
    mangled = data.replace(*change)
    assert len(mangled) != len(data)
    cause = _causes(WIDE, mangled)["text-mode"]
    assert f"{abs(len(mangled) - len(data)):,}" in cause.message
    assert "binary" in cause.remedy


def test_diagnose_file_saved_as_text_is_named() -> None:
    data = weights(network(WIDE)).decode("utf-8", "replace").encode()
    assert "U+FFFD" in _causes(WIDE, data[:12] + bytes(8) + data[20:])["text-mode"].message


def _with_odd_values() -> bytes:
    values = np.frombuffer(weights(network(SMALL)), np.float32).copy()
    values[-1], values[-2] = np.nan, np.inf
    return values.tobytes()


def test_load_non_finite_values_warns(tmp_path: Path) -> None:
    path = tmp_path / "nan.weights"
    path.write_bytes(_with_odd_values())
    with pytest.warns(UserWarning, match=re.escape(f"{path}: 2 NaN or infinite values")) as caught:
        darkparse.load(SMALL, path)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=re.escape(f"{path}: 2 NaN or infinite values")):
        read(SMALL, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        darkparse.load(SMALL, weights(network(SMALL)))


def test_weights_command_non_finite_values_exit_2_without_error_before_fits(tmp_path: Path) -> None:
    cfg, path = tmp_path / "a.cfg", tmp_path / "nan.weights"
    cfg.write_text(SMALL)
    path.write_bytes(_with_odd_values())
    command = [sys.executable, "-m", "darkparse", "weights", str(cfg), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "2 NaN or infinite values" in run.stdout
    assert "fits" in run.stdout
    assert "error:" not in run.stdout + run.stderr
