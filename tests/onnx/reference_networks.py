"""Networks of the reference numbers, with their weights written to a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.mark import ParameterSet

import darkparse
from tests.conftest import SHARED
from tests.model.reference.parameters import write_weights
from tests.model.samples import mark_repeated
from tests.model.test_reference import NUMBERS, REFERENCE

SMALL_REFERENCES = [
    name for name in NUMBERS if name.startswith("alexeyab/") or name.replace("pjreddie", "alexeyab") not in NUMBERS
]
"""Small networks with their dialect, each once: the graph of a unit differs little between dialects."""


def mark_repeated_references(names: Iterable[str]) -> list[ParameterSet]:
    """Return small networks as test parameters; see `mark_repeated`."""
    by_path: dict[Path, list[str]] = {}
    for name in names:
        by_path.setdefault(REFERENCE / "units" / f"{name.partition('/')[2]}.cfg", []).append(name)
    params = zip(by_path.values(), mark_repeated(by_path, by_option=False), strict=True)
    return [pytest.param(name, marks=param.marks) for group, param in params for name in group]


MAX_SMALL = 3_000_000
"""Number of weights from which a network is large."""


def iterate_references(folder: Path, *, small: bool) -> Iterator[tuple[darkparse.Network, str, dict[str, Any]]]:
    """Yield each small, or each large, network with its name and numbers; its weights are in `folder/x.weights`."""
    for path in sorted((SHARED / "golden").rglob("*.npz")):
        numbers = dict(np.load(path))
        arrays = json.loads(str(numbers["arrays"]))
        if (sum(row[3] for row in arrays) < MAX_SMALL) != small:
            continue
        beside = path.parent.parent / f"{path.stem}.cfg"
        original = SHARED / "cfgs" / path.parent.name / (path.stem.replace("__", "/") + ".cfg")
        write_weights(folder / "x.weights", path.stem, arrays, int(numbers["seed"]), numbers["header"])
        network = darkparse.compile(beside if beside.exists() else original, dialect=path.parent.name)
        yield network, path.stem, numbers
