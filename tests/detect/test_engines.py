"""One detector on several engines: the same boxes, and no torch where torch does not run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse import Detector
from darkparse.cli import main
from darkparse.datasets.sources import InputFile
from darkparse.detect.batch import process
from darkparse.detect.engines import graph_engine, runtimes
from darkparse.detect.engines.engine import ENGINES, FASTEST_FIRST, choose_engine, has_gpu
from darkparse.network.detection_settings import DetectionSettings
from darkparse.onnx.context import EMITTERS
from darkparse.onnx.graph import Graph
from darkparse.onnx.serialization import OnnxModel
from tests.conftest import DATA
from tests.detect.reference import picture, tiny_weights

OTHERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"needs {name}: pip install 'darkparse[{name}]'")
    )
    for name in ENGINES
    if name != "torch"
]
each = pytest.mark.parametrize("engine", OTHERS)


def stored(cfg: Path, dialect: str | None = None) -> Path:
    """Weights for a cfg: small numbers, and positive ones where a variance may be."""
    network = darkparse.compile(cfg, dialect=dialect)
    values = np.abs(np.random.RandomState(1).normal(0, 0.3, network.stored_floats)).astype("<f4")
    values[::3] *= -1 if "batch_normalize" not in cfg.read_text("utf-8") else 1
    path = cfg.with_suffix(".weights")
    path.write_bytes(np.array([0, 2, 5, 0, 0], "<i4").tobytes() + values.tobytes())
    return path


def rows(found: Any) -> Any:
    """Class, score, objectness and box of each."""
    return np.array([(d.class_id, d.score, d.objectness, *d.box) for d in found]).reshape(-1, 7)


def assert_same(
    cfg: Path,
    weights: Path,
    engine: str,
    settings: DetectionSettings = DetectionSettings(threshold=0.1),
    *,
    batches: bool = True,
    dialect: str | None = None,
    names: list[str] | None = None,
) -> None:
    """What an engine finds is what torch finds, one by one and as a stream."""
    want, got = (Detector.load(cfg, weights, engine=name, dialect=dialect, names=names) for name in ("torch", engine))
    assert got.engine.name == engine
    pictures = [picture(n, 40 + 9 * n, 56) for n in range(4)]
    mine = [want.detect(one, settings) for one in pictures]
    assert sum(map(len, mine)) > 3
    runs: list[Callable[[], Any]] = [lambda: [got.detect(one, settings) for one in pictures]]
    if batches:
        runs.append(lambda: list(got.stream(pictures, settings, batch=3, workers=2)))
    for run in runs:
        for a, b in zip(mine, run(), strict=True):
            assert_equal_but_for_ties(rows(a), rows(b))


def assert_equal_but_for_ties(mine: Any, theirs: Any) -> None:
    """The rows of equal scores may stand in any order."""
    assert len(mine) == len(theirs)
    apart = (np.abs(mine[:, None] - theirs) / np.maximum(np.abs(theirs), 1)).max(-1, initial=0)
    assert max(apart.min(0, initial=1).max(initial=0), apart.min(1, initial=1).max(initial=0)) < 2e-5


@each
@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_engine_boxes_equal_torch(engine: str, dialect: str, tmp_path: Path) -> None:
    assert_same(*tiny_weights(tmp_path), engine, dialect=dialect)


@each
@pytest.mark.parametrize(
    ("dialect", "hierarchy"),
    [
        ("pjreddie", 0.2),
        ("alexeyab", 0.5),
        pytest.param("pjreddie", 0.5, marks=pytest.mark.slow),
        pytest.param("alexeyab", 0.2, marks=pytest.mark.slow),
    ],
)
def test_engine_hierarchy_threshold_equals_torch(engine: str, dialect: str, hierarchy: float, tmp_path: Path) -> None:
    """It is part of the graph, which is made anew for another one."""
    text = (DATA / "kinds" / "region_tree.cfg").read_text("utf-8")
    (tmp_path / "x.cfg").write_text(text, "utf-8")
    for side in (DATA / "kinds").glob("*.tree"):
        (tmp_path / side.name).write_bytes(side.read_bytes())
    network = darkparse.compile(tmp_path / "x.cfg", dialect=dialect)
    names = [str(i) for i in range(network.nodes[-1].layer.classes)]  # type: ignore[attr-defined]
    weights = stored(tmp_path / "x.cfg", dialect)
    settings = DetectionSettings(threshold=0.02, hierarchy=hierarchy)
    assert_same(tmp_path / "x.cfg", weights, engine, settings, dialect=dialect, names=names)


@each
@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_engine_class_map_scores_equal_torch(engine: str, dialect: str, tmp_path: Path) -> None:
    text = (DATA / "kinds" / "region_tree.cfg").read_text("utf-8")
    (tmp_path / "x.cfg").write_text(f"{text}map=x.map\n", "utf-8")
    (tmp_path / "x.map").write_text("2\n4\n", "utf-8")
    (tmp_path / "words.tree").write_bytes((DATA / "kinds" / "words.tree").read_bytes())
    weights = stored(tmp_path / "x.cfg", dialect)
    settings, found = DetectionSettings(threshold=0.001, nms=0), []
    for name in ("torch", engine):
        detector = Detector.load(
            tmp_path / "x.cfg", weights, engine=name, dialect=dialect, names=["cat", "cow"], use_class_map=True
        )
        found.append(rows(detector.detect(picture(1), settings)))
    assert set(found[0][:, 0]) == {0, 1}
    assert (found[0][:, 1] <= found[0][:, 2]).all(), "a score is the objectness times a probability"
    assert_equal_but_for_ties(*found)


CLASSIFIER = """
[net]
width=16
height=16
channels=3
[convolutional]
filters=4
size=3
activation=leaky
[avgpool]
[softmax]
tree=x.tree
"""


@pytest.mark.parametrize("engine", ["torch", *OTHERS])
@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
def test_classifier_tree_scores_multiply_along_path(engine: str, dialect: str, tmp_path: Path) -> None:
    """pjreddie's fork ranks the leaves alone (classifier.c predict_classifier)."""
    (tmp_path / "x.tree").write_text("animal -1\nthing -1\ndog 0\ncat 0\n", "utf-8")
    (tmp_path / "x.cfg").write_text(CLASSIFIER, "utf-8")
    weights = stored(tmp_path / "x.cfg", dialect)
    detector = Detector.load(tmp_path / "x.cfg", weights, dialect=dialect, engine=engine, names=list("atdc"))
    scores = {d.name: d.score for d in detector.detect(picture(0), darkparse.DetectionSettings(top=4))}
    animal = scores["d"] + scores["c"]
    if dialect == "pjreddie":
        assert scores["a"] == 0
    else:
        assert scores["a"] == pytest.approx(animal)
    assert 0 < animal < 1
    assert animal + scores["t"] == pytest.approx(1)


