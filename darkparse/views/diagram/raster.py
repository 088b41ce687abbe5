"""Conversion of SVG to PNG with resvg and to PDF with typst; both honor the `textLength` of each text.

typst is not used for PNG because it copies the rendered page to a bitmap of another size, which drops pixel rows.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

from darkparse.errors import DarkparseError, RendererError
from darkparse.views.diagram.theme import FONTS

Form = Literal["png", "pdf"]
MODULES: dict[Form, str] = {"png": "resvg_py", "pdf": "typst"}
PDF_TEMPLATE = '#set page(width: auto, height: auto, margin: 0pt)\n#image(bytes(sys.inputs.svg), format: "svg")'
MAX_PNG_SIDE = 30_000
"""Maximum side length in pixels; image viewers fail on larger files."""
PROBE_SVG = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20" font-family="{FONTS}"><text y="15">M</text></svg>'
)


def has_rasterizer(form: Form) -> bool:
    """Return whether the package for this format is installed."""
    return find_spec(MODULES[form]) is not None


def check_pixels(form: str, width: float, height: float, dpi: float) -> None:
    """Check that a PNG of a page is not too large.

    Args:
        form: Output format; only PNG has a limit.
        width: Page width in points.
        height: Page height in points.
        dpi: Resolution in dots per inch.

    Raises:
        DarkparseError: A side of the PNG would exceed `MAX_PNG_SIDE` pixels.
    """
    pixels = [round(side * dpi / 72) for side in (width, height)]
    if form == "png" and max(pixels) > MAX_PNG_SIDE:
        raise DarkparseError(
            f"PNG is too large, got {pixels[0]}×{pixels[1]} pixels\nhint: lower --dpi or write .svg, which has no limit"
        )


def rasterize(svg: str, form: Form) -> bytes:
    """Render an SVG without CSS variables.

    Args:
        svg: SVG source; its size in pixels is the size of the PNG.
        form: Output format.

    Returns:
        The bytes of the file.

    Raises:
        RendererError: The renderer failed, or found no font for the text.
    """
    renderer = import_module(MODULES[form])
    try:
        return _render_png(renderer, svg) if form == "png" else _render_pdf(renderer, svg)
    except (RuntimeError, ValueError) as problem:
        raise RendererError(f"{MODULES[form]} failed: {problem}") from None


def _render_png(resvg: ModuleType, svg: str) -> bytes:
    # resvg silently omits text for which it finds no font.
    if resvg.svg_to_bytes(svg_string=PROBE_SVG) == resvg.svg_to_bytes(svg_string=PROBE_SVG, skip_system_fonts=True):
        fonts = FONTS.replace("'", "").removesuffix(", sans-serif")
        raise RendererError(f"no font for PNG; expected one of {fonts}\nhint: install one, or write .svg or .pdf")
    data: bytes = resvg.svg_to_bytes(svg_string=svg)
    return data


def _render_pdf(typst: ModuleType, svg: str) -> bytes:
    """Return the page as PDF with embedded fonts; without an installed font, typst uses its own serif font."""
    data: bytes = typst.compile(PDF_TEMPLATE.encode(), sys_inputs={"svg": svg}, format="pdf")
    return data
