"""Every name that darkparse exports says what it takes, gives and raises, and its example is run."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest

import darkparse
from darkparse import errors

EXPORTED = {name: getattr(darkparse, name) for name in dir(darkparse) if name != "__version__"}
NAMES = sorted(name for name, value in EXPORTED.items() if not inspect.ismodule(value))
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(darkparse, name))]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(darkparse, name))]
SLOW = {"to_compiled", "to_onnx", "to_program", "to_torchscript"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run: what they take for granted is there."""
    folder = tmp_path_factory.mktemp("examples")
    darkparse.save_weights(darkparse.build("yolov3-tiny", initialize=True), folder / "tiny.weights")
    return folder


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NAMES])
def test_public_name_example_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = doctest.DocTestFinder(recurse=False).find(getattr(darkparse, name), name, globs={"darkparse": darkparse})
    assert found
    assert found[0].examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    assert runner.run(found[0], out=said.append).failed == 0, "".join(said)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_function_documents_args_returns_and_raises(name: str) -> None:
    function = getattr(darkparse, name)
    sections = _sections(inspect.getdoc(function) or "")
    taken = set(inspect.signature(function).parameters)
    assert taken == set(sections["Args"])
    assert sections["Returns"]
    assert set(sections["Raises"]) <= {*vars(errors), "OSError", "TypeError"}


@pytest.mark.parametrize("name", CLASSES)
def test_public_class_documents_fields(name: str) -> None:
    """As `help` shows them, which leaves out the strings below fields."""
    cls = getattr(darkparse, name)
    sections = _sections(inspect.getdoc(cls) or "")
    fields = set(getattr(cls, "__dataclass_fields__", ()))
    told = {part for field in sections.get("Attributes", ()) for part in field.split(", ")}
    assert fields <= told
    if not fields and not issubclass(cls, Exception):
        assert set(inspect.signature(cls).parameters) == set(sections["Args"])


def _sections(doc: str) -> dict[str, list[str]]:
    """The names that each section of a docstring explains; of `Returns`, its lines."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in doc.splitlines():
        if line.endswith(":") and line[:-1] in ("Args", "Attributes", "Returns", "Raises"):
            current = sections.setdefault(line[:-1], [])
        elif line.startswith(">>>"):
            break
        elif line.startswith("    ") and not line.startswith("     "):
            current.append(line.strip().partition(":")[0])
    return sections


def test_errors_module_documents_every_error() -> None:
    """The module's page shows every error of the package, and each can be had from `darkparse`."""
    shown = [name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)]
    assert shown == [name for name in (errors.__doc__ or "").split() if name.endswith(("Error", "Warning"))]
    shown.remove("DarkparseWarning")
    assert set(shown) == {name for name in CLASSES if issubclass(getattr(darkparse, name), darkparse.DarkparseError)}
    everywhere = {one.__name__ for one in _below(darkparse.DarkparseError)}
    assert everywhere <= set(shown)


def _below(error: type[Exception]) -> list[type[Exception]]:
    return [one for child in error.__subclasses__() for one in (child, *_below(child))]
