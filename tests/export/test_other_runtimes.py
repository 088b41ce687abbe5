"""TFLite and Core ML, whose converters have environments of their own."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import darkparse
from darkparse.cli import main
from tests.export.test_source import initialized, outputs
from tests.export.test_targets import SMALL

CLOSE = 1e-5


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Directory with `x.cfg` and its `x.weights`."""
    (tmp_path / "x.cfg").write_text(SMALL)
    darkparse.save_weights(initialized(darkparse.compile(SMALL)), tmp_path / "x.weights")
    return tmp_path


def convert(folder: Path, name: str, *options: str) -> None:
    main(["convert", str(folder / "x.cfg"), str(folder / "x.weights"), "-o", str(folder / name), *options])


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["raw", "yolov8"])
def test_tflite_file_equals_module(heads: Any, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("litert_torch", reason="needs litert-torch in its own environment: docs/howto/runtimes.md")
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(small, "x.tflite", "--heads", heads)
    captured = capsys.readouterr()
    assert "largest difference" in captured.out + captured.err
    interpreter = Interpreter(str(small / "x.tflite"))
    interpreter.allocate_tensors()
    ((image,), (output,)) = interpreter.get_input_details(), interpreter.get_output_details()
    x = torch.rand(1, 3, 32, 32)
    interpreter.set_tensor(image["index"], x.numpy())
    interpreter.invoke()
    actual = torch.from_numpy(interpreter.get_tensor(output["index"]))
    model = darkparse.load(small / "x.cfg", small / "x.weights")
    if heads == "raw":
        (expected,) = outputs(model, x)
        assert float((actual - expected).abs().max()) <= CLOSE * max(1.0, float(expected.abs().max()))
    else:
        assert actual.shape == (1, 7, 128)


@pytest.mark.skipif(find_spec("litert_torch") is not None, reason="needs an environment without litert-torch")
def test_tflite_without_converter_is_refused_with_the_way(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        convert(small, "x.tflite")
    assert stop.value.code == 2
    assert "requires litert-torch" in (message := capsys.readouterr().err)
    assert "onnx2tf -i X.onnx" in message
    assert not (small / "x.tflite").exists()


def test_tflite_with_unsupported_options_is_refused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkparse.cli.export.find_obstacle", lambda: "")
    for option in ("--half", "--dynamic-size", "--in-place"):
        with pytest.raises(SystemExit) as stop:
            convert(small, "x.tflite", option)
        assert stop.value.code == 2


@pytest.mark.slow
def test_core_ml_model_has_the_outputs_of_the_heads(small: Path) -> None:
    """The way of docs/howto/runtimes.md; a model runs on macOS only."""
    coremltools = pytest.importorskip("coremltools", reason="needs coremltools: pip install coremltools")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(small, "x.pt2", "--heads", "yolov8", "--fixed-batch", "--no-verify")
        program = torch.export.load(str(small / "x.pt2")).run_decompositions({})
        description = coremltools.convert(program).get_spec().description
    (image,), (output,) = description.input, description.output
    assert (image.name, list(image.type.multiArrayType.shape)) == ("x", [1, 3, 32, 32])
    assert list(output.type.multiArrayType.shape) == [1, 7, 128]