REMEMBERING = """
[net]
width=32
height=32
channels=3
[crnn]
pad=1
hidden=4
output=21
activation=tanh
[maxpool]
size=8
stride=8
[yolo]
mask=0,1,2
anchors=6,6, 12,12, 24,20
classes=2
num=3
"""


@each
def test_engine_state_continues_as_in_torch(engine: str, tmp_path: Path) -> None:
    cfg = tmp_path / "x.cfg"
    cfg.write_text(REMEMBERING, "utf-8")
    assert_same(cfg, stored(cfg), engine, batches=False)
    found = []
    for name in ("torch", engine):
        detector = Detector.load(cfg, cfg.with_suffix(".weights"), engine=name)
        pictures = [detector.prepare(picture(n)) for n in range(3)]
        settings = darkparse.DetectionSettings(threshold=0.1)
        detector.reset_state()
        found.append([rows(detector.run([one], settings, continuing=True)[0]) for one in pictures])
        forgotten = rows(detector.run([pictures[-1]], settings)[0])
        assert forgotten.shape != found[-1][-1].shape or not np.allclose(forgotten, found[-1][-1], atol=1e-4)
    for a, b in zip(*found, strict=True):
        assert_equal_but_for_ties(a, b)


def test_each_video_starts_without_the_state_of_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tmp_path / "x.cfg"
    cfg.write_text(REMEMBERING, "utf-8")
    closed: list[Path] = []

    class Video:
        rate = 10

        def __init__(self, path: Path) -> None:
            self.path = path

        def __iter__(self) -> Iterator[Any]:
            return iter([picture(0), picture(1)])

        def close(self) -> None:
            closed.append(self.path)

    monkeypatch.setattr(process, "Video", Video)
    detector = Detector.load(cfg, stored(cfg), engine="torch")
    videos = [InputFile(tmp_path / name, tmp_path) for name in ("a.mp4", "b.mp4")]
    results = process.process(detector, videos, darkparse.DetectionSettings(threshold=0.1), batch=1)
    found = [(outcome.source.path.name, outcome.frame, rows(outcome.result)) for outcome in results]
    assert [(name, frame) for name, frame, _ in found] == [("a.mp4", 0), ("a.mp4", 1), ("b.mp4", 0), ("b.mp4", 1)]
    for (*_, first), (*_, second) in zip(found[:2], found[2:], strict=True):
        np.testing.assert_array_equal(first, second)
    assert closed == [video.path for video in videos]
    again = detector.run([detector.prepare(picture(0))], darkparse.DetectionSettings(threshold=0.1), continuing=True)
    assert rows(again[0]).shape != found[2][2].shape or not np.allclose(rows(again[0]), found[2][2], atol=1e-4)


