"""How a graph reaches a runtime, and the memory that this takes beside the runtime called directly."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse import Detector
from darkparse.detect.engines import runtimes
from tests.detect.reference import picture, tiny_weights
from tests.detect.test_engines import assert_same, each

MAX_MEMORY_FACTOR, MAX_MORE_MEGABYTES = 1.2, 40
"""Memory of a detector's process beside one that runs the exported graph."""
PEAK = """
import sys
import numpy as np
image = np.zeros((1, 3, 64, 64), np.float32)
{}
assert "torch" not in sys.modules
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024)
"""
DETECTOR = """
import darkparse
darkparse.Detector.load("yolov3-tiny", "x.weights", size=64, engine="{}").engine.candidates(image, 0.5, 0.5)
"""
BY_HAND = {
    "openvino": """
import openvino
settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
core = openvino.Core()
core.compile_model(core.read_model("x.onnx"), "CPU", settings)(image)
""",
    "onnxruntime": """
import onnxruntime
onnxruntime.InferenceSession("x.onnx", providers=["CPUExecutionProvider"]).run(None, {"image": image})
""",
}


def record_graphs(engine: str, monkeypatch: pytest.MonkeyPatch) -> list[runtimes.GraphFile]:
    """Return a list that is filled with the graphs that the runtime of an engine gets."""
    graphs: list[runtimes.GraphFile] = []
    make = runtimes.RUNTIMES[engine]

    def record(graph: runtimes.GraphFile, *arguments: Any) -> runtimes.Run:
        assert isinstance(graph, bytes) or graph.is_file()
        graphs.append(graph)
        return make(graph, *arguments)

    monkeypatch.setitem(runtimes.RUNTIMES, engine, record)
    return graphs


@each
@pytest.mark.parametrize("data_name", [runtimes.EXTERNAL_DATA_NAME, None])
def test_engine_reads_large_graph_from_file_that_is_deleted(
    engine: str, data_name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = record_graphs(engine, monkeypatch)
    monkeypatch.setattr(runtimes, "EXTERNAL_DATA_NAME", data_name)
    monkeypatch.setattr(runtimes, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cfg, weights = tiny_weights(tmp_path)
    before = set(tmp_path.iterdir())
    assert_same(cfg, weights, engine)
    assert len(graphs) == 2
    assert all(isinstance(graph, Path) for graph in graphs)
    assert set(tmp_path.iterdir()) == before


@each
@pytest.mark.parametrize("fault", ["no directory", "no space"])
def test_engine_without_temporary_file_gets_graph_in_memory(
    engine: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = record_graphs(engine, monkeypatch)
    monkeypatch.setattr(runtimes, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    if fault == "no space":
        (tmp_path / "none").mkdir()
        open_path = Path.open

        def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
            if path.name == "graph.onnx":
                raise OSError(28, "No space left on device")
            return open_path(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", refuse)
        make = runtimes.RUNTIMES[engine]

        def check(graph: runtimes.GraphFile, *arguments: Any) -> runtimes.Run:
            assert list((tmp_path / "none").iterdir()) == []  # the space is free again before the graph is in memory
            return make(graph, *arguments)

        monkeypatch.setitem(runtimes.RUNTIMES, engine, check)
    detector = Detector.load(*tiny_weights(tmp_path), engine=engine)
    assert detector.detect(picture(0, 40, 56), threshold=0.1)
    assert [type(graph) for graph in graphs] == [bytes]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc for the peak memory: run it on Linux")
@each
def test_engine_needs_little_more_memory_than_its_runtime(engine: str, tmp_path: Path) -> None:
    network = darkparse.compile("yolov3-tiny", size=64)
    darkparse.save_weights(darkparse.load(network), tmp_path / "x.weights")
    darkparse.to_onnx(network, tmp_path / "x.onnx", weights=tmp_path / "x.weights", dynamic_batch=False)
    scripts = (PEAK.format(BY_HAND[engine]), PEAK.format(DETECTOR.format(engine)))
    runs = np.array([[_run(script, tmp_path) for script in scripts] for _ in range(3)])
    by_hand, detector = (median(column) for column in runs.T)
    assert detector <= MAX_MEMORY_FACTOR * by_hand + MAX_MORE_MEGABYTES, runs.tolist()


def _run(script: str, folder: Path) -> float:
    """Return the number that a script prints."""
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_openvino_runs_hold_the_lock_only_for_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[bool] = []

    class Request:
        def infer(self, feeds: dict[str, Any], share_inputs: bool) -> dict[str, Any]:
            locked.append(runtimes._openvino_lock.locked())
            return feeds

    compiled = SimpleNamespace(create_infer_request=Request)
    core = SimpleNamespace(read_model=lambda graph: graph, compile_model=lambda *arguments: compiled)
    monkeypatch.setattr(runtimes, "_load_openvino_core", lambda: core)
    run = runtimes.RUNTIMES["openvino"](b"", 2, 1, "float32")
    assert [list(run({"image": np.ones(number, np.float32)})[0]) for number in (1, 2, 3)] == [[1], [1, 1], [1, 1, 1]]
    assert locked == [True, False, False]
    assert not runtimes._openvino_lock.locked()
