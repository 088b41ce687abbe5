"""The example server: what it answers, and that hostile clients cost it neither memory nor time."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import darkparse
from tests.conftest import DATA, ROOT
from tests.detect.reference import picture, tiny_weights

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn", "python_multipart")),
    reason="needs FastAPI: pip install fastapi uvicorn python-multipart",
)

SERVER = ROOT / "examples" / "server.py"
CASE = DATA / "images" / "boxes-infinite"
BOUNDARY = "----boundary"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> darkparse.Detector:
    return darkparse.Detector.load(*tiny_weights(tmp_path_factory.mktemp("tiny"))).warm_up()


@pytest.fixture(scope="module")
def server(detector: darkparse.Detector) -> Iterator[tuple[str, Any]]:
    """The service's address and its module."""
    import uvicorn

    spec = importlib.util.spec_from_file_location("server", SERVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    running = uvicorn.Server(uvicorn.Config(module.service(detector), port=0, log_level="critical"))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}", module
    running.should_exit = True
    thread.join()


def ask(url: str, data: bytes | None = None, kind: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, data, {"Content-Type": kind} if kind else {})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, json.load(problem)


def encode(pixels: Any, form: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, form, **options)
    return file.getvalue()


def form_of(data: bytes, name: str = 'name="image"; filename="a.png"') -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode()
    return head + data + f"\r\n--{BOUNDARY}--\r\n".encode()


FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.mark.slow
def test_server_answers_concurrent_requests(server: tuple[str, Any], detector: darkparse.Detector) -> None:
    url, _ = server
    images = [encode(picture(number)) for number in range(20)]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda data: ask(f"{url}/detect", data), images))
    assert answers == [(200, detector.detect(data).to_dict()) for data in images]
    assert any(answer["detections"] for _, answer in answers)
    status, health = ask(f"{url}/health")
    assert (status, health["status"], health["busy"]) == (200, "ok", 0)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "bmp", "gif"])
def test_server_with_raw_body_or_form_answers_the_same(
    form: str, server: tuple[str, Any], detector: darkparse.Detector
) -> None:
    data = encode(picture(1), form)
    want = 200, detector.detect(data).to_dict()
    assert ask(f"{server[0]}/detect", data) == want
    assert ask(f"{server[0]}/detect", form_of(data), FORM) == want


BAD_BODIES: dict[str, Callable[[], bytes]] = {
    "no image": lambda: b"no image",
    "empty": bytes,
    "tiff": lambda: b"II*\0" + bytes(100),
    "numpy": lambda: b"\x93NUMPY" + bytes(100),
    "cut": lambda: encode(picture(0))[:-80],
    "many bytes": lambda: bytes(20_000_001),
    "many pixels": lambda: encode(Image.new("1", (5001, 5000)), compress_level=1),
    "most pixels": lambda: encode(Image.new("1", (16000, 16000)), compress_level=1),
    "good": lambda: encode(picture(0)),
}
"""Bodies of requests; the large ones are made only where they are sent."""


@pytest.mark.parametrize(("body", "query", "status", "error"), [
    ("no image", "", 400, "not an image; expected one of JPEG, PNG"),
    ("empty", "", 400, "not an image"),
    ("tiff", "", 400, "not an image"),
    ("numpy", "", 400, "not an image"),
    ("cut", "", 400, "damaged"),
    ("many bytes", "", 413, "expected at most 20,000,000 bytes"),
    ("many pixels", "", 413, "got 25,005,000 pixels; expected at most 25,000,000 pixels"),
    pytest.param("most pixels", "", 413, "expected at most 25,000,000 pixels", marks=pytest.mark.slow),
    ("good", "?threshold=2", 422, "threshold must be a number from 0 to 1"),
    ("good", "?threshold=nan", 422, "threshold must be a number from 0 to 1"),
    ("good", "?threshold=x", 422, "threshold: Input should be a valid number"),
])  # fmt: skip
def test_server_with_bad_request_answers_error(
    server: tuple[str, Any], body: str, query: str, status: int, error: str
) -> None:
    data = BAD_BODIES[body]()
    for sent, kind in ((data, None), (form_of(data), FORM)):
        code, answer = ask(f"{server[0]}/detect{query}", sent, kind)
        assert list(answer) == ["error"]
        assert error in answer["error"]
        assert code == status
    assert ask(f"{server[0]}/health")[1]["busy"] == 0
    assert server[1].Body.in_flight == 0


@pytest.mark.parametrize(("body", "kind", "error"), [
    (b"no form", FORM, "damaged multipart form"),
    (form_of(b"x", 'name="image"'), FORM, "the form holds no file"),
    (form_of(b"x" * 2000, 'name="image"'), FORM, "damaged multipart form"),
    (form_of(b"x", "filename=a"), FORM, "damaged multipart form"),
    (form_of(b"x"), "multipart/form-data", "damaged multipart form: Missing boundary"),
    (form_of(b"x").removesuffix(f"--{BOUNDARY}--\r\n".encode()) + form_of(b"y"), FORM, "Too many files"),
])  # fmt: skip
def test_server_with_bad_form_answers_400(server: tuple[str, Any], body: bytes, kind: str, error: str) -> None:
    status, answer = ask(f"{server[0]}/detect", body, kind)
    assert (status, list(answer)) == (400, ["error"])
    assert error in answer["error"]


def test_server_with_unknown_path_or_method_answers_error(server: tuple[str, Any]) -> None:
    assert ask(f"{server[0]}/none") == (404, {"error": "Not Found"})
    assert ask(f"{server[0]}/detect") == (405, {"error": "Method Not Allowed"})


