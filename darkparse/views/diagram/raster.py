"""PNG and PDF of an SVG, by Typst, which presses every text into its room and embeds the fonts that it finds."""

from __future__ import annotations

from importlib import import_module

from darkparse.errors import RendererError


def rasterized(svg: str, form: str, *, dpi: float = 96) -> bytes:
    """An SVG without variables as `png` or `pdf`; `dpi` is the dots an inch of a PNG.

    A machine without any font gets typst's own, with serifs.

    Raises:
        RendererError: there is no typst, or it failed.
    """
    page = '#set page(width: auto, height: auto, margin: 0pt)\n#image(bytes(sys.inputs.svg), format: "svg")'
    try:
        typst = import_module("typst")
        made = typst.compile(page.encode(), sys_inputs={"svg": svg}, format=form, ppi=dpi)
    except ImportError:
        raise RendererError(f"{form.upper()} needs typst: pip install 'darkparse[pdf]'") from None
    except RuntimeError as problem:
        raise RendererError(f"typst failed: {problem}") from None
    data: bytes = made
    return data
