"""Mutants of the project's cfgs, and what once found something."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import DATA, shipped_cfgs
from tests.reliability.fuzz.mutation import check, mutants
from tests.reliability.fuzz.readers import READERS, prepared, told

CORPUS = DATA / "corpus"


@pytest.mark.slow
def test_mutated_cfg_compiles_or_raises_cfg_error() -> None:
    texts = [path.read_text("utf-8") for path in shipped_cfgs()]
    compiled = [check(data) for data in mutants(texts, range(300), seed=1)]
    assert 60 < sum(compiled) < 240  # most of both ways are gone


@pytest.mark.parametrize("path", sorted(CORPUS.glob("mutant/*")), ids=lambda path: path.name)
def test_stored_mutant_compiles_or_raises_cfg_error(path: Path) -> None:
    check(path.read_bytes())


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/crash*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_stored_bytes_are_read_or_raise_darkparse_error(path: Path, tmp_path: Path) -> None:
    name, _, read = READERS[path.parent.name]
    folder = prepared(tmp_path)
    (folder / name).write_bytes(path.read_bytes())
    told(read, folder / name, folder)
