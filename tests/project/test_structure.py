"""Structure: short files, no phase knows a layer kind or a fork by name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from darkparse.layers import DIALECTS, REGISTRY
from tests.project.source_files import FILES, get_relative_path, list_nodes


def _find_nested_conditionals(path: Path) -> set[int]:
    outer = [node for node in list_nodes(path) if isinstance(node, ast.IfExp)]
    return {node.lineno for one in outer for node in ast.walk(one) if isinstance(node, ast.IfExp) and node is not one}


@pytest.mark.slow
def test_files_have_no_nested_conditional_expression() -> None:
    files = [path for path in FILES if path.parts[-2] not in ("views", "layers")]
    assert {get_relative_path(path): lines for path in files if (lines := _find_nested_conditionals(path))} == {}


def test_files_have_at_most_400_lines() -> None:
    assert {path.name for path in FILES if len(path.read_text("utf-8").splitlines()) > 400} == set()


CONVOLUTIONS = {"network/analysis/bottleneck.py"}
"""Files whose very subject is convolutions."""
FAMILIES = {cls.__module__ for cls in REGISTRY.values() if cls.__module__.startswith("darkparse.layers.")}
FORKS = re.compile("|".join((*DIALECTS, *(name.upper() for name in DIALECTS))), re.IGNORECASE)


def _find_imports(path: Path) -> set[str]:
    imports = [node for node in list_nodes(path) if isinstance(node, ast.ImportFrom)]
    return {node.module or "" for node in imports} | {f"{n.module}.{a.name}" for n in imports for a in n.names}


@pytest.mark.slow
def test_modules_outside_layers_import_no_kind() -> None:
    names = {get_relative_path(path): path for path in FILES}
    outside = {name for name in names if not name.startswith("layers/")} - CONVOLUTIONS
    assert {name: kinds for name in outside if (kinds := _find_imports(names[name]) & FAMILIES)} == {}


def _names_of_forks(nodes: tuple[ast.AST, ...]) -> list[str]:
    """Every place of a fork's name but in `dialect=` and in texts for people, which have more than one word."""
    allowed = {id(keyword.value) for node in nodes for keyword in _keywords(node) if keyword.arg in ("dialect", "fork")}
    found = []
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in allowed:
            word = node.value
        else:
            word = str(getattr(node, "id", getattr(node, "attr", getattr(node, "arg", ""))))
        if FORKS.fullmatch(word):
            found.append(f"line {getattr(node, 'lineno', 0)}: {word}")
    return found


def _keywords(node: ast.AST) -> list[ast.keyword]:
    return node.keywords if isinstance(node, ast.Call) else []


def _find_compared_names(nodes: tuple[ast.AST, ...]) -> list[str]:
    """Return comparisons with a dialect's name, but those of two dialects, whichever they are."""
    comparisons = [ast.unparse(node) for node in nodes if isinstance(node, ast.Compare)]
    return [text for text in comparisons if re.search(r"dialect\.name (==|!=|in|not in) ['\"(\[{]", text)]


@pytest.mark.slow
def test_modules_name_no_fork() -> None:
    files = [path for path in FILES if get_relative_path(path) not in ("layers/dialect.py", "layers/__init__.py")]
    found = {path: [*_names_of_forks(list_nodes(path)), *_find_compared_names(list_nodes(path))] for path in files}
    assert {get_relative_path(path): places for path, places in found.items() if places} == {}
