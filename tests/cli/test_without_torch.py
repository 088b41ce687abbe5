"""What needs no torch works where it is not installed, and what is wrong is said before it is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darkparse
from tests.conftest import ROOT
from tests.detect.reference import picture, tiny_weights

PACKAGES = ("lark", "numpy", "pyyaml", "click", "rich", "lazy_loader", "filelock", "graphviz", "pillow", "onnxruntime")


def save_picture(path: Path, seed: int = 0) -> None:
    from PIL import Image

    Image.fromarray(picture(seed)).save(path)


WRONG: tuple[tuple[str, str], ...] = (
    ("detect none.cfg tiny.weights x.png", "none.cfg"),
    ("detect tiny.cfg none.weights x.png", "none.weights"),
    ("detect tiny.cfg tiny.weights none.png", "none.png"),
    ("detect tiny.cfg short.weights x.png", "short.weights"),
    ("detect tiny.cfg tiny.weights x.png --names none.names", "none.names"),
    ("detect tiny.cfg tiny.weights x.png --engine onnxruntime --dtype float16", "engine openvino or torch for float16"),
    ("detect wrong.cfg tiny.weights x.png", "wrong.cfg:8:9"),
    ("evaluate tiny.cfg none.weights --annotations x.png --images .", "none.weights"),
    ("evaluate tiny.cfg tiny.weights --annotations none.json --images .", "none.json"),
    ("compare tiny.cfg tiny.weights x.png --against none.npz", "none.npz"),
    ("convert tiny.cfg tiny.weights -o x.engine", "trtexec --onnx"),
    ("convert tiny.cfg tiny.weights -o x.tflite", "onnx2tf -i"),
    ("convert tiny.cfg tiny.weights -o x.mlpackage", "coremltools.convert"),
    ("convert tiny.cfg tiny.weights -o x.zip", "unsupported output format"),
    ("convert tiny.cfg none.weights -o x.pt2", "none.weights"),
    ("convert tiny.cfg short.weights -o x.pt", "short.weights"),
    ("convert wrong.cfg tiny.weights -o x.ts", "wrong.cfg:8:9"),
    ("convert tiny.cfg tiny.weights -o x.pt2 --upto 1", "--upto"),
    ("convert tiny.cfg tiny.weights -o x.ts --dynamic-size", "--dynamic-size does not apply"),
    ("convert tiny.cfg tiny.weights -o x.npz --half", "--half does not apply"),
    ("emit none.cfg", "none.cfg"),
)


def test_wrong_input_is_reported_before_torch_is_imported(tmp_path: Path) -> None:
    tiny_weights(tmp_path)
    save_picture(tmp_path / "x.png")
    (tmp_path / "short.weights").write_bytes((tmp_path / "tiny.weights").read_bytes()[:-4])
    (tmp_path / "wrong.cfg").write_text((tmp_path / "tiny.cfg").read_text().replace("filters=8", "filters=-8", 1))
    script = f"""
import contextlib, io, sys
from darkparse.cli import main
for command, said in {WRONG!r}:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            main(command.split())
        except SystemExit as stop:
            assert stop.code == 2, (command, stop.code)
    assert said in errors.getvalue(), (command, errors.getvalue())
    assert "torch" not in sys.modules, command
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment without torch."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    found = subprocess.run(
        [*pip, "-c", str(ROOT / "constraints.txt"), *PACKAGES], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"needs a package index: {found.stderr.strip()[-200:]}")
    subprocess.run([*pip, "--no-deps", str(ROOT)], check=True, capture_output=True)
    return scripts / "darkparse"


ALL = """
list
show yolov4
show tiny.cfg --size 64
draw yolov4 -o x.dot
check yolov4
explain yolov4
edit yolov3 --classes 3 -o mine.cfg
emit tiny.cfg
weights tiny.cfg tiny.weights
weights yolov4
diff tiny.weights tiny.weights --cfg tiny.cfg
convert tiny.cfg tiny.weights -o x.npz
convert x.npz -o again.weights
convert tiny.cfg tiny.weights --upto 1 -o tiny.conv.1
convert tiny.cfg tiny.conv.1 --partial -o part.weights --seen 7
convert tiny.cfg tiny.weights -o x.onnx --heads nms --dynamic-size
convert x.npz -o y.onnx
detect tiny.cfg tiny.weights x.png --engine onnxruntime
detect tiny.cfg tiny.weights x.png y.png --format json
evaluate tiny.cfg tiny.weights --annotations labels --images images --engine onnxruntime --rule darknet
"""
REFUSED = (
    "detect tiny.cfg tiny.weights x.png --engine torch",
    "convert tiny.cfg tiny.weights -o x.pt",
    "convert tiny.cfg tiny.weights -o x.pt2",
    "convert tiny.cfg tiny.weights -o v.onnx --verify",
    "compare tiny.cfg tiny.weights x.png --against x.onnx",
)


@pytest.mark.slow
def test_commands_that_need_no_torch_run_without_it(bare: Path, tmp_path: Path) -> None:
    tiny_weights(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for path in ("x.png", "y.png", "images/x.png"):
        save_picture(tmp_path / path)
    (tmp_path / "labels" / "x.txt").write_text("0 0.5 0.5 0.3 0.3\n")

    def run(command: str) -> Any:
        return subprocess.run([bare, *command.split()], cwd=tmp_path, capture_output=True, text=True, check=False)

    for command in ALL.strip().splitlines():
        done = run(command)
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "again.weights").read_bytes() == (tmp_path / "tiny.weights").read_bytes()
    lines = run("detect tiny.cfg tiny.weights x.png --engine onnxruntime --threshold 0.6").stdout.splitlines()
    detector = darkparse.Detector.load(tmp_path / "tiny.cfg", tmp_path / "tiny.weights")
    assert sorted(lines) == sorted(d.line for d in detector.detect(picture(0), threshold=0.6))
    for command in REFUSED:
        done = run(command)
        assert done.returncode == 2, command
        assert "pip install torch" in done.stderr, command
        assert "Traceback" not in done.stderr, command


def test_convert_without_torch_writes_same_bytes_as_with_it(tmp_path: Path) -> None:
    cfg, weights = tiny_weights(tmp_path)
    model = darkparse.load(cfg, weights)
    darkparse.save(model, tmp_path / "torch.npz")
    script = f"""
import sys
from darkparse.cli import main
for out in ("mine.npz", "mine.safetensors", "mine.weights"):
    try:
        main(["convert", {str(cfg)!r}, {str(weights)!r}, "-o", out])
    except SystemExit as stop:
        assert not stop.code
assert "torch" not in sys.modules
"""
    pytest.importorskip("safetensors")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    theirs, mine = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("torch", "mine"))
    assert sorted(theirs) == sorted(mine)
    assert all(theirs[key].tobytes() == mine[key].tobytes() for key in theirs)
    loaded = darkparse.load(tmp_path / "mine.safetensors")
    assert loaded.header == model.header
    assert {k: v.numpy().tobytes() for k, v in loaded.state_dict().items()} == {
        k: v.numpy().tobytes() for k, v in model.state_dict().items()
    }
    assert (tmp_path / "mine.weights").read_bytes() == weights.read_bytes()
