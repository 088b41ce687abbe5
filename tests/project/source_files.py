"""Source files of the package, parsed once for all tests of their text."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "darkparse"
FILES = sorted(PACKAGE.rglob("*.py"))


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"))


@cache
def list_nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of the syntax tree of a file."""
    return tuple(ast.walk(parse(path)))


def get_relative_path(path: Path) -> str:
    """Return the path below the package, with forward slashes."""
    return path.relative_to(PACKAGE).as_posix()
