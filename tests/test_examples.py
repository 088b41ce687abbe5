"""The examples run, and say which package they need."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from tests.conftest import ROOT
from tests.detect.reference import picture, tiny_weights

EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("name", "lacks"), [("server", "fastapi"), ("detect_with_ray", "ray"), ("detect_with_spark", "pyspark")]
)
def test_an_example_says_which_package_it_needs(name: str, lacks: str, tmp_path: Path) -> None:
    (tmp_path / f"{lacks}.py").write_text("raise ImportError")
    path = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(EXAMPLES / name)!r} + '.py')"
    told = subprocess.run([sys.executable, "-c", path], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith("this example needs ")
    assert "pip install" in told.stderr
    assert len(told.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> darkparse.Detector:
    return darkparse.Detector.load(*tiny_weights(tmp_path_factory.mktemp("tiny"))).warm_up()


@pytest.fixture(scope="module")
def server(detector: darkparse.Detector) -> Iterator[tuple[str, Any]]:
    """The service's address and its module."""
    uvicorn = pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    spec = importlib.util.spec_from_file_location("server", EXAMPLES / "server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    running = uvicorn.Server(uvicorn.Config(module.service(detector), port=0, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}", module
    running.should_exit = True
    thread.join()


def asked(url: str, data: bytes | None = None) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, data, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, json.load(problem)


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_the_service_answers_many_at_once(server: tuple[str, Any], detector: darkparse.Detector) -> None:
    url, _ = server
    pictures = [png(picture(number)) for number in range(20)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda data: asked(f"{url}/detect", data), pictures))
    assert answers == [(200, detector.detect(data).to_dict()) for data in pictures]
    assert any(answer["detections"] for _, answer in answers)
    status, health = asked(f"{url}/health")
    assert (status, health["status"], health["busy"]) == (200, "ok", 0)


@pytest.mark.parametrize(("data", "query", "status", "error"), [
    (b"no picture", "", 400, "these bytes: not a picture"),
    (b"", "", 400, "these bytes: "),
    (bytes(20_000_001), "", 413, "at most 20,000,000 bytes"),
    (png(np.zeros((8000, 8000), np.uint8)), "", 413, "at most 50,000,000 pixels"),
    (png(np.zeros((8, 8, 3), np.uint8)), "?threshold=2", 422, "threshold is a number from 0 to 1"),
])  # fmt: skip
def test_the_service_refuses_in_one_sentence(
    server: tuple[str, Any], data: bytes, query: str, status: int, error: str
) -> None:
    code, answer = asked(f"{server[0]}/detect{query}", data)
    assert code == status
    assert list(answer) == ["error"]
    assert error in answer["error"]


def test_the_service_says_when_it_is_full(server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    url, module = server
    monkeypatch.setattr(module, "MOST_WAITING", 0)
    assert asked(f"{url}/detect", png(picture(0))) == (503, {"error": "too many pictures at once"})


def test_threads_share_a_detector(detector: darkparse.Detector) -> None:
    pictures = [picture(number) for number in range(40)]
    want = [list(detector.detect(one)) for one in pictures]
    with ThreadPoolExecutor(8) as threads:
        assert [list(found) for found in threads.map(detector.detect, pictures)] == want
        batches = [pictures[i : i + 10] for i in range(0, 40, 10)]
        found = [one for batch in threads.map(detector.detect, batches) for one in batch]
        assert [list(one) for one in found] == want
