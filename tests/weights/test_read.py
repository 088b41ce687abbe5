"""One reader for all: a weights file is opened once and identified once, and little code and memory lies on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse.cli import main
from darkparse.weights import LoadedArrays, read
from darkparse.weights.file_type import detect_file_type
from tests.detect.reference import picture, tiny_weights
from tests.weights.weight_files import SMALL, weights
from tests.weights.weight_files import network as compiled

opened: list[str] = []
"""Paths that Python opened while `counts` counts; an audit hook stays for the life of the process."""
is_counting = False


def _record_open(event: str, arguments: tuple[Any, ...]) -> None:
    if is_counting and event == "open" and isinstance(arguments[0], str | os.PathLike):
        opened.append(os.fspath(arguments[0]))


sys.addaudithook(_record_open)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Count how often a file's type is detected, and record what is opened."""
    found = {"detections": 0}

    def count(data: Any) -> Any:
        found["detections"] += 1
        return detect_file_type(data)

    monkeypatch.setattr("darkparse.weights.buffer.detect_file_type", count)
    monkeypatch.setattr(sys.modules[__name__], "is_counting", True)
    opened.clear()
    yield found
    opened.clear()


def command(*arguments: str) -> None:
    code: object = None
    try:
        main(list(arguments))
    except SystemExit as stop:
        code = stop.code
    assert code in (None, 0)


CASES: dict[str, Callable[[str, str], object]] = {
    "read": lambda cfg, file: read(cfg, file),
    "load": lambda cfg, file: darkparse.load(cfg, file),
    "load_weights": lambda cfg, file: darkparse.load_weights(darkparse.build(cfg), file),
    "Detector.load": lambda cfg, file: darkparse.Detector.load(cfg, file),
    "Detector.load onnxruntime": lambda cfg, file: darkparse.Detector.load(cfg, file, engine="onnxruntime"),
    "to_onnx": lambda cfg, file: darkparse.to_onnx(cfg, "x.onnx", weights=file),
    "to_onnx verify": lambda cfg, file: darkparse.to_onnx(cfg, "x.onnx", weights=file, verify=True),
    "inspect_weights": lambda cfg, file: darkparse.inspect_weights(cfg, file),
    "convert": lambda cfg, file: command("convert", cfg, file, "-o", "x.npz", "--no-verify"),
    "convert to .pt": lambda cfg, file: command("convert", cfg, file, "-o", "x.pt", "--no-verify"),
    "convert to .onnx": lambda cfg, file: command("convert", cfg, file, "-o", "x.onnx"),
    "detect": lambda cfg, file: command("detect", cfg, file, "x.png"),
}
ONE_KIND: dict[str, Callable[[str, str], object]] = {
    "weights": lambda cfg, file: command("weights", cfg, file),
    "compare": lambda cfg, file: command("compare", cfg, file, "x.png", "--against", "layers.npz"),
}
"""What takes `.weights` files, or of which one kind is enough."""
OPENED = {".weights": 1, ".safetensors": 1, ".npz": 1, ".pt": 2}
"""How often each kind of file is opened; torch opens a checkpoint once more, to map it."""
ENDINGS = tuple(OPENED)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with its weights in every kind of file, an image and its layers' outputs."""
    folder = tmp_path_factory.mktemp("files")
    cfg, file = tiny_weights(folder)
    model = darkparse.load(cfg, file, dialect="alexeyab")
    for ending in ENDINGS[1:]:
        darkparse.save(model, folder / f"tiny{ending}")
    Image.fromarray(picture(0)).save(folder / "x.png")
    prepared = darkparse.Detector(model).prepare(folder / "x.png")
    with torch.no_grad():
        outputs = model.layer_outputs(torch.from_numpy(prepared.values)[None])
    arrays: dict[str, Any] = {str(index): output.numpy() for index, output in enumerate(outputs)}
    np.savez(folder / "layers.npz", **arrays)
    return folder


@pytest.fixture
def folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `files`, which is the current directory."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        *((name, ending) for name in CASES for ending in ENDINGS if (name, ending) != ("inspect_weights", ".pt")),
        *((name, ".weights") for name in ONE_KIND),
    ],
)
def test_command_opens_and_identifies_weights_once(
    folder: Path, counts: dict[str, int], name: str, ending: str
) -> None:
    if "onnx" in name:
        pytest.importorskip("onnxruntime")
    (CASES | ONE_KIND)[name]("tiny.cfg", f"tiny{ending}")
    assert opened.count(f"tiny{ending}") == OPENED[ending]
    assert counts["detections"] == 1


@pytest.mark.parametrize("ending", ENDINGS[1:])
def test_load_opens_and_identifies_container_once(folder: Path, counts: dict[str, int], ending: str) -> None:
    darkparse.load(f"tiny{ending}")
    assert opened.count(f"tiny{ending}") == OPENED[ending]
    assert counts["detections"] == 1


def test_diff_opens_and_identifies_each_file_once(folder: Path, counts: dict[str, int]) -> None:
    Path("other.weights").write_bytes(Path("tiny.weights").read_bytes())
    opened.clear()
    command("diff", "tiny.weights", "other.weights", "--cfg", "tiny.cfg")
    assert sorted(path for path in opened if path.endswith(".weights")) == ["other.weights", "tiny.weights"]
    assert counts["detections"] == 2


