"""Faults that can be planted in a source file: one changed operator, constant, condition or statement each."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

Change = Callable[[Any], ast.AST]
"""Function that changes a copy of a node."""
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A planted fault.

    Attributes:
        path: Source file, relative to the repository.
        lines: First and last line of the changed node.
        text: First of these lines, without indentation; it identifies the fault when lines move.
        change: The code before and after.
        number: Number of the fault among those of the file.
    """

    path: str
    lines: tuple[int, int]
    text: str
    change: str
    number: int

    @property
    def key(self) -> tuple[str, str, str]:
        return self.path, self.text, self.change

    def build(self) -> ast.Module:
        """Return the module with the fault."""
        tree = ast.parse((ROOT / self.path).read_text("utf-8"))
        place, change = next(islice(_find_changes(tree), self.number, None))
        place.put(change(place.node))
        return ast.fix_missing_locations(tree)


@dataclass(frozen=True)
class Place:
    """Place of a statement or expression in its parent: a field, and the position in it if it is a list."""

    parent: ast.AST
    field: str
    index: int
    node: ast.expr | ast.stmt

    def put(self, node: ast.AST) -> None:
        if isinstance(value := getattr(self.parent, self.field), list):
            value[self.index] = node
        else:
            setattr(self.parent, self.field, node)


def sample_faults(folder: Path, count: int, seed: int) -> list[Fault]:
    """Sample faults of the files in a folder, at most one per source line."""
    faults = [fault for path in sorted(folder.rglob("*.py")) for fault in find_faults(path)]
    random.Random(seed).shuffle(faults)
    lines = {(fault.path, fault.lines[0]): fault for fault in reversed(faults)}
    return sorted(list(lines.values())[-count:], key=lambda fault: (fault.path, fault.lines))


def find_faults(path: Path) -> Iterator[Fault]:
    """Yield every fault of a file."""
    source = path.read_text("utf-8")
    lines = source.splitlines()
    for number, (place, change) in enumerate(_find_changes(ast.parse(source))):
        node = place.node
        span = (node.lineno, node.end_lineno or node.lineno)
        versions = (node, change(copy.deepcopy(node)))
        text = " -> ".join(ast.unparse(version).partition("\n")[0] for version in versions)
        yield Fault(str(path.relative_to(ROOT)), span, lines[span[0] - 1].strip(), text, number)


def _find_changes(parent: ast.AST) -> Iterator[tuple[Place, Change]]:
    """Yield every statement and expression that runs with each function that changes it."""
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "type_params") or isinstance(parent, ast.JoinedStr):
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                continue
            if isinstance(node, ast.expr | ast.stmt):
                yield from ((Place(parent, field, index, node), change) for change in _choose_changes(node))
            if isinstance(node, ast.AST):
                yield from _find_changes(node)


def _choose_changes(node: ast.AST) -> Iterator[Change]:
    """Yield functions that change a copy of a node."""
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            yield lambda new: _set(new, "op", SWAPS[type(op)]())
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            yield lambda new: _set(new, "ops", [SWAPS[type(op)]()])
        case ast.Constant(value=bool() as value):
            yield lambda new: _set(new, "value", not value)
        case ast.Constant(value=int() | float() as value):
            yield lambda new: _set(new, "value", value + 1)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield lambda new: new.operand
        case ast.IfExp() | ast.If():
            yield lambda new: _set(new, "test", ast.UnaryOp(ast.Not(), new.test))
        case ast.Raise() | ast.Expr(value=ast.Call()) | ast.Continue() | ast.Break():
            yield lambda new: ast.copy_location(ast.Pass(), new)


def _set(node: ast.AST, field: str, value: object) -> ast.AST:
    setattr(node, field, value)
    return node
