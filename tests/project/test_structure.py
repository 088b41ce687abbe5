"""Structure: short files, no phase knows a layer kind or a fork by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from darkparse.layers import DIALECTS, REGISTRY
from tests.conftest import ROOT

PACKAGE = ROOT / "darkparse"
FILES = sorted(PACKAGE.rglob("*.py"))


def _name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[-2] not in ("views", "layers")], ids=_name_of)
def test_file_has_no_nested_conditional_expression(path: Path) -> None:
    outer = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.IfExp)]
    inner = {node.lineno for one in outer for node in ast.walk(one) if isinstance(node, ast.IfExp) and node is not one}
    assert not inner, f"{path.relative_to(ROOT)}, lines {sorted(inner)}"


def test_files_have_at_most_400_lines() -> None:
    assert {path.name for path in FILES if len(path.read_text("utf-8").splitlines()) > 400} == set()


CONVOLUTIONS = {"network/analysis/bottleneck.py"}
"""Files whose very subject is convolutions."""
FAMILIES = {cls.__module__ for cls in REGISTRY.values() if cls.__module__.startswith("darkparse.layers.")}
FORKS = re.compile("|".join((*DIALECTS, *(name.upper() for name in DIALECTS))), re.IGNORECASE)
OUTSIDE = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "layers"]


def _relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", OUTSIDE, ids=_relative)
def test_module_outside_layers_imports_no_kind(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    modules = {node.module or "" for node in imports} | {f"{n.module}.{a.name}" for n in imports for a in n.names}
    if _relative(path) not in CONVOLUTIONS:
        assert not modules & FAMILIES, f"{path.relative_to(ROOT)} imports {sorted(modules & FAMILIES)}"


def _names_of_forks(tree: ast.Module) -> list[str]:
    """Every place of a fork's name but in `dialect=` and in texts for people, which have more than one word."""
    allowed = [
        keyword.value for node in ast.walk(tree) for keyword in _keywords(node) if keyword.arg in ("dialect", "fork")
    ]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in allowed:
            word = node.value
        else:
            word = str(getattr(node, "id", getattr(node, "attr", getattr(node, "arg", ""))))
        if FORKS.fullmatch(word):
            found.append(f"line {getattr(node, 'lineno', 0)}: {word}")
    return found


def _keywords(node: ast.AST) -> list[ast.keyword]:
    return node.keywords if isinstance(node, ast.Call) else []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=_relative)
def test_module_names_no_fork(path: Path) -> None:
    if _relative(path) in ("layers/dialect.py", "layers/__init__.py"):
        return
    tree = ast.parse(path.read_text("utf-8"))
    assert not _names_of_forks(tree), f"{path.relative_to(ROOT)}: {', '.join(_names_of_forks(tree))}"
    names = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    # `compile` and `causes` ask whether two dialects are one and the same, whichever they are.
    compared = [text for text in names if re.search(r"dialect\.name (==|!=|in|not in) ['\"(\[{]", text)]
    assert not compared, f"{path.relative_to(ROOT)}: {compared}"
