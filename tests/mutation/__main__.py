"""Plant faults in a folder of the package and report those that no fast test notices.

    python -m tests.mutation darkparse/layers --seed 3

Which tests run which line is measured once; each fault is then met by the tests of its line alone, the fastest first.
Faults that change nothing that can be observed are listed in equivalents.toml, with the reason. Exits with status 1 if
fewer than `--at-least` percent of the others are noticed.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import pytest

from tests.conftest import ROOT
from tests.mutation.faults import Fault, sample_faults

TESTS = {
    "layers": ("layers", "network", "model", "training"),
    "network": ("network", "syntax", "views"),
    "weights": ("weights", "model"),
    "model": ("model", "layers", "detect"),
    "onnx": ("onnx", "layers", "detect"),
    "detect": ("detect", "evaluation"),
    "evaluation": ("evaluation", "detect"),
    "datasets": ("datasets", "training", "evaluation"),
}
"""Folders of tests that meet the faults of a package, where it is not the one of its name alone."""
SECONDS = 120
"""Time limit for one fault; a fault that takes longer is noticed."""
MAX_TESTS = 300
"""Tests that meet one fault."""


class Recorder:
    """Plugin that measures which lines of the package each test runs, and how long it takes."""

    def __init__(self, folder: Path) -> None:
        import coverage

        self.coverage = coverage.Coverage(data_file=None, include=[f"{folder}/*"], check_preimported=True)
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        self.coverage.switch_context(item.nodeid)
        start = perf_counter()
        result = yield
        self.seconds[item.nodeid] = perf_counter() - start
        self.coverage.switch_context("")
        return result

    def find_tests(self, fault: Fault) -> list[str]:
        """Return the fastest tests that run a fault's line, or a part of all tests of its file if it runs on import."""
        data = self.coverage.get_data()
        contexts = data.contexts_by_lineno(str(ROOT / fault.path))
        first, last = fault.lines
        tests = {test for line in range(first, last + 1) for test in contexts.get(line, ()) if test}
        if tests:
            return sorted(tests, key=lambda test: self.seconds[test])[:MAX_TESTS]
        every = sorted({test for line in contexts.values() for test in line if test})
        return every[:: len(every) // MAX_TESTS + 1]


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


def run_tests(arguments: list[str], plugins: list[object]) -> int:
    """Run pytest in this process, without output."""
    common = [
        "-n",
        "0",
        "-q",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "--no-summary",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return int(pytest.main([*common, *arguments], plugins))


def is_noticed(fault: Fault, tests: list[str]) -> bool:
    """Run the tests on a fault in a forked process; return whether one fails or the time is over."""
    if not tests:
        return False
    child = os.fork()
    if not child:
        signal.alarm(SECONDS)
        for descriptor in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        sys.meta_path.insert(0, Planter(fault))
        os._exit(run_tests(["-x", *tests], []))
    return os.waitpid(child, 0)[1] != 0


def measure(package: Path, tests: tuple[str, ...]) -> Recorder | None:
    """Run the fast tests once, and record which lines each runs; return None if one fails."""
    recorder = Recorder(package)
    recorder.coverage.start()
    status = run_tests(["-m", "fast", *(f"tests/{name}" for name in tests)], [recorder])
    recorder.coverage.stop()
    return None if status else recorder


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option("--count", default=30, show_default=True, help="Number of faults.")
@click.option("--at-least", default=90, show_default=True, help="Percentage that must be noticed.")
def main(folder: Path, seed: int, count: int, at_least: int) -> None:
    package = folder.resolve().relative_to(ROOT / "darkparse").parts[0]
    with (Path(__file__).parent / "equivalents.toml").open("rb") as file:
        equivalents = {(e["path"], e["text"], e["change"]) for e in tomllib.load(file).get("fault", [])}
    faults = [fault for fault in sample_faults(folder.resolve(), count, seed) if fault.key not in equivalents]
    recorder = _measure_in_child(folder.resolve(), TESTS.get(package, (package,)), faults)
    for library in ("torch", "onnxruntime"):  # once, not in each process that is forked
        with suppress(ModuleNotFoundError):
            import_module(library)
    missed = 0
    for fault in faults:
        noticed = is_noticed(fault, recorder[fault.number, fault.path])
        missed += not noticed
        result = "noticed" if noticed else "MISSED"
        click.echo(f"{result} {fault.path}:{fault.lines[0]}: {fault.change}")
    share = 100 * (len(faults) - missed) // max(1, len(faults))
    click.echo(f"{folder}: {len(faults) - missed} of {len(faults)} faults noticed, {share} %; seed {seed}")
    sys.exit(share < at_least)


def _measure_in_child(folder: Path, tests: tuple[str, ...], faults: list[Fault]) -> dict[tuple[int, str], list[str]]:
    """Measure in a forked process, so that this one has not imported the package when a fault is planted."""
    reader, writer = os.pipe()
    if not os.fork():
        os.close(reader)
        recorder = measure(folder, tests)
        with os.fdopen(writer, "w") as file:
            json.dump([recorder.find_tests(fault) for fault in faults] if recorder else [], file)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        found: list[list[str]] = json.loads(file.read() or "[]")
    os.wait()
    if len(found) != len(faults):
        raise click.ClickException("the fast tests fail without any fault")
    return {(fault.number, fault.path): tests for fault, tests in zip(faults, found, strict=True)}


if __name__ == "__main__":
    main()
