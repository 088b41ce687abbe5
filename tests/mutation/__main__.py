"""Plant faults in folders of the package and report those that no fast test notices.

    python -m tests.mutation darkparse/layers darkparse/onnx --seed 3

Which fast tests run which line is measured for each folder of tests, in `.mutation`, and again where its tests or the
source have changed. Each fault is then met by the tests of its line alone. Faults that change nothing that can be
observed are listed in equivalents.toml, with the reason. Exits with status 1 if fewer than `--at-least` percent of the
others are noticed.
"""

from __future__ import annotations

import os
import signal
import sys
import tomllib
from collections import Counter
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import hypothesis
import pytest

from tests.conftest import ROOT
from tests.mutation.faults import Fault, sample_faults
from tests.mutation.lines import TestLines, run_tests

TESTS = {
    "layers": ("layers", "model", "network", "weights", "training", "transform", "evaluation"),
    "network": ("network", "syntax", "views", "export", "training", "onnx", "transform", "detect"),
    "weights": ("weights", "model"),
    "model": ("model", "layers", "detect", "export", "onnx", "weights", "training"),
    "onnx": ("onnx", "layers", "detect"),
    "detect": ("detect", "datasets", "evaluation"),
    "evaluation": ("evaluation", "detect"),
    "datasets": ("datasets", "training", "evaluation"),
}
"""Folders of tests that meet the faults of a package, where it is not the one of its name alone."""
CONSTANTS = "tests/values/test_constants.py::test_constants_and_defaults_equal_golden_text[{}]"
"""Test that compares the constants of a package: they are set on import, so the line of a fault does not lead to it."""
SECONDS = 120
"""Processor time for one fault and folder of tests; a fault that takes longer, or five times as long, is noticed."""
SECONDS_OF_TESTS = 10
"""Time of the tests that meet one fault in the package's folder, and for as long in the others, as measured before."""


class Planter(MetaPathFinder):
    """Import hook that loads one module with its fault."""

    def __init__(self, fault: Fault) -> None:
        self.name = fault.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        self.code = compile(fault.build(), str(ROOT / fault.path), "exec")

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        spec = PathFinder.find_spec(name, path)
        assert spec is not None
        spec.loader.get_code = lambda _: self.code  # type: ignore[union-attr]
        return spec


class Selection:
    """Plugin that keeps the given tests alone, in the given order."""

    def __init__(self, tests: list[str]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self.places]
        items.sort(key=lambda item: self.places[item.nodeid])


def is_noticed(fault: Fault, lines: TestLines) -> bool:
    """Return whether a test of the fault's line fails: of the package, of those near it, or of constants."""
    first, *others = TESTS.get(package := Path(fault.path).parts[1], (package,))
    if _has_failure(fault, lines.find_tests(fault, first, SECONDS_OF_TESTS)):
        return True
    seconds = SECONDS_OF_TESTS / max(1, len(others))
    tests = [test for folder in others for test in lines.find_tests(fault, folder, seconds)]
    return _has_failure(fault, [*tests, CONSTANTS.format(package)])


def _has_failure(fault: Fault, tests: list[str]) -> bool:
    """Run tests on a fault in a forked process; return whether one fails or the time is over."""
    if not tests:
        return False
    files = sorted({test.partition("::")[0] for test in tests})
    assert all((ROOT / file).exists() for file in files), "test files were removed during the run"
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(5 * SECONDS)
        hypothesis.settings.register_profile("mutation", phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
        hypothesis.settings.load_profile("mutation")  # a failure is enough, without a search for a shorter one
        sys.meta_path.insert(0, Planter(fault))
        status = run_tests(["-x", *files], Selection(tests))
        os._exit(status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED))
    return os.waitpid(child, 0)[1] != 0


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option("--count", default=30, show_default=True, help="Number of faults in each folder.")
@click.option("--at-least", default=90, show_default=True, help="Percentage that must be noticed in each folder.")
def main(folders: tuple[Path, ...], seed: int, count: int, at_least: int) -> None:
    with (Path(__file__).parent / "equivalents.toml").open("rb") as file:
        equivalents = {(e["path"], e["text"], e["change"]) for e in tomllib.load(file).get("fault", [])}
    sys.dont_write_bytecode = False  # the processes that are forked read what the first one has compiled
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # small inputs: threads would wait for each other
    lines = TestLines()
    for library in ("torch", "onnxruntime"):  # once, not in each process that is forked
        with suppress(ModuleNotFoundError):
            import_module(library)
    is_enough = True
    for folder in folders:
        counts = Counter[str]()
        for fault in sample_faults(folder.resolve(), count, seed):
            start = perf_counter()
            known = fault.key in equivalents
            result = "equivalent" if known else "noticed" if is_noticed(fault, lines) else "MISSED"
            counts[result] += 1
            click.echo(f"{result} {fault.path}:{fault.lines[0]}: {fault.change}  ({perf_counter() - start:.0f} s)")
        share = 100 * counts["noticed"] // max(1, counts["noticed"] + counts["MISSED"])
        is_enough &= share >= at_least
        click.echo(f"{folder}, seed {seed}: {dict(counts)}, {share} % of those with an effect noticed")
    sys.exit(not is_enough)


if __name__ == "__main__":
    main()
