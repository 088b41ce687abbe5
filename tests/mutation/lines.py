"""Which lines of the package each fast test runs."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import pytest

from tests.conftest import ROOT
from tests.mutation.faults import Fault

STORE = ROOT / ".mutation"


class Recorder:
    """Plugin that measures which lines of the package each test runs, and how long it takes."""

    def __init__(self, path: Path) -> None:
        import coverage

        self.coverage = coverage.Coverage(data_file=path, include=[str(ROOT / "darkparse" / "*")])
        self.seconds: dict[str, float] = {}
        self.clearers: list[Callable[[], None]] = []

    def pytest_collection_finish(self) -> None:
        values = [value for module in list(sys.modules.values()) for value in _own_values(module)]
        self.clearers = [value.cache_clear for value in values if hasattr(value, "cache_clear")]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        for clear in self.clearers:  # otherwise only the first test would run what several tests share
            clear()
        self.coverage.switch_context(item.nodeid)
        start = perf_counter()
        result = yield
        self.seconds[item.nodeid] = perf_counter() - start
        self.coverage.switch_context("")
        return result


class TestLines:
    """Lines of the fast tests of each folder, measured when they are first asked for."""

    __test__ = False

    def __init__(self) -> None:
        self.package = _hash_files(ROOT / "darkparse")
        self.folders: dict[str, tuple[Any, dict[str, float]]] = {}

    def find_tests(self, fault: Fault, folder: str) -> list[str]:
        """Return the tests of a fault's line, or of its file if it runs on import; the fastest of each kind first."""
        data, seconds = self._read(folder)
        contexts = data.contexts_by_lineno(str(ROOT / fault.path))
        first, last = fault.lines
        of_line = {test for line in range(first, last + 1) for test in contexts.get(line, ()) if test}
        of_file = {test for tests in contexts.values() for test in tests if test}
        order, seen = [], Counter[str]()
        for test in sorted(of_line or of_file, key=lambda test: seconds[test]):
            function = test.partition("[")[0]
            order.append((seen[function], seconds[test], test))
            seen[function] += 1
        return [test for _, _, test in sorted(order)]

    def _read(self, folder: str) -> tuple[Any, dict[str, float]]:
        if folder not in self.folders:
            from coverage import CoverageData

            path = STORE / f"{folder}-{self.package}-{_hash_files(ROOT / 'tests' / folder)}.coverage"
            if not path.with_suffix(".json").exists():
                _measure_in_child(folder, path)
            data = CoverageData(str(path))
            data.read()
            self.folders[folder] = data, json.loads(path.with_suffix(".json").read_text("utf-8"))
        return self.folders[folder]


def _hash_files(folder: Path) -> str:
    """Return a short hash of the source files in a folder."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()[:12]


def run_tests(arguments: list[str], plugin: object) -> int:
    """Run pytest in this process, without output."""
    common = ["-n", "0", "-q", "-p", "no:cacheprovider", "--no-header", "--no-summary"]
    warning = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return int(pytest.main([*common, *warning, *arguments], [plugin]))


def _measure_in_child(folder: str, path: Path) -> None:
    """Measure in a forked process, so that this one has not imported the package when a fault is planted."""
    click.echo(f"measuring which lines tests/{folder} runs", err=True)
    STORE.mkdir(exist_ok=True)
    for old in STORE.glob(f"{folder}-*"):
        old.unlink()
    child = os.fork()
    if not child:
        for module in pkgutil.walk_packages([str(ROOT / "darkparse")], "darkparse.", onerror=lambda _: None):
            if not module.name.endswith("__main__"):
                with suppress(ImportError):  # what runs on import belongs to no test
                    importlib.import_module(module.name)
        recorder = Recorder(path)
        recorder.coverage.start()
        status = run_tests(["-m", "fast", f"tests/{folder}"], recorder)
        recorder.coverage.stop()
        recorder.coverage.save()
        if not status:
            path.with_suffix(".json").write_text(json.dumps(recorder.seconds), "utf-8")
        os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise click.ClickException(f"the fast tests of tests/{folder} fail without any fault")


def _own_values(module: Any) -> list[Any]:
    name = getattr(module, "__name__", "")
    return list(vars(module).values()) if name.startswith(("tests.", "darkparse.")) else []
