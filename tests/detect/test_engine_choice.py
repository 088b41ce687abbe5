"""Choice of an engine, its threads and boxes, and the files that a runtime reads."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.detect.engines import engine as engine_module
from darkparse.detect.engines import graph_engine, loading, runtimes
from darkparse.detect.engines.engine import choose_engine, has_gpu
from darkparse.detect.engines.graph_engine import GraphEngine
from darkparse.detect.engines.torch_engine import TorchEngine
from darkparse.network.compile_options import CompileOptions
from darkparse.onnx.context import EMITTERS
from darkparse.weights import ReadOptions, read
from tests.detect.reference import TINY, tiny_weights

ALL = frozenset(("torch", "onnxruntime", "openvino"))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets the engines that seem to be installed, and whether there is a GPU."""

    def set_up(engines: frozenset[str], *, gpu: bool = False) -> None:
        monkeypatch.setattr(engine_module, "find_spec", lambda name: name if name in engines else None)
        monkeypatch.setattr(engine_module, "has_gpu", lambda: gpu)

    return set_up


@pytest.mark.parametrize(
    ("engines", "gpu", "device", "dtype", "chosen"),
    [
        (ALL, False, None, None, "openvino"),
        (ALL, True, None, None, "torch"),
        (ALL - {"torch"}, True, None, None, "openvino"),
        (ALL, True, "cpu", None, "openvino"),
        (ALL, True, "cpu:0", None, "openvino"),
        (ALL, False, "cuda:1", None, "torch"),
        (ALL, False, 1, None, "torch"),
        (ALL, False, None, "float64", "torch"),
        (ALL, False, None, "float32", "openvino"),
        (ALL - {"openvino"}, False, None, "float16", "torch"),
        (ALL - {"openvino"}, False, "cpu", "float32", "onnxruntime"),
    ],
)
def test_auto_chooses_the_fastest_engine_that_fits(
    engines: frozenset[str], gpu: bool, device: object, dtype: str | None, chosen: str, install: Callable[..., None]
) -> None:
    install(engines, gpu=gpu)
    assert choose_engine("auto", device=device, dtype=dtype) == chosen


@pytest.mark.parametrize("engine", sorted(ALL))
def test_named_engine_is_used_on_the_cpu(engine: str, install: Callable[..., None]) -> None:
    install(frozenset({engine}), gpu=True)
    assert choose_engine(engine) == choose_engine(engine, device="cpu", dtype="float32") == engine


