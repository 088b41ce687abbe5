"""Turning DOT into pictures: finding a renderer and running it.

The PyPI package `graphviz` writes to an executable; on a fresh machine `graphviz-pure` from PyPI is one, Debian's
`graphviz` another, and `pygraphviz` brings Graphviz as a library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from darkparse.errors import RendererError

LIBRARY = "pygraphviz"
FORMATS = ("svg", "png", "pdf")


def renderers(form: str, asked: str | None = None) -> Iterator[str]:
    """Every renderer for a format, best first: a path to an executable, or `pygraphviz`.

    `asked`, or the environment's DARKPARSE_DOT, stands alone.

    Raises:
        RendererError: the renderer asked for is not there.
    """
    asked = asked or os.environ.get("DARKPARSE_DOT")
    if asked:
        found = shutil.which(asked)
        if not found:
            raise RendererError(f"{asked!r} is no executable; --dot and DARKPARSE_DOT name Graphviz's `dot`")
        yield found
        return
    if found := shutil.which("dot"):
        yield found
    beside = shutil.which("graphviz-pure", path=str(Path(sys.executable).parent)) or shutil.which("graphviz-pure")
    if beside and form != "pdf":
        yield beside
    if find_spec(LIBRARY):
        yield LIBRARY


def packages(form: str) -> str:
    """What to install so that a format can be rendered."""
    pure = "" if form == "pdf" else "`pip install graphviz-pure`, "
    return f"{pure}`pip install 'darkparse[pdf]'` (pygraphviz), or Graphviz itself (Debian, Homebrew: graphviz)"


def next_step(form: str, dot_file: Path, target: Path) -> str:
    """What to run on a DOT file once there is a renderer."""
    return "run the same command again" if form == "html" else f"dot -T{form} {dot_file} -o {target}"


def render(dot: str, form: str, *, dpi: float | None = None, executable: str | None = None, label: str = "") -> bytes:
    """DOT as svg, png or pdf.

    Args:
        dot: the text of the graph.
        form: `svg`, `png` or `pdf`.
        dpi: dots an inch of a PNG.
        executable: Graphviz's `dot`, instead of the first one found.
        label: a text that an SVG must hold; some builds drop labels without a word.

    Raises:
        RendererError: there is no renderer, or it failed.
    """
    renderer = next(renderers(form, executable), None)
    if renderer is None:
        raise RendererError(f"no renderer for {form} was found; install {packages(form)}")
    text = dot.replace("graph [layout=nop2", f"graph [layout=nop2 dpi={dpi:g}", 1) if dpi and form == "png" else dot
    data = _library(text, form) if renderer == LIBRARY else _command(renderer, text, form)
    if form == "svg" and label and label not in data.decode("utf-8", "replace"):
        raise RendererError(f"{renderer} left out the labels; install {packages(form)}")
    return data


def _command(renderer: str, dot: str, form: str) -> bytes:
    """Run an executable through the graphviz package, whose constant names it; what it says on stderr is no failure."""
    try:
        from graphviz.backend import dot_command, execute
    except ImportError:
        raise RendererError("running Graphviz needs its Python package: pip install graphviz") from None
    command: list[Any] = list(dot_command.command("dot", form))
    command[0] = renderer
    try:
        done = execute.run_check(command, input=dot.encode(), capture_output=True, quiet=True)
    except (subprocess.CalledProcessError, execute.ExecutableNotFound) as problem:
        detail = getattr(problem, "stderr", b"") or b""
        said = detail.decode("utf-8", "replace").strip() if isinstance(detail, bytes) else str(detail).strip()
        raise RendererError(f"{renderer} failed: {said.splitlines()[-1] if said else problem}") from None
    data: bytes = done.stdout
    return data


def _library(dot: str, form: str) -> bytes:
    data: bytes = import_module(LIBRARY).AGraph(string=dot).draw(format=form, prog="nop2")
    return data