@each
def test_engine_detects_without_importing_torch(engine: str, tmp_path: Path) -> None:
    cfg, weights = tiny_weights(tmp_path)
    script = f"""
import sys
import numpy as np
import darkparse
detector = darkparse.Detector.load({str(cfg)!r}, {str(weights)!r}, engine={engine!r})
assert detector.detect(np.zeros((32, 32, 3), np.uint8), threshold=0.01)
assert list(detector.stream([np.zeros((32, 32, 3), np.uint8)] * 2))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@each
def test_engine_loads_container_without_cfg(engine: str, tmp_path: Path) -> None:
    cfg, weights = tiny_weights(tmp_path)
    darkparse.save(darkparse.load(cfg, weights), tmp_path / "x.npz")
    want, got = (Detector.load(given, engine=engine) for given in (tmp_path / "x.npz", tmp_path / "x.npz"))
    assert rows(want.detect(picture(0))).tolist() == rows(got.detect(picture(0))).tolist()


def test_choose_engine_auto_returns_fastest_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(FASTEST_FIRST) == set(ENGINES)
    there: set[str] = set(ENGINES)
    monkeypatch.setattr("darkparse.detect.engines.engine.find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr("darkparse.detect.engines.engine.has_gpu", lambda: True)
    assert choose_engine("auto") == choose_engine("auto", device="cuda") == choose_engine("auto", device=0) == "torch"
    assert choose_engine("auto", device="cpu") == FASTEST_FIRST[0]
    monkeypatch.setattr("darkparse.detect.engines.engine.has_gpu", lambda: False)
    for name in FASTEST_FIRST:
        assert choose_engine("auto") == name
        there.discard(name)
        extra = "torch" if name == "torch" else rf"'darkparse\[{name}\]'"
        with pytest.raises(darkparse.DarkparseError, match=f"{name} is not installed: pip install {extra}"):
            choose_engine(name)


def test_engine_with_unsupported_option_raises(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    cfg, weights = tiny_weights(tmp_path)
    with pytest.raises(darkparse.DarkparseError, match="unknown engine 'tensorrt'; expected one of torch, onnxruntime"):
        Detector.load(cfg, weights, engine="tensorrt")
    with pytest.raises(darkparse.DarkparseError, match="only supports the CPU, got device cuda; use engine torch"):
        Detector.load(cfg, weights, engine="onnxruntime", device="cuda")
    with pytest.raises(darkparse.NoWeightsError, match="requires weights"):
        Detector.load(cfg, engine="onnxruntime")
    with pytest.raises(darkparse.DarkparseError, match="requires engine torch, got engine onnxruntime"):
        _ = Detector.load(cfg, weights, engine="onnxruntime").model


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino: pip install 'darkparse[openvino]'")
def test_engine_auto_runs_layer_without_emitter_on_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, weights = tiny_weights(tmp_path)
    expected = Detector.load(cfg, weights, engine="torch").detect(picture(0), threshold=0.1)
    detector = Detector.load(cfg, weights, device="cpu")
    assert detector.engine.name == "openvino"
    assert_equal_but_for_ties(rows(expected), rows(detector.detect(picture(0), threshold=0.1)))
    monkeypatch.delitem(EMITTERS, "torch.nn.Conv2d")
    detector = Detector.load(cfg, weights, device="cpu")
    assert detector.engine.name == "torch"
    assert rows(expected).tolist() == rows(detector.detect(picture(0), threshold=0.1)).tolist()
    with pytest.raises(darkparse.DarkparseError, match="no emitter is registered"):
        Detector.load(cfg, weights, engine="openvino")


@pytest.mark.parametrize("command", ["detect", "evaluate"])
def test_commands_print_selected_engine_once_on_stderr(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, weights = tiny_weights(tmp_path)
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.fromarray(picture(0)).save(tmp_path / "images" / f"{name}.png")
        (tmp_path / "images" / f"{name}.txt").write_text("0 0.5 0.5 0.3 0.3\n")
    inputs = ["--images", tmp_path / "images", "--rule", "darknet"] if command == "evaluate" else [tmp_path / "images"]
    documents = []
    for options in ([], ["--engine", "torch"]):
        main([command, *map(str, (cfg, weights, *inputs)), *options, "--format", "json"])
        output = capsys.readouterr()
        documents.append(json.loads(output.out))
        assert output.err.count("note: using engine ") == (not options)
        assert "engine" not in output.out
    assert documents[0].keys() == documents[1].keys()


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)])
def test_engine_divides_cores_among_workers(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network gets one thread; others all cores of the process, or in a stream each worker its share."""
    made: list[tuple[int, int]] = []
    start = runtimes.RUNTIMES[engine]

    def noted(content: runtimes.GraphFile, workers: int, threads: int, dtype: str) -> runtimes.Run:
        made.append((workers, threads))
        return start(content, workers, threads, dtype)

    monkeypatch.setitem(runtimes.RUNTIMES, engine, noted)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    cases = ((4, 1e9, [(1, 1), (2, 1)]), (4, 0, [(1, 0), (2, 2)]), (3, 0, [(1, 3), (2, 1)]), (1, 0, [(1, 1), (2, 1)]))
    for cores, limit, expected in cases:
        monkeypatch.setattr(graph_engine, "count_cores", lambda cores=cores: cores)
        monkeypatch.setattr(graph_engine, "MAX_SINGLE_THREAD_BFLOPS", limit)
        detector = Detector.load(*tiny_weights(tmp_path), engine=engine)
        detector.detect(picture(0, 40, 56))
        list(detector.stream([picture(n, 40, 56) for n in range(4)], workers=2))
        assert made == expected
        made.clear()


