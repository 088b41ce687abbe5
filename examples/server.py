"""The detector as a service: `python examples/server.py CFG WEIGHTS`, then

    curl --data-binary @dog.jpg localhost:8000/detect
    curl localhost:8000/health

A picture is the body of the request; what is wrong with one is a JSON object with `error`.

Measured on the loopback with yolo-fastest-1.1-xl and a JPEG of 768 × 576 pixels, on two cores that other programs used
too: one client 9 pictures a second, 116 ms each in the median; 16 clients 21 a second, 0.75 s each; of 100 those beyond
64 are told to come back. 0.53 GB of memory at most.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import darkparse
from darkparse.errors import ImageError

try:
    import uvicorn
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.responses import JSONResponse
    from PIL import Image
    from starlette.concurrency import run_in_threadpool
except ImportError:
    sys.exit("this example needs FastAPI: pip install 'darkparse[detect]' fastapi uvicorn")

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
MOST_WAITING = 64
"""Pictures that are in work or wait; a client beyond them is told to come back."""


def service(detector: darkparse.Detector) -> FastAPI:
    """The service around a detector; its threads run it side by side."""
    app, busy = FastAPI(title="darkparse"), 0

    @app.exception_handler(HTTPException)
    async def told(_: Request, problem: HTTPException) -> JSONResponse:
        return JSONResponse({"error": problem.detail}, problem.status_code, problem.headers)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "detector": repr(detector), "busy": busy}

    @app.post("/detect")
    async def detect(request: Request, threshold: float = 0.25) -> dict[str, Any]:
        nonlocal busy
        if busy >= MOST_WAITING:
            raise HTTPException(503, "too many pictures at once", {"Retry-After": "1"})
        busy += 1
        try:
            data = await body(request)
            return await run_in_threadpool(found_in, detector, data, threshold)
        finally:
            busy -= 1

    return app


async def body(request: Request) -> bytes:
    """The body of a request, which is never longer in memory than it may be."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"a picture has at most {MOST_BYTES:,} bytes")
    return bytes(data)


def found_in(detector: darkparse.Detector, data: bytes, threshold: float) -> dict[str, Any]:
    try:
        with Image.open(io.BytesIO(data)) as head:
            size = head.width * head.height
    except Image.DecompressionBombError:
        size = sys.maxsize
    except Exception:  # noqa: BLE001 - the detector says what is wrong with it
        size = 0
    if size > MOST_PIXELS:
        raise HTTPException(413, f"a picture has at most {MOST_PIXELS:,} pixels")
    try:
        answer: dict[str, Any] = detector.detect(data, threshold=threshold).to_dict()
        return answer
    except ImageError as problem:
        raise HTTPException(400, str(problem)) from None
    except darkparse.DarkparseError as problem:
        raise HTTPException(422, str(problem)) from None


if __name__ == "__main__":
    detector = darkparse.Detector.load(sys.argv[1], sys.argv[2]).warm_up()
    uvicorn.run(service(detector), port=int(os.environ.get("PORT", "8000")), log_level="warning")
