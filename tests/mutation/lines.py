"""Which lines of the package each fast test runs."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import sys
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from itertools import accumulate
from pathlib import Path
from time import process_time
from typing import Any, cast

import click
import pytest
from filelock import FileLock

from tests.conftest import ROOT
from tests.mutation.faults import Fault

STORE = ROOT / ".mutation"


class Recorder:
    """Plugin that measures which lines of the package each test runs, and its processor time."""

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
        start = process_time()
        result = yield
        self.seconds[item.nodeid] = process_time() - start
        self.coverage.switch_context("")
        return result


class TestLines:
    """Lines of the fast tests of each folder, measured when they are first asked for."""

    __test__ = False

    def __init__(self) -> None:
        self.package = _hash_files((ROOT / "darkparse").rglob("*.py"))
        self.folders: dict[str, tuple[Any, dict[str, float]]] = {}

    def find_tests(self, fault: Fault, folder: str, seconds: float) -> list[str]:
        """Return tests of a fault's line that take `seconds` in all; the fastest of each function first.

        A line that runs on import belongs to no test: the fastest of its file are returned. In the folder of the
        package these take three times as long, and the fastest of the others follow.
        """
        if folder not in self.folders:
            self.folders[folder] = self._measure(folder)
        data, times = self.folders[folder]
        contexts = data.contexts_by_lineno(str(ROOT / fault.path))
        first, last = fault.lines
        of_line = {test for line in range(first, last + 1) for test in contexts.get(line, ())} & times.keys()
        of_file = {test for tests in contexts.values() for test in tests} & times.keys()
        if of_line:
            return _limit(_sort_by_function(of_line, times), times, seconds)
        by_time = sorted(of_file, key=times.__getitem__)
        if folder != Path(fault.path).parts[1]:
            return _limit(by_time, times, seconds)
        others = sorted(times.keys() - of_file, key=times.__getitem__)
        return _limit(by_time, times, 3 * seconds) + _limit(others, times, seconds)

    def _measure(self, folder: str) -> tuple[Any, dict[str, float]]:
        """Return the lines and seconds of the tests of a folder; run the test files that changed since the last time.

        The package's source and the modules that the tests share belong to the name of the file: they affect all tests.
        """
        from coverage import CoverageData

        files = sorted((ROOT / "tests" / folder).rglob("*.py"))
        tests = [file for file in files if file.name.startswith("test_")]
        hashes = {str(test.relative_to(ROOT)): _hash_files([test]) for test in tests}
        path = STORE / f"{folder}-{self.package}-{_hash_files(set(files) - set(tests))}.json"
        STORE.mkdir(exist_ok=True)
        with FileLock(STORE / f"{folder}.lock"):  # another run may measure the same folder
            measured = json.loads(path.read_text("utf-8")) if path.exists() else {}
            stale = [test for test in hashes if hashes[test] != measured.get(test, {}).get("hash")]
            if stale:
                for old in set(STORE.glob(f"{folder}-*")) - {path, path.with_suffix(".coverage")}:
                    old.unlink()
                seconds = _run_in_child(stale, path.with_suffix(".coverage"))
                for test in stale:
                    of_file = {name: time for name, time in seconds.items() if name.partition("::")[0] == test}
                    measured[test] = {"hash": hashes[test], "seconds": of_file}
                path.write_text(json.dumps(measured), "utf-8")
        data = CoverageData(str(path.with_suffix(".coverage")))
        data.read()
        return data, {name: time for test in hashes for name, time in measured[test]["seconds"].items()}


def _sort_by_function(tests: Iterable[str], times: Mapping[str, float]) -> list[str]:
    """Sort the first test of every function before the second ones, and by their times."""
    order, seen = [], Counter[str]()
    for test in sorted(tests, key=times.__getitem__):
        function = test.partition("[")[0]
        order.append((seen[function], times[test], test))
        seen[function] += 1
    return [test for _, _, test in sorted(order)]


def _limit(tests: list[str], times: Mapping[str, float], seconds: float) -> list[str]:
    """Return the first tests that take `seconds` in all, and at least one if there are any."""
    ends = list(accumulate(map(times.__getitem__, tests)))
    return tests[: max(1, bisect(ends, seconds))]


def _hash_files(files: Iterable[Path]) -> str:
    """Return a short hash of the contents of files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()[:12]


def run_tests(arguments: list[str], plugin: object) -> int:
    """Run pytest in this process, without output."""
    common = ["-n", "0", "-q", "-p", "no:cacheprovider", "--no-header", "--no-summary"]
    warning = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return int(pytest.main([*common, *warning, *arguments], [plugin]))


def _run_in_child(tests: list[str], path: Path) -> dict[str, float]:
    """Add the lines of test files to a coverage file; return the seconds of each test.

    They run in a forked process, so that this one has not imported the package when a fault is planted.
    """
    click.echo(f"measuring which lines {len(tests)} files of {Path(tests[0]).parent} run", err=True)
    times = path.with_suffix(".times")
    child = os.fork()
    if not child:
        for module in pkgutil.walk_packages([str(ROOT / "darkparse")], "darkparse.", onerror=lambda _: None):
            if not module.name.endswith("__main__"):
                with suppress(ImportError):  # what runs on import belongs to no test
                    importlib.import_module(module.name)
        recorder = Recorder(path)
        recorder.coverage.load()
        recorder.coverage.start()
        status = run_tests(["-m", "fast", *tests], recorder)
        recorder.coverage.stop()
        recorder.coverage.save()
        times.write_text(json.dumps(recorder.seconds), "utf-8")
        os._exit(0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status)
    if os.waitpid(child, 0)[1]:
        raise click.ClickException(f"fast tests of {Path(tests[0]).parent} fail without any fault")
    return cast("dict[str, float]", json.loads(times.read_text("utf-8")))


def _own_values(module: Any) -> list[Any]:
    name = getattr(module, "__name__", "")
    return list(vars(module).values()) if name.startswith(("tests.", "darkparse.")) else []
