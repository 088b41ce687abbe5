"""A cfg that asks for more than there is: an error with the size, at once, and no memory taken."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import darkparse
from darkparse.weights.buffer import FileBuffer
from tests.weights.weight_files import PJREDDIE

HUGE = (
    "[net]\nwidth=8\nheight=8\nchannels=3\n"
    "[convolutional]\nbatch_normalize=1\nfilters=2000000000\nsize=3\npad=1\nactivation=leaky\n"
)
BEYOND = f"{HUGE}[convolutional]\nfilters=2000000000\nsize=3\n"
NEED = 20 + 4 * (4 * 2_000_000_000 + 27 * 2_000_000_000)


def test_load_tiny_file_for_huge_cfg_names_needed_size() -> None:
    with pytest.raises(darkparse.WeightsError, match=f"requires {NEED:,} bytes .*, got 120"):
        darkparse.load(darkparse.compile(HUGE, darkparse.CompileOptions(limits=None)), PJREDDIE.pack() + bytes(100))
    assert (
        darkparse.build(darkparse.compile(HUGE, darkparse.CompileOptions(limits=None)))
        .state_dict()["layers.0.conv.weight"]
        .shape[0]
        == 2_000_000_000
    )


@pytest.mark.slow
def test_load_tiny_file_for_huge_cfg_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "huge.cfg").write_text(HUGE)
    (tmp_path / "huge.weights").write_bytes(PJREDDIE.pack() + bytes(100))
    code = """
import resource, sys, time
import darkparse, torch
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
resource.setrlimit(resource.RLIMIT_AS, (int(8e9), int(8e9)))
huge = darkparse.compile('huge.cfg', darkparse.CompileOptions(limits=None))
for weights in ('huge.weights', open('huge.weights', 'rb').read()):
    try:
        darkparse.load(huge, weights)
    except darkparse.WeightsError as problem:
        print(str(problem).splitlines()[2].strip())
darkparse.build(huge)
try:
    darkparse.load(huge)
except darkparse.DarkparseError as problem:
    print(problem)
assert time.perf_counter() - start < 5
# ru_maxrss counts kilobytes on Linux, bytes on macOS.
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40e3 * (1024 if sys.platform == 'darwin' else 1)
"""
    if sys.platform == "win32":
        pytest.skip("needs resource limits: run it on Linux or macOS")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == second == f"huge requires {NEED:,} bytes (20 for the header, {(NEED - 20) // 4:,} floats), got 120"
    assert f"huge requires {NEED - 20:,} bytes for its parameters" in third
    assert third.endswith(" are free")


def test_load_huge_cfg_exceeds_limits() -> None:
    with pytest.raises(
        darkparse.CfgError, match=r"<text>:5:1: .*output must be at most 2,147,483,648, got 128,000,000,000"
    ):
        darkparse.load(HUGE)


def test_load_beyond_torchs_address_range_raises() -> None:
    start = time.perf_counter()
    with pytest.raises(darkparse.WeightsError, match=r"requires 144,000,\d\d\d,\d\d\d,\d\d\d,\d\d\d,\d\d\d bytes"):
        darkparse.load(darkparse.compile(BEYOND, darkparse.CompileOptions(limits=None)), PJREDDIE.pack() + bytes(99))
    with pytest.raises(
        darkparse.DarkparseError,
        match=r"layer 1 \[convolutional\] \(<text>:11:1\), which is more than torch can "
        r"address",
    ):
        darkparse.build(darkparse.compile(BEYOND, darkparse.CompileOptions(limits=None)))
    assert time.perf_counter() - start < 5


def test_archive_may_unpack_to_100_times_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.weights.buffer.MIN_UNPACKED_LIMIT", 0)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("0.npy", b"packed")
    data = bytearray(file.getvalue())
    declared = data.index(b"PK\1\2") + 24  # the unpacked size in the directory

    def check(size: int) -> None:
        data[declared : declared + 4] = size.to_bytes(4, "little")
        FileBuffer("x.npz", memoryview(bytes(data))).check_unpacked_size()

    check(100 * len(data))
    with pytest.raises(darkparse.WeightsError, match="at most 100 times the size"):
        check(100 * len(data) + 1)
