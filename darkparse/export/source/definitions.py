"""Source text of the modules that torch does not have, copied from their files without importing them or torch."""

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
"""The dictionary of activations by name, of which a file gets the entries that it uses."""


DefinitionMap = Mapping[str, tuple[str, ast.stmt]]
"""Classes, functions and constants by name: the module and the statement that define each."""


def collect_definitions(text: str, targets: Iterable[str], activations: tuple[str, ...]) -> str:
    """Return the source of every class and function that a text uses and torch does not have, dependencies first.

    Args:
        text: Python source.
        targets: qualified names of its modules; it may also use what their files define beside them.
        activations: Darknet's names of those that modules look up when they run.

    Raises:
        DarkparseError: a target's file cannot be read.
    """
    definitions_by_name = _load_definitions(
        tuple(dict.fromkeys((*MODULE_NAMES, *(target.rpartition(".")[0] for target in targets))))
    )
    collected: dict[str, str] = {}
    for name in _find_used_names(text, definitions_by_name):
        _collect(name, definitions_by_name, collected, activations)
    return "\n\n\n".join(collected.values())


def is_defined(name: str) -> bool:
    """Return whether darkparse's modules define a class or function of this name."""
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
    """Return the definitions that a text mentions as names, not as attributes or parts of strings."""
    tree = ast.parse(text)
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return [name for name in dict.fromkeys(names) if name in definitions_by_name]


@cache
def _load_definitions(modules: tuple[str, ...] = MODULE_NAMES) -> DefinitionMap:
    return {name: (module, statement) for module in modules for name, statement in _parse(module).items()}


@cache
def _parse(module: str) -> dict[str, ast.stmt]:
    """Return the statements of a module that define a name."""
    statements: dict[str, ast.stmt] = {}
    for statement in ast.parse(_read_source(module)).body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            statements[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            statements[statement.target.id] = statement
    return statements


@cache
def _read_source(module: str) -> str:
    """Return the text of a module, loaded or not.

    Raises:
        DarkparseError: there is no such module, or it has no source file, as in an interactive session.
    """
    source: str | None
    try:
        source = _find_loader(module).get_source(module)
    except (AttributeError, ImportError, ValueError):  # no loader, no module, or a __main__ that is none
        source = None
    if source is None:
        raise DarkparseError(f"cannot read the source of module {module!r}; expected a .py file to copy classes from")
    return source


def _find_loader(module: str) -> Any:
    loaded = sys.modules.get(module)
    return _find_spec(module).loader if loaded is None else loaded.__loader__  # a script's __main__ has no spec


def _find_spec(module: str) -> ModuleSpec:
    """Find a module without importing the packages that contain it, as `find_spec` would."""
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
    """A function that computes an expression: by its name where it does nothing else."""
    name = expression.removesuffix("({})")
    return name if name != expression else f"lambda x: {expression.format('x')}"
