"""Source text of the modules that torch lacks, from where they stand: stated once, printed where needed."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType

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


DefinitionMap = Mapping[str, tuple[ModuleType, ast.stmt]]
"""Classes, functions and constants by name, with where each stands."""


def collect_definitions(text: str, targets: Iterable[str], activations: tuple[str, ...]) -> str:
    """Every class and function that a text uses and torch does not have, those first that others use.

    Args:
        text: Python source.
        targets: whole names of the modules in it; what stands beside them may be used too.
        activations: Darknet's names of those that modules look up when they run.
    """
    definitions_by_name = _load_definitions(
        tuple(dict.fromkeys((*MODULE_NAMES, *(target.rpartition(".")[0] for target in targets))))
    )
    collected: dict[str, str] = {}
    for name in _find_used_names(text, definitions_by_name):
        _collect(name, definitions_by_name, collected, activations)
    return "\n\n\n".join(collected.values())


def is_defined(name: str) -> bool:
    """Whether darkparse's modules have a class or function of this name."""
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
    """Names of definitions that a text mentions as names, not as attributes or parts of strings."""
    tree = ast.parse(text)
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return [name for name in dict.fromkeys(names) if name in definitions_by_name]


@cache
def _load_definitions(modules: tuple[str, ...] = MODULE_NAMES) -> DefinitionMap:
    statements: dict[str, tuple[ModuleType, ast.stmt]] = {}
    for home in modules:
        module = import_module(home)
        for statement in ast.parse(inspect.getsource(module)).body:
            if isinstance(statement, ast.ClassDef | ast.FunctionDef):
                statements[statement.name] = (module, statement)
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                statements[statement.target.id] = (module, statement)
    return statements


@cache
def _get_definition_source(module: ModuleType, statement: ast.stmt, activations: tuple[str, ...]) -> str:
    if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == TABLE:
        return _format_table(statement, activations)
    lines = inspect.getsource(module).splitlines()
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
