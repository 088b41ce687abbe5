"""The detector as a service: `python examples/server.py CFG WEIGHTS`, then

    curl --data-binary @dog.jpg localhost:8000/detect
    curl -F image=@dog.jpg localhost:8000/detect?threshold=0.5
    curl localhost:8000/health

The body of a request is one image, or a multipart form with one file. Every error is a JSON object with `error`.

Clients are not trusted. A body has at most 20 MB and arrives within 20 s. An image has at most 25 megapixels, and no
more pixels than that are decoded at any time: other requests wait for their turn, or get status 503. A JPEG above the
limit is decoded at 1/2, 1/4 or 1/8 of its size, which changes its pixels; the answer then holds `reduced`.

Memory: below 1 GB resident while 40 clients send the worst images at once to a small network, as
tests/project/test_server.py measures: 0.28 GB before the first request, 0.9 to 0.95 GB at the peak, up to 0.56 GB of
it for 25 megapixels (WebP) and 50 MB for bodies. A larger network adds its own, as often as WORKERS says.

Speed on the loopback with yolo-fastest-1.1-xl and a JPEG of 768 × 576 pixels, on two cores that other programs used
too: one client 9 images a second, 116 ms each in the median; 16 clients 21 a second, 0.75 s each.
"""

from __future__ import annotations

import asyncio
import ctypes
import io
import os
import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, BinaryIO

import darkparse
from darkparse.errors import ImageError

try:
    import python_multipart  # noqa: F401 - Starlette needs it for forms
    import uvicorn
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from PIL import Image
    from starlette.exceptions import HTTPException as StarletteHTTPException
    from starlette.formparsers import MultiPartException, MultiPartParser
    from starlette.requests import ClientDisconnect
except ImportError:
    sys.exit("this example needs FastAPI: pip install 'darkparse[detect]' fastapi uvicorn python-multipart")

MAX_PIXELS = 25_000_000
"""Pixels of an image, and of all images that are decoded at the same time."""
MAX_BYTES = 20_000_000
"""Bytes of a body."""
MAX_BYTES_IN_FLIGHT = 50_000_000
"""Bytes of the bodies of all requests."""
MAX_REQUESTS = 64
"""Requests that are in work or wait."""
BODY_SECONDS = 20.0
"""Time for a body to arrive."""
WORKERS = min(4, os.cpu_count() or 1)
"""Images that are detected in at the same time."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
"""Decoders that clients can reach. Not TIFF: its tiles may be larger than the image."""


MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
"""glibc keeps what a thread frees, up to some 0.3 GB after large images."""


class Budget:
    """An amount that requests share; parts are given in the order of the requests. For one event loop."""

    def __init__(self, amount: int) -> None:
        self.amount, self._turn, self._returned = amount, asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def take(self, part: int) -> AsyncIterator[None]:
        """Wait until a part is there, and return it at the end."""
        async with self._turn:
            while self.amount < part:
                self._returned.clear()
                await self._returned.wait()
            self.amount -= part
        try:
            yield
        finally:
            self.amount += part
            self._returned.set()


class Body:
    """The image in a request's body; its bytes count until it is closed."""

    in_flight = 0

    def __init__(self, request: Request, refusal: HTTPException | None = None) -> None:
        self._request, self._refusal, self._size = request, refusal, 0
        self._file: BinaryIO = io.BytesIO()

    async def read(self) -> BinaryIO:
        """Read the raw body, or the one file of a form."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                if self._request.headers.get("content-type", "").startswith("multipart/form-data"):
                    self._file = await self._read_form()
                else:
                    async for piece in self._pieces():
                        self._file.write(piece)
            return self._file
        except TimeoutError:
            raise HTTPException(
                408, f"the body took longer than {BODY_SECONDS:g} s to arrive", {"Connection": "close"}
            ) from None

    async def _read_form(self) -> BinaryIO:
        parser = MultiPartParser(self._request.headers, self._pieces(), max_files=1, max_fields=4, max_part_size=1000)
        parser.spool_max_size = MAX_BYTES  # in memory, where it counts; not on the disk
        try:
            form = await parser.parse()
        except MultiPartException as problem:
            raise HTTPException(400, f"damaged multipart form: {problem.message}") from None
        files: list[Any] = [value for value in form.values() if not isinstance(value, str)]
        if not files:
            raise HTTPException(400, "the form holds no file; expected one image")
        return files[0].file  # type: ignore[no-any-return]

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes; the rest of one that is refused is dropped, so that the client gets to the answer."""
        async for piece in self._request.stream():
            if self._refusal is None:
                self._count(len(piece))
            if self._refusal is None:
                yield piece
        if self._refusal is not None:
            raise self._refusal

    def _count(self, size: int) -> None:
        self._size += size
        Body.in_flight += size
        if self._size > MAX_BYTES:
            self._refusal = HTTPException(413, f"body too large; expected at most {MAX_BYTES:,} bytes")
        elif Body.in_flight > MAX_BYTES_IN_FLIGHT:
            self._refusal = busy()
        if self._refusal is not None:
            self.close()

    def close(self) -> None:
        self._file.close()
        Body.in_flight -= self._size
        self._size = 0


