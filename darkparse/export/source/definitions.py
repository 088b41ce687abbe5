"""Source code of modules that torch does not provide, copied from their files without importing them or torch."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from typing import Any

from darkparse.errors import DarkparseError
from darkparse.layers.activations import ACTIVATIONS

FAMILIES = ("normalization", "convolutional", "pooling", "joining", "resampling", "dense")
MODULE_NAMES = (
    "darkparse.model.activations",
    *(f"darkparse.model.modules.{family}" for family in FAMILIES),
    "darkparse.model.heads",
    "darkparse.model.recurrent",
)
TABLE = "FUNCTIONS"
"""Name of the dictionary of activations; emitted files include only the entries they use."""


DefinitionMap = Mapping[str, tuple[str, ast.stmt]]
"""Module and defining statement of each class, function and constant, by name."""


def collect_definitions(text: str, targets: Iterable[str], activations: tuple[str, ...]) -> str:
    """Return the source of all classes and functions that a text uses and torch does not provide, dependencies first.

    Args:
        text: Python source.
        targets: Qualified names of the modules it uses. It may also use other definitions from their files.
        activations: Darknet names of the activations that modules look up at run time.

    Raises:
        DarkparseError: The file of a target cannot be read.
    """
    definitions_by_name = _load_definitions(
        tuple(dict.fromkeys((*MODULE_NAMES, *(target.rpartition(".")[0] for target in targets))))
    )
    collected: dict[str, str] = {}
    for name in _find_used_names(text, definitions_by_name):
        _collect(name, definitions_by_name, collected, activations)
    return "\n\n\n".join(collected.values())


def is_defined(name: str) -> bool:
    """Return whether darkparse's modules define a class, function or constant with this name."""
    return name in _load_definitions()


def _collect(
    name: str, definitions_by_name: DefinitionMap, collected: dict[str, str], activations: tuple[str, ...]
) -> None:
    if name in collected:
        return
    text = _get_definition_source(*definitions_by_name[name], activations)
    for used_name in _find_used_names(text, definitions_by_name):
        if used_name != name:
            _collect(used_name, definitions_by_name, collected, activations)
    collected.setdefault(name, text)


def _find_used_names(text: str, definitions_by_name: DefinitionMap) -> list[str]:
    """Return the definitions that a text references by name, excluding attributes and strings."""
    tree = ast.parse(text)
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return [name for name in dict.fromkeys(names) if name in definitions_by_name]


@cache
def _load_definitions(modules: tuple[str, ...] = MODULE_NAMES) -> DefinitionMap:
    return {name: (module, statement) for module in modules for name, statement in _parse(module).items()}


@cache
def _parse(module: str) -> dict[str, ast.stmt]:
    """Return the class, function and constant definitions of a module, by name."""
    statements: dict[str, ast.stmt] = {}
    for statement in ast.parse(_read_source(module)).body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            statements[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            statements[statement.target.id] = statement
    return statements


@cache
def _read_source(module: str) -> str:
    """Return the source of a module without importing it.

    Raises:
        DarkparseError: The module does not exist or has no source file, as in an interactive session.
    """
    source: str | None
    try:
        source = _find_loader(module).get_source(module)
    except (AttributeError, ImportError, ValueError):  # no loader, no module, or a __main__ without a spec
        source = None
    if source is None:
        raise DarkparseError(f"cannot read the source of module {module!r}; expected a .py file to copy classes from")
    return source


def _find_loader(module: str) -> Any:
    loaded = sys.modules.get(module)
    return _find_spec(module).loader if loaded is None else loaded.__loader__  # a script's __main__ has no spec


def _find_spec(module: str) -> ModuleSpec:
    """Find a module without importing its parent packages, which `find_spec` would do."""
    loaded, parent = sys.modules.get(module), module.rpartition(".")[0]
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    spec = PathFinder.find_spec(module, _find_spec(parent).submodule_search_locations) if parent else find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(module)
    return spec


@cache
def _get_definition_source(module: str, statement: ast.stmt, activations: tuple[str, ...]) -> str:
    if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == TABLE:
        return _format_table(statement, activations)
    lines = _read_source(module).splitlines()
    start = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    skipped_lines: set[int] = set()
    for item in getattr(statement, "body", []):
        if isinstance(item, ast.FunctionDef) and item.name == "extra_repr":
            skipped_lines |= set(range(item.lineno, (item.end_lineno or item.lineno) + 1))
    remaining_lines = [
        lines[i - 1] for i in range(start, (statement.end_lineno or start) + 1) if i not in skipped_lines
    ]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(remaining_lines))
    return textwrap.dedent(text).rstrip()


def _format_table(statement: ast.AnnAssign, activations: tuple[str, ...]) -> str:
    entries = [
        f'    "{row.name}": {_format_entry(row.expression)},' for row in ACTIVATIONS.values() if row.name in activations
    ]
    return "\n".join([f"{TABLE}: {ast.unparse(statement.annotation)} = {{", *entries, "}"])


def _format_entry(expression: str) -> str:
    """Return a function for an expression: the name of the function that it calls, or a lambda."""
    name = expression.removesuffix("({})")
    return name if name != expression else f"lambda x: {expression.format('x')}"