@pytest.mark.parametrize(
    ("installed", "hint"),
    [
        ({"onnxruntime", "openvino"}, "hint: use the installed engine openvino, or the default engine auto"),
        ({"onnxruntime"}, "hint: use the installed engine onnxruntime, or the default engine auto"),
        (set(), "hint: run networks without torch: pip install 'darkparse[openvino]'"),
    ],
)
def test_choose_engine_without_torch_names_engine_auto(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], hint: str
) -> None:
    monkeypatch.setattr("darkparse.detect.engines.engine.find_spec", lambda name: name in installed or None)
    with pytest.raises(darkparse.DarkparseError, match=re.escape(hint)):
        choose_engine("torch")


DROP_IN_THREAD = """
import faulthandler, signal, sys, threading
import numpy as np
from darkparse import Detector
faulthandler.enable()  # gives the main thread an alternate signal stack, which Python's signal handlers use
detectors = [Detector.load(*sys.argv[1:3], engine=sys.argv[3])]
detectors[0].detect(np.zeros((40, 56, 3), np.uint8))
thread = threading.Thread(target=detectors.clear)
thread.start()
thread.join()
received = threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: received.set())
signal.raise_signal(signal.SIGUSR1)
print(received.wait(10))
"""


@each
def test_engine_dropped_in_another_thread_leaves_signals_working(engine: str, tmp_path: Path) -> None:
    """OpenVINO's plugin frees the signal stack of the thread that loaded it, and the next signal would be a SIGSEGV."""
    arguments = [*map(str, tiny_weights(tmp_path)), engine]
    command = [sys.executable, "-c", DROP_IN_THREAD, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "True\n"), run.stderr


@pytest.mark.parametrize("has_device", [False, True])
@pytest.mark.parametrize("has_driver", [False, True])
def test_gpu_is_known_by_its_driver(has_device: bool, has_driver: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: str) -> None:
        if not has_driver:
            raise OSError

    monkeypatch.setattr(Path, "exists", lambda _: has_device)
    monkeypatch.setattr("ctypes.CDLL", load)
    assert has_gpu() == (has_device or has_driver)


class FakeOpenVino:
    """OpenVINO's core, graph and request in one, which counts the threads that are in a call at the same time."""

    def __init__(self) -> None:
        self.active, self.calls, self.most_in_first = 0, 0, 0
        self._lock = threading.Lock()

    def read_model(self, graph: object) -> FakeOpenVino:
        return self

    def compile_model(self, *arguments: object) -> FakeOpenVino:
        return self

    def create_infer_request(self) -> FakeOpenVino:
        return self

    def infer(self, feeds: dict[str, object], share_inputs: bool) -> dict[str, object]:
        with self._lock:
            self.active += 1
            if self.calls == 0:
                self.most_in_first = max(self.most_in_first, self.active)
        time.sleep(0.05)
        with self._lock:
            self.active -= 1
            self.calls += 1
        return feeds