def busy() -> HTTPException:
    return HTTPException(503, "too many images at once; try again", {"Retry-After": "1"})


def service(detector: darkparse.Detector) -> FastAPI:
    """The service around a detector."""
    app, requests = FastAPI(title="darkparse"), 0
    pixels, pool = Budget(MAX_PIXELS), ThreadPoolExecutor(WORKERS, "darkparse")
    warnings.filterwarnings("ignore", module="PIL")  # of large or damaged images, which are refused here

    async def run(function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, work, function, *arguments)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "detector": repr(detector), "busy": requests}

    @app.post("/detect")
    async def detect(request: Request, threshold: float = 0.25) -> dict[str, Any]:
        nonlocal requests
        body = Body(request, busy() if requests >= MAX_REQUESTS else None)
        requests += 1
        try:
            file = await body.read()
            count, scale = await run(inspect, file)
            async with pixels.take(count):
                answer: dict[str, Any] = await run(find, detector, file, threshold, scale)
                return answer
        finally:
            requests -= 1
            body.close()

    @app.exception_handler(StarletteHTTPException)
    async def refuse(_: Request, problem: StarletteHTTPException) -> JSONResponse:
        return JSONResponse({"error": problem.detail}, problem.status_code, problem.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_parameters(_: Request, problem: RequestValidationError) -> JSONResponse:
        errors = (f"{one['loc'][-1]}: {one['msg']}" for one in problem.errors())
        return JSONResponse({"error": "; ".join(errors)}, 422)

    @app.exception_handler(ClientDisconnect)
    async def drop(_: Request, __: ClientDisconnect) -> Response:
        return JSONResponse({"error": "the client closed the connection"}, 400)

    @app.exception_handler(Exception)
    async def fail(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"error": "internal error"}, 500)  # Starlette logs it

    return app


def work(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function and give its memory back before the next image gets its turn."""
    result = refusal = None
    try:
        result = function(*arguments)
    except HTTPException as problem:  # whose traceback holds the image
        refusal = HTTPException(problem.status_code, problem.detail, problem.headers)
    if MALLOC_TRIM is not None:
        MALLOC_TRIM(0)
    if refusal is not None:
        raise refusal
    return result


def inspect(file: BinaryIO) -> tuple[int, int]:
    """Return how many pixels will be decoded, and the scale of a JPEG that is too large: 1, 2, 4 or 8.

    Raises:
        HTTPException: 400, this is no image; 413, it has too many pixels.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            is_jpeg = image.format in ("JPEG", "MPO")
    except Image.DecompressionBombError:
        raise HTTPException(413, f"too many pixels; expected at most {MAX_PIXELS:,} pixels") from None
    except Exception:  # noqa: BLE001 - decoders raise anything
        raise HTTPException(400, f"not an image; expected one of {', '.join(FORMATS)}") from None
    scales = (1, 2, 4, 8) if is_jpeg and width * height > MAX_PIXELS and is_decoded_in_strips(file) else (1,)
    for scale in scales:
        count = -(-width // scale) * -(-height // scale)
        if count <= MAX_PIXELS:
            return count, scale
    raise HTTPException(413, f"got {width * height:,} pixels; expected at most {MAX_PIXELS:,} pixels")


def is_decoded_in_strips(file: BinaryIO) -> bool:
    """Whether a JPEG has one scan. Of others libjpeg holds all coefficients, at whatever size they are decoded."""
    components = 0
    file.seek(2)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] >= 0xC0 and not 0xD0 <= head[1] <= 0xD9:
        segment = file.read(int.from_bytes(head[2:], "big") - 2)
        if head[1] in (0xC0, 0xC1):  # a frame that is neither progressive nor arithmetic
            components = segment[5] if len(segment) > 5 else 0
        elif head[1] == 0xDA:
            return bool(components) and segment[:1] == bytes([components])
    return False


def find(detector: darkparse.Detector, file: BinaryIO, threshold: float, scale: int) -> dict[str, Any]:
    """Detect in an image, decoded at 1/scale of its size; boxes are in pixels of the original."""
    file.seek(0)
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if scale > 1:
                image.draft(None, (width // scale, height // scale))
            found: darkparse.Detections = detector.detect(image, threshold=threshold)
            reduced = {"scale": scale, "width": image.width, "height": image.height}
    except ImageError as problem:
        raise HTTPException(400, str(problem)) from None
    except darkparse.DarkparseError as problem:
        raise HTTPException(422, str(problem)) from None
    if scale == 1:
        return found.to_dict()
    found.width, found.height = (height, width) if found.orientation >= 5 else (width, height)  # 5 to 8: by 90°
    found[:] = [replace(one, image_size=(found.height, found.width)) for one in found]
    return found.to_dict() | {"reduced": reduced}


if __name__ == "__main__":
    detector = darkparse.Detector.load(sys.argv[1], sys.argv[2]).warm_up()
    uvicorn.run(service(detector), port=int(os.environ.get("PORT", "8000")), log_level="warning")
