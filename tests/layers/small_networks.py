"""Small cfgs of all layer kinds, compiled once per process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import darkparse
from darkparse.layers.dialect import DIALECTS
from tests.conftest import DATA

SMALL = sorted([*(DATA / "kinds").glob("*.cfg"), *(DATA / "reference" / "units").glob("*.cfg")])


@cache
def compile_small(path: Path, dialect: str) -> darkparse.Network:
    return darkparse.compile(path, dialect=dialect)


@cache
def choose_dialect(path: Path) -> str:
    """Return the dialect that knows everything in a small cfg; AlexeyAB's where both do."""
    return "pjreddie" if darkparse.compile(path).dialect_reason.startswith("only pjreddie") else "alexeyab"


@cache
def find_distinct_dialects(path: Path) -> tuple[str, ...]:
    """Return the dialects whose layers, shapes or tensors of a cfg differ; one stands for those that are equal."""
    found: list[tuple[str, object]] = []
    for name, dialect in DIALECTS.items():
        if not dialect.strict_parser:
            nodes = compile_small(path, name).nodes
            facts = [(n.layer, n.inputs, n.in_shapes, n.out_shape, n.shared_with, n.tensors) for n in nodes]
            if facts not in [other for _, other in found]:
                found.append((name, facts))
    return tuple(name for name, _ in found)
