"""Writing: whole or not at all, and only what a .weights file can hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import torch

import darkparse
from darkparse.weights import Header
from darkparse.weights.containers import SUFFIXES
from tests.weights.weight_files import ALEXEYAB, SMALL, network, weights

NET = network()


@pytest.fixture
def model() -> darkparse.Darknet:
    return darkparse.load(SMALL, weights(NET, ALEXEYAB))


def test_save_weights_sets_seen_and_version(model: darkparse.Darknet, tmp_path: Path) -> None:
    out = tmp_path / "out.weights"
    body = weights(NET)[20:]
    darkparse.save_weights(model, out, seen=12)
    assert out.read_bytes() == Header(0, 2, 5, 12).pack() + body
    darkparse.save_weights(model, out, version="0.1")
    assert out.read_bytes() == Header(0, 1, 0, ALEXEYAB.seen, 4).pack() + body
    darkparse.save_weights(model, out, version=(0, 2, 0), seen=2**40)
    assert out.read_bytes() == Header(0, 2, 0, 2**40).pack() + body
    darkparse.save_weights(model, out, header=Header(0, 2, 0, 1, 4))
    assert out.read_bytes() == Header(0, 2, 0, 1, 4).pack() + body
    with pytest.raises(darkparse.WeightsError, match="header out of range, got"):
        darkparse.save_weights(model, out, version="0.1", seen=2**40)
    with pytest.raises(darkparse.WeightsError, match=r"expected e\.g\. 0\.2\.5"):
        darkparse.save_weights(model, out, version="new")
    for version in ((1, 2), 5, ("a", 1, 2)):
        with pytest.raises(darkparse.WeightsError, match="invalid version"):
            darkparse.save_weights(model, out, version=version)  # type: ignore[arg-type]
    with pytest.raises(darkparse.WeightsError, match="invalid header, got"):
        darkparse.save_weights(model, out, seen=1.5)  # type: ignore[arg-type]
    assert out.read_bytes() == Header(0, 2, 0, 1, 4).pack() + body


def test_save_weights_of_new_model_writes_dialects_header(tmp_path: Path) -> None:
    for dialect, version in (("pjreddie", (0, 2, 0)), ("alexeyab", (0, 2, 5))):
        darkparse.save_weights(darkparse.load(SMALL, dialect=dialect), tmp_path / "new.weights")
        assert darkparse.load(SMALL, tmp_path / "new.weights").header == Header(*version)


def test_save_weights_of_half_precision_needs_widen(model: darkparse.Darknet, tmp_path: Path) -> None:
    out = tmp_path / "half.weights"
    half = model.half()
    with pytest.raises(darkparse.WeightsError, match=r"got float16 for layers\.0\.norm\.bias\nhint: pass widen=True"):
        darkparse.save_weights(half, out)
    assert not out.exists()
    darkparse.save_weights(half, out, widen=True)
    loaded = darkparse.load(SMALL, out).state_dict()
    assert all(torch.equal(tensor.float(), loaded[key]) for key, tensor in half.state_dict().items())


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_save_weights_of_fused_model_raises_or_writes_identity_batch_norm(dialect: str, tmp_path: Path) -> None:
    out = tmp_path / "fused.weights"
    model = darkparse.load(SMALL, weights(network(SMALL, dialect)), dialect=dialect)
    fused = darkparse.fuse(model)
    with pytest.raises(darkparse.WeightsError, match=r"no tensor layers\.0\.norm\.\w+: batch norm was folded"):
        darkparse.save_weights(fused, out)
    for ending in SUFFIXES:
        with pytest.raises(darkparse.WeightsError, match=r"batch norm was folded"):
            darkparse.save(fused, tmp_path / f"fused{ending}")
    assert darkparse.save_weights(fused, out, widen=True) == len(weights(NET))
    again = darkparse.load(SMALL, out, dialect=dialect)
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        for want, got in zip(fused(x), again(x), strict=True):
            assert (got - want).abs().max() <= 1e-6 * want.square().mean().sqrt()


def test_save_weights_of_changed_empty_or_foreign_module_raises(model: darkparse.Darknet, tmp_path: Path) -> None:
    with pytest.raises(darkparse.WeightsError, match="no values yet"):
        darkparse.save_weights(darkparse.build(NET), tmp_path / "x.weights")
    with pytest.raises(darkparse.WeightsError, match="expected a module that darkparse built, got Linear"):
        darkparse.save_weights(torch.nn.Linear(1, 1), tmp_path / "x.weights")
    with pytest.raises(darkparse.WeightsError, match=r"write \.pt files with darkparse\.save\(\)"):
        darkparse.save_weights(model, tmp_path / "x.pt")
    conv = model.get_submodule("layers.0.conv")
    conv.weight = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(darkparse.WeightsError, match=r"layers\.0\.conv\.weight, got \(1,\); expected \(8, 3, 3, 3\)"):
        darkparse.save_weights(model, tmp_path / "x.weights")
    model.layers[0] = torch.nn.Identity()
    with pytest.raises(darkparse.WeightsError, match="changed after it was built"):
        darkparse.save_weights(model, tmp_path / "x.weights")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_save_weights_unwraps_module(model: darkparse.Darknet, tmp_path: Path) -> None:
    parallel, compiled = torch.nn.DataParallel(model), cast("torch.nn.Module", torch.compile(model))
    wrapped: list[torch.nn.Module] = [
        parallel,
        torch.nn.DataParallel(compiled),
        cast("torch.nn.Module", torch.compile(parallel)),
    ]
    for number, module in enumerate(wrapped):
        out = tmp_path / f"{number}.weights"
        darkparse.save_weights(module, out)
        assert out.read_bytes() == weights(NET, ALEXEYAB)


def test_failed_save_keeps_old_file_and_leaves_no_other(
    model: darkparse.Darknet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "old.weights"
    out.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for save in (darkparse.save_weights, darkparse.save):
        with pytest.raises(darkparse.WeightsError, match=r"old\.weights: No space left on device"):
            save(model, out)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["old.weights"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits and signals: run it on Linux or macOS")
def test_save_on_full_disk_or_killed_keeps_old_file(tmp_path: Path) -> None:
    """The system itself refuses the bytes after the first three thousand;
    then the process dies with all of them written."""
    (tmp_path / "small.cfg").write_text(SMALL)
    (tmp_path / "old.weights").write_bytes(b"old")
    code = """