GENERIC = ("layers", "network", "syntax", "diagnostics", "model/modules", "model/heads", "model/recurrent")
"""What compiles any cfg, and the modules that layers are made of."""


def _files_on_the_way(action: Callable[[], object]) -> set[str]:
    """Return the files of darkparse of which a function runs, but for the generic ones."""
    root, files = Path(darkparse.__file__).parent, set[str]()

    def note(frame: Any, event: str, argument: object) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    own = {Path(file).relative_to(root).as_posix() for file in files if Path(file).is_relative_to(root)}
    return {file for file in own if not file.startswith(GENERIC)}


def test_load_runs_through_eight_files(tmp_path: Path) -> None:
    (tmp_path / "x.weights").write_bytes(weights(compiled()))
    darkparse.load(SMALL, tmp_path / "x.weights")  # imports what is imported late
    files = _files_on_the_way(lambda: darkparse.load(SMALL, tmp_path / "x.weights"))
    expected = {"model/loading.py", "model/darknet.py"}
    expected |= {f"weights/{name}.py" for name in ("arrays", "buffer", "file_type", "fitting", "header", "layout")}
    assert files == expected


WIDE = "[net]\nwidth=8\nheight=8\nchannels=1024\n" + "[convolutional]\nfilters=1024\nsize=3\npad=1\n" * 3
MEASURED = """
import sys
from pathlib import Path
from darkparse.cli import main

def convert(cfg, weights, out):
    try:
        main(["convert", cfg, weights, "-o", out])
    except SystemExit as stop:
        assert not stop.code, stop.code

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])

convert("small.cfg", "small.weights", "out" + sys.argv[1])
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
convert("wide.cfg", "wide.weights", "out" + sys.argv[1])
assert "torch" not in sys.modules
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="needs /proc/self/clear_refs: run it on Linux"
)
@pytest.mark.parametrize("ending", [".safetensors", ".weights"])
def test_convert_takes_little_more_memory_than_file(tmp_path: Path, ending: str) -> None:
    """The peak of resident memory, mapped pages included, of converting 113 MB without torch."""
    for name, cfg in (("small", SMALL), ("wide", WIDE)):
        (tmp_path / f"{name}.cfg").write_text(cfg)
        (tmp_path / f"{name}.weights").write_bytes(weights(compiled(cfg)))
    size = (tmp_path / "wide.weights").stat().st_size
    assert size > 100e6
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, ending], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) <= 1.3 * size
    again, first = (np.memmap(tmp_path / name, np.uint8, "r") for name in (f"out{ending}", "wide.weights"))
    assert abs(again.size - first.size) < 4096


def test_read_arrays_are_views_of_mapped_file(folder: Path) -> None:
    for ending in (".weights", ".safetensors"):
        loaded = read("tiny.cfg", f"tiny{ending}")
        assert loaded is not None
        assert loaded.file.is_mapped
        assert all(np.shares_memory(array.read(), loaded.file.data) for array in loaded.arrays.values())


def test_load_of_read_arrays_opens_no_file(folder: Path, counts: dict[str, int]) -> None:
    loaded = read("tiny.cfg", "tiny.weights")
    assert isinstance(loaded, LoadedArrays)
    state = darkparse.load(loaded.network, loaded).state_dict()
    assert all(np.array_equal(state[key].numpy(), array.read()) for key, array in loaded.arrays.items())
    detector = darkparse.Detector.load(loaded.network, loaded)
    assert detector.network is loaded.network
    assert opened.count("tiny.weights") == 1


def test_to_onnx_reads_half_precision_and_third_party_names(folder: Path) -> None:
    """Neither needs a module; bfloat16 is none of numpy's dtypes."""
    network = darkparse.compile("tiny.cfg", dialect="alexeyab")
    darkparse.to_onnx(network, "want.onnx", weights="tiny.weights")
    model = darkparse.load(network, "tiny.weights")
    names = {key: f"module_list.{key.split('.')[1]}.Conv2d.{key.split('.')[-1]}" for key in model.state_dict()}
    torch.save({names[key]: value for key, value in model.state_dict().items()}, "theirs.pt")
    darkparse.to_onnx(network, "got.onnx", weights="theirs.pt")
    assert Path("got.onnx").read_bytes() == Path("want.onnx").read_bytes()
    darkparse.save(model.bfloat16(), "half.safetensors")
    darkparse.to_onnx(network, "got.onnx", weights="half.safetensors")
    darkparse.to_onnx(model, "want.onnx")
    assert Path("got.onnx").read_bytes() == Path("want.onnx").read_bytes()


def test_non_finite_warning_names_callers_line(folder: Path) -> None:
    data = np.frombuffer(Path("tiny.weights").read_bytes(), np.float32).copy()
    data[-1] = np.nan
    Path("nan.weights").write_bytes(data.tobytes())
    for action in (darkparse.load, darkparse.Detector.load, read):
        with pytest.warns(UserWarning, match="1 NaN or infinite value") as caught:
            action("tiny.cfg", "nan.weights")
        assert [warning.filename for warning in caught] == [__file__]