@pytest.mark.parametrize(
    ("engine", "device", "dtype", "engines", "message"),
    [
        (
            "auto",
            None,
            "int8",
            ALL,
            "unsupported dtype int8; expected one of float32, bfloat16, float16, float64",
        ),
        ("tvm", None, None, ALL, "unknown engine 'tvm'; expected one of torch, onnxruntime, openvino, auto"),
        ("openvino", "cuda", None, ALL, "engine openvino only supports the CPU, got device cuda; use engine torch"),
        (
            "openvino",
            "cpu",
            "float64",
            ALL,
            "engine openvino does not compute in float64; expected float32, bfloat16, float16\n"
            "hint: use engine torch for float64",
        ),
        (
            "onnxruntime",
            None,
            None,
            ALL - {"onnxruntime"},
            "engine onnxruntime is not installed: pip install 'darkparse[onnxruntime]'\n"
            "hint: use the installed engine openvino, or the default engine auto",
        ),
        (
            "torch",
            "cuda",
            None,
            frozenset(),
            "engine torch is not installed: pip install torch\n"
            "hint: run networks without torch: pip install 'darkparse[openvino]'",
        ),
        ("openvino", None, None, frozenset(), "engine openvino is not installed: pip install 'darkparse[openvino]'"),
        (
            "auto",
            None,
            None,
            frozenset(),
            "engine torch is not installed: pip install torch\n"
            "hint: run networks without torch: pip install 'darkparse[openvino]'",
        ),
    ],
)
def test_engine_that_cannot_be_used_is_explained(
    engine: str,
    device: str | None,
    dtype: str | None,
    engines: frozenset[str],
    message: str,
    install: Callable[..., None],
) -> None:
    install(engines)
    with pytest.raises(darkparse.DarkparseError) as caught:
        choose_engine(engine, device=device, dtype=dtype)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [("darwin", "arm64", True), ("darwin", "x86_64", False), ("linux", "arm64", False)],
)
def test_gpu_of_apple_needs_no_driver(
    system: str, machine: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise OSError

    monkeypatch.setattr(engine_module, "sys", SimpleNamespace(platform=system))
    monkeypatch.setattr(engine_module, "platform", SimpleNamespace(machine=lambda: machine))
    monkeypatch.setattr(engine_module, "ctypes", SimpleNamespace(CDLL=refuse))
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert has_gpu() is expected


@pytest.mark.parametrize(("system", "library"), [("posix", "libcuda.so.1"), ("nt", "nvcuda.dll")])
def test_gpu_of_nvidia_is_found_by_its_library(system: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(engine_module, "os", SimpleNamespace(name=system))
    monkeypatch.setattr(engine_module, "sys", SimpleNamespace(platform="other"))
    monkeypatch.setattr(engine_module, "ctypes", SimpleNamespace(CDLL=loaded.append))
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert has_gpu()
    assert loaded == [library]


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    return TorchEngine(darkparse.build(TINY, initialize=True), fold=True, use_class_map=False)


@pytest.mark.parametrize("arrays", [np, torch])
@pytest.mark.parametrize("by_objectness", [True, False])
def test_boxes_above_the_threshold_are_selected_from_each_head(
    arrays: Any, by_objectness: bool, engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "thresholds_objectness", lambda *_, **__: by_objectness)
    head = engine.network.heads[0]
    fake = SimpleNamespace(network=SimpleNamespace(heads=(head, head), nodes=engine.network.nodes), use_class_map=False)
    make = np.array if arrays is np else torch.tensor
    boxes = make([[[1.0] * 4, [2.0] * 4, [3.0] * 4, [4.0] * 4]] * 2)
    objectness = make([[0.5, 0.75, 0.0, 0.9], [0.9, 0.25, 0.5, 0.0]])
    scores = make([[[0.9, 0.1], [0.6, 0.7], [0.9, 0.9], [0.5, 0.5]], [[0.1, 0.8], [0.9, 0.9], [0.5, 0.6], [0.9, 0.9]]])
    parts = TorchEngine.select_boxes(fake, [(boxes, scores, objectness)] * 2, 0.5, arrays)  # type: ignore[arg-type]
    expected = [(0, 1), (0, 3), (1, 0)] if by_objectness else [(0, 0), (0, 1), (0, 3), (1, 0), (1, 1), (1, 2)]
    for number, (image, layer, box, chosen, confidence, row, chosen_scores, label) in enumerate(parts):
        assert list(zip(image.tolist(), box.tolist(), strict=True)) == expected
        assert set(layer.tolist()) == {head}
        assert chosen[:, 0].tolist() == [at[1] + 1 for at in expected]
        assert confidence.tolist() == [float(objectness[at]) for at in expected]
        pairs = [(i, c) for i, at in enumerate(expected) for c in (0, 1) if scores[at][c] > 0.5]
        assert [(r - number * len(expected), c) for r, c in zip(row.tolist(), label.tolist(), strict=True)] == pairs
        assert chosen_scores.tolist() == [float(scores[expected[i]][c]) for i, c in pairs]


@pytest.mark.parametrize(("workers", "threads"), [(1, 4), (2, 2), (3, 1), (8, 1)])
def test_torch_divides_its_threads_among_workers(workers: int, threads: int, engine: TorchEngine) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with engine.share_cores(workers) as initialize:
            assert torch.get_num_threads() == 4
            initialize()
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_torch_batches_images_on_a_gpu_only(device: str, engine: TorchEngine) -> None:
    model = SimpleNamespace(parameters=lambda: iter([torch.zeros(1, device=device)]))
    fake = SimpleNamespace(model=model)
    assert (TorchEngine.batch.fget(fake) == 1) == (device == "cpu")  # type: ignore[attr-defined]


class FakeModel:
    """A graph with four bytes of weights."""

    nbytes = 4

    def iter_data_chunks(self) -> Iterator[bytes]:
        yield b"da"
        yield b"ta"

    def iter_file_chunks(self, data_name: str | None = None) -> Iterator[bytes]:
        yield b"graph "
        yield str(data_name).encode()


@pytest.mark.parametrize(("limit", "is_file"), [(4, False), (3, True)])
def test_large_graph_is_a_temporary_file(
    limit: int, is_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "MAX_BYTES_IN_MEMORY", limit)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model: Any = FakeModel()
    with runtimes.write_graph(model) as graph:
        if not is_file:
            assert graph == b"graph None"
            return
        assert isinstance(graph, Path)
        contents = {path.name: path.read_bytes() for path in graph.parent.iterdir()}
        if os.name == "nt":
            assert contents == {"graph.onnx": b"graph None"}
        else:
            assert contents == {"graph.onnx": b"graph graph.data", "graph.data": b"data"}
    assert list(tmp_path.iterdir()) == []


def test_temporary_file_that_is_in_use_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not delete a file that a runtime has mapped."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EBUSY, "in use")

    monkeypatch.setattr(runtimes, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model: Any = FakeModel()
    with runtimes.write_graph(model) as graph:
        assert isinstance(graph, Path)
        monkeypatch.setattr(os, "rmdir", refuse)
    monkeypatch.undo()
    shutil.rmtree(graph.parent)


@pytest.mark.parametrize(
    ("engine", "dtype", "is_refused"),
    [
        ("openvino", "bfloat16", True),
        ("openvino", "float16", False),
        ("openvino", "float32", False),
        ("onnxruntime", "bfloat16", False),
    ],
)
def test_openvino_refuses_dtypes_that_the_processor_lacks(
    engine: str, dtype: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = SimpleNamespace(get_property=lambda *_: ["FP16"])
    monkeypatch.setattr(runtimes, "_load_openvino_core", lambda: core)
    message = (
        "engine openvino does not compute in bfloat16 on this processor; expected float32\n"
        "hint: use engine torch for bfloat16, which is slow on this processor"
    )
    with pytest.raises(darkparse.DarkparseError, match=f"^{message}$") if is_refused else nullcontext():
        runtimes.check_dtype(engine, dtype)


def test_openvino_shares_inputs_and_keeps_a_request_per_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Any] = []

    class Request:
        def infer(self, feeds: dict[str, Any], *, share_inputs: bool) -> dict[str, Any]:
            assert share_inputs
            return feeds

        def __init__(self) -> None:
            requests.append(self)

    compiled = SimpleNamespace(create_infer_request=Request)
    core = SimpleNamespace(read_model=lambda graph: graph, compile_model=lambda *_: compiled)
    monkeypatch.setattr(runtimes, "_load_openvino_core", lambda: core)
    run = runtimes.RUNTIMES["openvino"](b"", 1, 1, "float32")
    feeds = {"x": np.zeros(1, np.float32)}
    for _ in range(2):
        run(feeds)
    assert len(requests) == 1
    thread = threading.Thread(target=run, args=(feeds,))
    thread.start()
    thread.join()
    assert len(requests) == 2


def test_auto_without_torch_raises_what_a_graph_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    cfg, weights = tiny_weights(tmp_path)
    monkeypatch.setattr(engine_module, "find_spec", lambda name: name == "onnxruntime" or None)
    monkeypatch.setattr(engine_module, "has_gpu", lambda: False)
    monkeypatch.setattr(loading, "find_spec", lambda _: None)
    monkeypatch.delitem(EMITTERS, "torch.nn.Conv2d")
    with pytest.raises(darkparse.DarkparseError, match="no emitter is registered"):
        darkparse.Detector.load(cfg, weights)
    monkeypatch.setattr(loading, "find_spec", lambda name: name)
    assert darkparse.Detector.load(cfg, weights).engine.name == "torch"


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", None])
def test_torch_engine_computes_in_the_dtype(fold: bool, dtype: str | None, tmp_path: Path) -> None:
    detector = darkparse.Detector.load(*tiny_weights(tmp_path), engine="torch", device="cpu", dtype=dtype, fold=fold)
    parameters = list(detector.model.parameters())
    assert parameters[0].dtype == getattr(torch, dtype or "float32")
    assert parameters[-1].dtype == torch.float32  # the last convolutions stay


@pytest.mark.parametrize(
    ("option", "argument", "expected"),
    [
        ("bfloat16", None, torch.bfloat16),
        ("bfloat16", "float32", torch.float32),
        (None, torch.bfloat16, torch.bfloat16),
    ],
)
def test_dtype_of_the_argument_replaces_that_of_the_options(
    option: torch.dtype | None, argument: Any, expected: torch.dtype, tmp_path: Path
) -> None:
    options = ReadOptions(dtype=option, device="cpu")
    detector = darkparse.Detector.load(*tiny_weights(tmp_path), options, engine="torch", dtype=argument)
    assert next(detector.model.parameters()).dtype == expected


def make_graph_engine(folder: Path, name: str = "onnxruntime", **options: Any) -> GraphEngine:
    cfg, weights = tiny_weights(folder)
    loaded = read(cfg, weights, ReadOptions(), CompileOptions())
    assert loaded is not None
    return GraphEngine(name, loaded.network, loaded.arrays, fold=True, use_class_map=False, **options)


def test_graph_releases_arrays_once_it_is_written(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    calls: list[str] = []
    engine = make_graph_engine(tmp_path, release=lambda: calls.append("release"))
    assert calls == []
    images = np.zeros((2, 3, 32, 32), np.float32)
    for _ in range(2):
        engine.candidates(images, 0.1, 0.5)
    assert calls == ["release"]
    assert engine._default_model.graph.inputs[0].shape == (1, 3, 32, 32)


def test_graph_in_a_dtype_that_the_processor_lacks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = SimpleNamespace(get_property=lambda *_: ["FP32"])
    monkeypatch.setattr(runtimes, "_load_openvino_core", lambda: core)
    with pytest.raises(darkparse.DarkparseError, match="does not compute in float16 on this processor"):
        make_graph_engine(tmp_path, "openvino", dtype="float16")


@pytest.mark.parametrize(("factor", "threads"), [(1.0, 3), (1.001, 1)])
def test_network_below_the_limit_uses_one_thread(
    factor: float, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make(graph: object, workers: int, count: int, dtype: str) -> runtimes.Run:
        made.append(count)
        return lambda feeds: []

    engine = make_graph_engine(tmp_path)
    monkeypatch.setattr(graph_engine, "MAX_SINGLE_THREAD_BFLOPS", engine.network.bflops * factor)
    monkeypatch.setattr(graph_engine, "count_cores", lambda: 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setitem(runtimes.RUNTIMES, "onnxruntime", make)
    engine._get_run(0.5)
    assert made == [threads]


def test_limit_of_one_thread_is_between_measured_networks(single_thread_limit: float) -> None:
    """MobileNetV2-YOLO-Fastest has 0.03 BFLOPs at 160×160, where two threads gain nothing, and 0.13 at 320×320."""
    assert 0.03 < single_thread_limit < 0.13


def test_graph_of_a_stream_is_not_that_of_single_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def make(graph: object, workers: int, count: int, dtype: str) -> runtimes.Run:
        made.append(workers)
        return lambda feeds: []

    engine = make_graph_engine(tmp_path)
    monkeypatch.setitem(runtimes.RUNTIMES, "onnxruntime", make)
    with engine.share_cores(3):
        engine._get_run(0.5)
    engine._get_run(0.5)
    engine._get_run(0.4)  # without a word tree the threshold is not part of the graph
    assert made == [3, 1]
