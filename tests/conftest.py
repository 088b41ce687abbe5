"""Fixtures, markers and paths that several tests share."""

from __future__ import annotations

import gc
import math
import os
import re
import subprocess
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import hypothesis
import pytest
from _pytest.mark import ParameterSet
from _pytest.runner import runtestprotocol

from tests.process_detection import refuse_interpreter, starts_process

# Use the same examples in every run, so that failures are reproducible; DARKPARSE_EXHAUSTIVE tries random ones.
for profile, count in (("fast", 20), ("ci", 100)):
    hypothesis.settings.register_profile(
        profile, max_examples=count, deadline=None, derandomize=not os.environ.get("DARKPARSE_EXHAUSTIVE")
    )
hypothesis.settings.load_profile("fast")

# Let processes that tests start cache bytecode, as for an installed package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Disable color and fix the output width, independent of the environment.
for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
os.environ["COLUMNS"] = "120"

# Divide the cores among the test processes, before torch is imported. The process that starts them must not set the
# variable, because they inherit its value.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
"""Reference numbers and the forks' original files; the directory may be missing."""

needs_shared = pytest.mark.skipif(
    not (SHARED / "golden" / "check.py").is_file(),
    reason="needs Darknet's reference numbers in ../shared, which are not published; tests/data/reference has a part",
)

exhaustive = pytest.mark.skipif(
    not os.environ.get("DARKPARSE_EXHAUSTIVE"), reason="takes many minutes: set DARKPARSE_EXHAUSTIVE=1"
)
"""Marker of tests that repeat a slow test on more networks."""


def examples(count: int) -> hypothesis.settings:
    """Return settings of a property test: `count` examples with `--hypothesis-profile ci`, at most 20 without it."""
    default = hypothesis.settings.default
    assert default is not None
    return hypothesis.settings(max_examples=count if default.max_examples == 100 else min(count, default.max_examples))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--overwrite", action="store_true", help="rewrite the golden text files with what is printed now")


class PassedOnce:
    """Sends one report of a passed test instead of three: sending the others takes as long as a short test."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        for report in runtestprotocol(item, log=False, nextitem=nextitem):
            if report.when == "call" or not report.passed:
                item.ihook.pytest_runtest_logreport(report=report)
        return True


def pytest_configure(config: pytest.Config) -> None:
    if workers and config.option.durations is None:
        config.pluginmanager.register(PassedOnce())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark long tests as slow, tests that start a process as `process`, and all others as `fast`."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")
        if starts_process(item):
            item.add_marker("process")
        if not item.get_closest_marker("slow") and not item.get_closest_marker("process"):
            item.add_marker("fast")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the collected tests and the imported libraries out of garbage collections, which then are rarer too."""
    gc.disable()
    gc.set_threshold(50_000, 20, 100)
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _is_slow(marks: Iterable[pytest.Mark | pytest.MarkDecorator]) -> bool:
    return any(mark.name in ("slow", "long") for mark in marks)


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> list[pytest.Item] | None:
    """Omit slow functions from a run of `-m fast`, which would make an item for each of their parameters."""
    if not name.startswith("test") or collector.config.option.markexpr != "fast":
        return None
    return [] if _is_slow(getattr(obj, "pytestmark", ())) else None


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Omit slow parameters from a run of `-m fast`: they are as many as its tests, and an item each takes long."""
    if metafunc.config.option.markexpr == "fast":
        fast = [call for call in metafunc._calls if not _is_slow(call.marks)]
        metafunc._calls[:] = fast or metafunc._calls[:1]  # without any, pytest would run the function without arguments


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a fast test that starts a Python interpreter: `starts_process` does not recognize how it does so."""
    if not item.get_closest_marker("fast"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "_execute_child", refuse_interpreter(subprocess.Popen._execute_child))  # type: ignore[attr-defined]
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how to install the packages that tests were skipped for."""
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if missing := sum("could not import" in reason for reason in skipped):
        hint = "pip install -c constraints.txt -e '.[test]' installs every package that a test uses"
        terminalreporter.write_line(f"{missing} skipped for a package that is not installed: {hint}")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that compares text with tests/data/golden/NAME; `--overwrite` writes the file instead."""

    def compare(name: str, text: str) -> None:
        path = DATA / "golden" / name
        if request.config.getoption("--overwrite"):
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text, "utf-8", newline="\n")
        assert path.is_file(), f"{path} is missing; run pytest --overwrite"
        assert text == path.read_bytes().decode("utf-8")

    return compare


def original_cfgs() -> list[Path]:
    """Return the forks' original cfgs, or an empty list if they are not available."""
    folder = SHARED / "cfgs"
    return sorted(folder.rglob("*.cfg")) if folder.is_dir() else []


ZOO_SAMPLE = (
    *("darknet19", "darknet53", "shapes", "yolov1", "yolov1-paper", "yolov1-tiny", "yolov2", "yolov2-tiny", "yolov3"),
    *("yolov3-tiny", "yolov4", "yolov4-tiny"),
)
"""Shipped cfgs with every structure that the others have; the others equal originals, which have tests of their own."""


def original_params(*, fast_bytes: int = 0) -> list[ParameterSet]:
    """Return the original cfgs as test parameters.

    Those smaller than `fast_bytes` are fast, others slow, and long if their sections repeat those of another cfg.
    """
    params, seen = [], set[tuple[bytes, ...]]()
    for path in original_cfgs():
        data = path.read_bytes()
        sections = tuple(re.findall(rb"^\s*\[.*?\]", data, re.MULTILINE))
        repeats = sections in seen
        marks = pytest.mark.long if repeats else () if len(data) < fast_bytes else pytest.mark.slow
        params.append(pytest.param(path, id=f"{path.parent.name}-{path.stem}", marks=marks))
        seen.add(sections)
    return params


def shipped_cfgs() -> list[Path]:
    """Return the cfgs that ship with the project: a sample, or all of them if exhaustive tests run."""
    paths = sorted((ROOT / "cfgs").glob("*.cfg"))
    return paths if os.environ.get("DARKPARSE_EXHAUSTIVE") else [path for path in paths if path.stem in ZOO_SAMPLE]


@pytest.fixture(autouse=True, scope="session")
def _no_sync() -> Generator[None, None, None]:
    """Do not wait for the disk when a file is written: only a power cut would show the difference."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_links_to_temporary_directories() -> Generator[None, None, None]:
    """Do not link to each test's latest `tmp_path`, which takes longer than making it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("_pytest.tmpdir._force_symlink", lambda *_: None, raising=False)
        patch.setattr("_pytest.pathlib._force_symlink", lambda *_: None, raising=False)
        yield


@pytest.fixture(autouse=True, scope="session")
def single_thread_limit() -> Generator[float, None, None]:
    """Run each graph on one core, because test processes share the cores, and idle threads of a graph keep one busy.

    Yields the BFLOPs up to which a graph runs on one core elsewhere.
    """
    from darkparse.detect.engines import graph_engine

    limit = graph_engine.MAX_SINGLE_THREAD_BFLOPS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_engine, "MAX_SINGLE_THREAD_BFLOPS", math.inf)
        yield limit
