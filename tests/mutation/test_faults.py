"""Faults change one place each, and those listed as equivalent still exist."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from tests.conftest import ROOT
from tests.mutation.faults import find_faults

EQUIVALENTS = tomllib.loads((Path(__file__).parent / "equivalents.toml").read_text("utf-8"))["fault"]


def test_equivalent_faults_exist() -> None:
    paths = {fault["path"] for fault in EQUIVALENTS}
    keys = {fault.key for path in paths for fault in find_faults(ROOT / path)}
    assert [fault for fault in EQUIVALENTS if (fault["path"], fault["text"], fault["change"]) not in keys] == []
    assert all(fault["reason"].endswith(".") for fault in EQUIVALENTS)


def test_every_fault_of_a_file_changes_its_code() -> None:
    path = ROOT / "darkparse" / "layers" / "window.py"
    original = ast.unparse(ast.parse(path.read_text("utf-8")))
    faults = list(find_faults(path))
    changed = {ast.unparse(fault.build()) for fault in faults}
    assert len(faults) > 5
    assert len(changed) == len(faults)
    assert original not in changed