import os, pathlib, resource, signal
import darkparse
model = darkparse.load('small.cfg')
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
try:
    darkparse.save_weights(model, 'old.weights')
except darkparse.WeightsError as problem:
    print(problem)
print(*sorted(path.name for path in pathlib.Path().iterdir()), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
darkparse.save_weights(model, 'old.weights')
"""
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == -9
    assert done.stdout == "old.weights: File too large\nold.weights small.cfg\n"
    assert (tmp_path / "old.weights").read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="needs file permissions and links: run it on Linux or macOS")
def test_save_weights_keeps_permissions_and_links(model: darkparse.Darknet, tmp_path: Path) -> None:
    target, link = tmp_path / "target.weights", tmp_path / "link.weights"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    darkparse.save_weights(model, link)
    assert link.is_symlink()
    assert target.read_bytes() == weights(NET, ALEXEYAB)
    assert target.stat().st_mode & 0o777 == 0o640
    mask = os.umask(0o022)
    os.umask(mask)
    darkparse.save_weights(model, tmp_path / "new.weights")
    assert (tmp_path / "new.weights").stat().st_mode & 0o777 == 0o666 & ~mask
    darkparse.save_weights(model, "/dev/null")
    assert Path("/dev/null").is_char_device()


def test_save_weights_into_missing_directory_raises(model: darkparse.Darknet, tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no" / "x.weights", "does not exist"), (tmp_path, "is a directory")):
        with pytest.raises(darkparse.WeightsError, match=reason):
            darkparse.save_weights(model, path)