def test_server_with_internal_error_answers_500(server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server[1], "find", lambda *_: 1 / 0)
    assert ask(f"{server[0]}/detect", encode(picture(0))) == (500, {"error": "internal error"})


def test_server_that_is_full_answers_503(server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    url, module = server
    full = 503, {"error": "too many images at once; try again"}
    monkeypatch.setattr(module, "MAX_REQUESTS", 0)
    assert ask(f"{url}/detect", encode(picture(0))) == full
    monkeypatch.undo()
    monkeypatch.setattr(module, "MAX_BYTES_IN_FLIGHT", 100)
    assert ask(f"{url}/detect", encode(picture(0))) == full
    monkeypatch.undo()
    assert ask(f"{url}/detect", encode(picture(0)))[0] == 200


def test_server_with_slow_body_ends_request(server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    url, module = server
    monkeypatch.setattr(module, "BODY_SECONDS", 0.1)
    host, port = url.removeprefix("http://").split(":")
    for kind in ("image/png", FORM):
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(
                f"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 100\r\n\r\n--".encode()
            )
            start, answer = time.monotonic(), b""
            while piece := client.recv(4096):
                answer += piece
            assert time.monotonic() - start < 10
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"error":"the body took longer than 0.1 s to arrive"}' in answer
    with socket.create_connection((host, int(port)), timeout=30) as client:  # and one that goes away
        client.sendall(b"POST /detect HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
    while ask(f"{url}/health")[1]["busy"]:
        time.sleep(0.01)
    assert module.Body.in_flight == 0


@pytest.mark.parametrize("orientation", [1, 6])
def test_server_reduces_and_reports_only_jpeg_above_limit(
    orientation: int, server: tuple[str, Any], detector: darkparse.Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, module = server
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(picture(0, 100, 150)).resize((750, 500))
    data = encode(image, "jpeg", exif=exif, quality=95)
    status, whole = ask(f"{url}/detect", data)
    assert (status, "reduced" in whole) == (200, False)
    monkeypatch.setattr(module, "MAX_PIXELS", 100_000)
    status, answer = ask(f"{url}/detect", data)
    assert status == 200
    assert answer["reduced"] == {"scale": 2, "width": 375, "height": 250}
    assert (answer["width"], answer["height"]) == (whole["width"], whole["height"])
    assert len(answer["detections"]) > 0
    most = max(box for one in answer["detections"] for box in one["xyxy"])
    assert most > 375  # in pixels of the original
    monkeypatch.setattr(module, "MAX_PIXELS", 5_000)
    assert ask(f"{url}/detect", data)[0] == 413  # 1/8 is not enough
    monkeypatch.setattr(module, "MAX_PIXELS", 100_000)
    for other in (encode(image, "jpeg", progressive=True), encode(image, "png"), encode(image, "webp")):
        assert ask(f"{url}/detect", other)[0] == 413


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0", b"\xff\xd8\xff\xd0\0\4ab"]
)
def test_damaged_jpeg_is_not_decoded_in_strips(damage: bytes, server: tuple[str, Any]) -> None:
    image = Image.new("RGB", (64, 64))
    assert server[1].is_decoded_in_strips(io.BytesIO(encode(image, "jpeg")))
    assert not server[1].is_decoded_in_strips(io.BytesIO(encode(image, "jpeg", progressive=True)))
    assert not server[1].is_decoded_in_strips(io.BytesIO(damage))


def _hostile() -> list[bytes]:
    """Images as large as they may be, of every kind, and larger ones; a tail hides how much they are compressed."""
    largest, larger = (5000, 5000), (7000, 7000)
    images = [
        encode(Image.new("RGB", larger, (9, 200, 3))),
        encode(Image.new("RGB", larger, (9, 200, 3)), "jpeg"),
        encode(Image.new("RGB", larger, (9, 200, 3)), "jpeg", progressive=True, subsampling=0),
        encode(Image.new("CMYK", largest), "jpeg", progressive=True, subsampling=0),
        encode(Image.new("RGBA", largest, (9, 200, 3, 5))),
        encode(Image.new("P", largest), transparency=0),
        encode(np.zeros(largest, np.uint16)),
        encode(Image.new("RGBA", largest, (9, 200, 3, 5)), "webp", lossless=True, exact=True),
        encode(Image.new("RGB", (1, 16383)), "webp", lossless=True),
        encode(Image.new("L", (25_000_000, 1))),
        encode(Image.new("P", largest), "gif"),
        encode(Image.new("RGBA", largest))[:-5000],
        encode(Image.new("RGB", largest), "jpeg", quality=10)[:-5000],
    ]
    return [image + bytes(700_000) for image in images] + [encode(Image.new("P", largest)) + bytes(19_900_000)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc for the peak memory: run it on Linux")
@pytest.mark.parametrize("kind", ["raw", "form"])
def test_server_with_40_hostile_requests_stays_below_1_gb(kind: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (sys.executable, str(SERVER), f"{CASE}.cfg", f"{CASE}.weights")
    images = _hostile()
    with subprocess.Popen(command, env=os.environ | {"PORT": str(port)}, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url)

            def send(number: int) -> tuple[int, Any]:
                data = images[number % len(images)]
                return ask(f"{url}/detect", *((data,) if kind == "raw" else (form_of(data), FORM)))

            with ThreadPoolExecutor(40) as clients:
                answers = list(clients.map(send, range(60)))
            status = Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.kill()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1e6 * 1.024
    assert {code for code, _ in answers} <= {200, 413, 503}
    assert sum(code == 200 for code, _ in answers) > 20
    assert any("reduced" in answer for _, answer in answers)
    assert 0.3 < peak < 1.0


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            assert ask(f"{url}/health")[0] == 200
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not start")
