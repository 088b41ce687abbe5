"""Faults change one place each, and those listed as equivalent still exist."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.mutation import __main__ as mutation
from tests.mutation.faults import Fault, find_faults
from tests.values import test_constants
from tests.values.test_constants import PACKAGES

EQUIVALENTS = tomllib.loads((Path(__file__).parent / "equivalents.toml").read_text("utf-8"))["fault"]


@pytest.mark.slow
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


@pytest.mark.parametrize("package", PACKAGES)
def test_fault_that_no_line_leads_to_meets_the_constants_of_its_package(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[str] = []
    monkeypatch.setattr(mutation, "_has_failure", lambda _, tests: met.extend(tests))
    lines: Any = SimpleNamespace(find_tests=lambda *_: [])
    mutation.is_noticed(Fault(f"darkparse/{package}/x.py", (1, 1), "", "", 0), lines)
    module = Path(test_constants.__file__).relative_to(ROOT).as_posix()
    function = test_constants.test_constants_and_defaults_equal_golden_text.__name__
    assert met == [f"{module}::{function}[{package}]"]
