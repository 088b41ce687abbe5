"""PNG files: no row of pixels is lost, at any resolution, and texts are whole in any font."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import darkparse
from darkparse import Diagram
from darkparse.views.diagram.diagram import DPI
from darkparse.views.diagram.layout.spacing import CARD_SPACING
from darkparse.views.diagram.raster import rasterize
from darkparse.views.diagram.svg import svg_text
from tests.conftest import shipped_cfgs
from tests.views.svg import texts

pytest.importorskip("resvg_py", reason="needs resvg-py: pip install 'darkparse[pdf]'")
Image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install 'darkparse[detect]'")

DPIS = (96, *(pytest.param(dpi, marks=pytest.mark.slow) for dpi in (72, 150, 192)))
EDGE = 16
"""Length of the lines in pixels."""
RENDER = """
import sys
from darkparse.errors import RendererError
from darkparse.views.diagram.raster import rasterize
try:
    sys.stdout.buffer.write(rasterize(sys.stdin.buffer.read().decode(), "png"))
except RendererError as problem:
    sys.exit(str(problem))
"""
"""In a process of its own: resvg looks for fonts once."""


def _pixels(png: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Brightness of every pixel, 0 to 255."""
    Image.MAX_IMAGE_PIXELS = None
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=np.float64)


@pytest.mark.parametrize("dpi", DPIS)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem == "yolov3-tiny" else pytest.mark.slow)
        for path in shipped_cfgs()
    ],
)
def test_png_keeps_every_line_at_any_resolution(path: Path, dpi: int) -> None:
    """Lines of one pixel with gaps of one pixel: across at the left edge of the page, upright at its top edge."""
    page = svg_text(darkparse.draw(path).sheet, "light", plain=True, dpi=dpi)
    match = re.search(r'<svg [^>]*viewBox="(\S+) [^>]*width="(\d+)" height="(\d+)"[^>]*>', page)
    assert match
    start, width, height, pixel = float(match[1]), int(match[2]), int(match[3]), 72 / dpi
    across = (f"M{start} {start + y * pixel}h{EDGE * pixel}v{pixel}h{-EDGE * pixel}z" for y in range(0, height, 2))
    upright = (f"M{start + x * pixel} {start}v{EDGE * pixel}h{pixel}v{-EDGE * pixel}z" for x in range(EDGE, width, 2))
    white = f'<rect x="{start}" y="{start}" width="{width * pixel}" height="{height * pixel}" fill="white"/>'
    lines = f'<path d="{"".join((*across, *upright))}"/>'
    pixels = _pixels(rasterize(f"{match[0]}{white}{lines}</svg>", "png"))
    assert pixels.shape == (height, width)
    rows, columns = pixels[:, :EDGE], pixels[:EDGE, EDGE:].T
    for part in (rows, columns):
        assert part[0::2].max() < 64
        assert part[1::2].min() > 191


@pytest.mark.parametrize("dpi", DPIS)
def test_png_size_covers_whole_page(dpi: int) -> None:
    diagram = darkparse.draw("yolov3-tiny", dpi=dpi)
    points = diagram.sheet.height + 2 * CARD_SPACING.margin, diagram.sheet.width + 2 * CARD_SPACING.margin
    assert _pixels(diagram.data("png")).shape == tuple(ceil(side * dpi / 72) for side in points)


def _rendered(svg: str, folder: Path, font: str) -> subprocess.CompletedProcess[bytes]:
    """Render with one font installed; with none for an empty name."""
    if sys.platform != "linux":
        pytest.skip("needs fontconfig: apt-get install fontconfig")
    fonts = folder / "fonts"
    fonts.mkdir(exist_ok=True)
    for path in _font_files(font) if font else ():
        shutil.copy(path, fonts)
    conf = folder / "fonts.conf"
    conf.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig><dir>{fonts}</dir><cachedir>{folder / 'cache'}</cachedir></fontconfig>"
    )
    environment = {**os.environ, "FONTCONFIG_FILE": str(conf)}
    command = [sys.executable, "-c", RENDER]
    return subprocess.run(command, input=svg.encode(), capture_output=True, env=environment, check=False)


def _font_files(name: str) -> list[str]:
    package = {"DejaVu Sans": "fonts-dejavu-core", "Liberation Sans": "fonts-liberation"}[name]
    if shutil.which("fc-list") is None:
        pytest.skip("needs fc-list: apt-get install fontconfig")
    command = ["fc-list", "--format", "%{file}\n", f"{name}:lang=en"]
    files = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if not files:
        pytest.skip(f"needs the font {name}: apt-get install {package}")
    return files


@pytest.mark.slow
@pytest.mark.parametrize("font", ["DejaVu Sans", "Liberation Sans"])
@pytest.mark.parametrize("name", ["yolov1", pytest.param("yolov3", marks=pytest.mark.long)])
def test_png_texts_are_whole(font: str, name: str, tmp_path: Path) -> None:
    """Each text looks as it does drawn at thrice the resolution and reduced; a lost row would shift half of it."""
    diagram = darkparse.draw(name)
    once, thrice = (_page(diagram, factor, tmp_path, font) for factor in (1, 3))
    assert thrice.shape == (3 * once.shape[0], 3 * once.shape[1])
    reduced = thrice.reshape(once.shape[0], 3, once.shape[1], 3).mean(axis=(1, 3))
    found = texts(diagram.svg())
    assert len(found) > 50
    for text in found:
        sides = text.left, text.right, text.top - 1, text.bottom + 1
        left, right, top, bottom = (round((side + CARD_SPACING.margin) * DPI / 72) for side in sides)
        window = slice(top, bottom), slice(left, right)
        contrast = np.ptp(reduced[window])
        assert contrast > 60, f"{text.words!r} is not drawn in {font}"
        assert np.abs(once[window] - reduced[window]).mean() < 0.04 * contrast, f"{text.words!r} in {font}"


def _page(diagram: Diagram, factor: int, folder: Path, font: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The page at so many times the default resolution."""
    svg = svg_text(diagram.sheet, diagram.theme, plain=True, dpi=DPI)
    svg = re.sub(r'(width|height)="(\d+)"', lambda side: f'{side[1]}="{int(side[2]) * factor}"', svg, count=2)
    return _pixels(_rendered(svg, folder, font).stdout)


def test_png_without_font_exits_1_with_hint(tmp_path: Path) -> None:
    """resvg would leave out all texts."""
    refused = _rendered("<svg/>", tmp_path, "")
    assert refused.returncode == 1
    assert b"no font for PNG; expected one of Arial, Helvetica, " in refused.stderr
    assert b"hint: install one, or write .svg or .pdf" in refused.stderr