def test_openvino_runs_first_inference_in_one_thread_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module deadlocks if two threads use it for the first time at once."""
    fake, count = FakeOpenVino(), 4
    monkeypatch.setattr(runtimes, "_load_openvino_core", lambda: fake)
    run = runtimes.RUNTIMES["openvino"](b"", count, 1, "float32")
    barrier = threading.Barrier(count)

    def infer(number: int) -> object:
        barrier.wait()
        return run({"x": np.full(1, number, np.float32)})[0]

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(infer, range(count)))
    assert [float(np.asarray(result)[0]) for result in results] == [0, 1, 2, 3]
    assert fake.calls == count
    assert fake.most_in_first == 1


class _Settings:
    """Stands for OpenVINO's core or ONNX Runtime's module and stores the settings of what is compiled."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.intra_op_num_threads = -1

    def read_model(self, graph: object) -> object:
        return graph

    def compile_model(self, model: object, device: str, settings: dict[str, Any]) -> None:
        self.settings = settings

    def SessionOptions(self) -> _Settings:  # noqa: N802 - name in ONNX Runtime
        return self

    def InferenceSession(self, graph: object, options: _Settings, providers: list[str]) -> None:  # noqa: N802
        self.settings = {"threads": options.intra_op_num_threads, "providers": providers}


@pytest.mark.parametrize(
    ("workers", "threads", "openvino"),
    [
        (1, 0, {"PERFORMANCE_HINT": "LATENCY"}),
        (1, 2, {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 2}),
        (3, 2, {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 3, "INFERENCE_NUM_THREADS": 6}),
        (3, 0, {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 3}),
    ],
)
def test_runtime_gets_its_threads(
    workers: int, threads: int, openvino: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 leaves the number to the runtime; OpenVINO's is that of all streams together."""
    fake = _Settings()
    monkeypatch.setattr(runtimes, "_load_openvino_core", lambda: fake)
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    runtimes.RUNTIMES["openvino"](b"", workers, threads, "bfloat16")
    assert fake.settings == {"INFERENCE_PRECISION_HINT": "bf16"} | openvino
    runtimes.RUNTIMES["onnxruntime"](b"", workers, threads, "float32")
    assert fake.settings == {"threads": threads, "providers": ["CPUExecutionProvider"]}


@each
def test_graph_of_engine_has_only_what_its_outputs_read(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Graph] = []

    def note(graph: Graph, *rest: Any) -> OnnxModel:
        made.append(graph)
        return OnnxModel(graph, *rest)

    monkeypatch.setattr(graph_engine, "OnnxModel", note)
    Detector.load(*tiny_weights(tmp_path), engine=engine).detect(picture(0, 40, 56))
    (graph,) = made
    read = {port.value.name for port in graph.outputs}.union(*(operator.list_reads() for operator in graph.operators))
    assert all(any(value.name in read for value in operator.outputs) for operator in graph.operators)
    assert graph.initializers.keys() <= read


def test_graph_above_the_limit_of_a_message_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    sizes: list[int] = []

    def note(graph: Graph, *rest: Any) -> OnnxModel:
        model = OnnxModel(graph, *rest)
        sizes.append(model.nbytes)
        return model

    monkeypatch.setattr(graph_engine, "OnnxModel", note)
    Detector.load(*tiny_weights(tmp_path), engine="onnxruntime").detect(picture(0, 40, 56))
    for limit, is_refused in ((sizes[0], True), (sizes[0] + 1, False)):
        monkeypatch.setattr(graph_engine, "MAX_INLINE_SIZE", limit)
        if not is_refused:
            Detector.load(*tiny_weights(tmp_path), engine="onnxruntime").detect(picture(0, 40, 56))
            continue
        with pytest.raises(darkparse.DarkparseError, match="too large for an in-memory graph; use engine torch"):
            Detector.load(*tiny_weights(tmp_path), engine="onnxruntime").detect(picture(0, 40, 56))


def test_stream_leaves_torchs_number_of_threads(tmp_path: Path) -> None:
    detector = Detector.load(*tiny_weights(tmp_path), engine="torch")
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        list(detector.stream([picture(n, 40, 56) for n in range(4)], workers=2))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


RECURRENT = """
[net]
width=16
height=16
channels=3
[crnn]
hidden=4
output=7
size=3
pad=1
activation=tanh
[yolo]
mask=0
anchors=6,6
classes=2
num=1
"""


def test_recurrent_detector_starts_from_a_fresh_state_for_each_image(tmp_path: Path) -> None:
    (tmp_path / "x.cfg").write_text(RECURRENT)
    detector = Detector.load(tmp_path / "x.cfg", stored(tmp_path / "x.cfg"), engine="torch")
    image = picture(0, 40, 56)
    first, second = (rows(detector.detect(image, threshold=0.01)).tolist() for _ in range(2))
    assert first == second
    assert first
