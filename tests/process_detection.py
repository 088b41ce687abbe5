"""Detection of tests that start a process, from the code that they and their fixtures reach."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType

import pytest

STARTERS = {"subprocess", "multiprocessing"}
"""Modules whose use starts processes."""


def starts_process(item: pytest.Item) -> bool:
    """Return whether the test, a fixture of it, or a helper that these use refers to a module that starts processes."""
    if not isinstance(item, pytest.Function):
        return False
    fixtures = (fixture.func for name in item.fixturenames for fixture in _find_fixtures(item, name))
    return any(_reaches_process(function) for function in (item.function, *fixtures))


def refuse_interpreter(execute: Callable[..., None]) -> Callable[..., None]:
    """Wrap the method of `subprocess.Popen` that starts a program, to fail if the program is Python."""

    def refuse(self: object, arguments: object, *rest: object, **options: object) -> None:
        program = arguments if isinstance(arguments, str | bytes | os.PathLike) else next(iter(arguments))  # type: ignore[call-overload]
        if os.path.basename(os.fsdecode(program)).startswith("python"):  # noqa: PTH119
            pytest.fail(f"{program!r} starts an interpreter in a test marked `fast`")
        execute(self, arguments, *rest, **options)

    return refuse


def _find_fixtures(item: pytest.Function, name: str) -> tuple[pytest.FixtureDef[object], ...]:
    """Return the definitions of a fixture, or an empty tuple for built-in names such as `request`."""
    definitions: dict[str, tuple[pytest.FixtureDef[object], ...]] = item._fixtureinfo.name2fixturedefs  # type: ignore[assignment]
    return definitions.get(name, ())[-1:]


@cache
def _reaches_process(function: object) -> bool:
    """Search a function and the test helpers that it refers to."""
    pending, seen = [function], set[int]()
    while pending:
        current = pending.pop()
        current = getattr(current, "__wrapped__", current)
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, type):
            pending += [value for value in vars(current).values() if isinstance(value, FunctionType)]
        if not isinstance(current, FunctionType):
            continue
        for value in _find_globals(current):
            module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or ""
            if module.partition(".")[0] in STARTERS:
                return True
            if module.startswith("tests."):
                pending.append(value)
    return False


def _find_globals(function: FunctionType) -> Iterator[object]:
    """Yield the global objects whose names occur in a function."""
    codes: list[CodeType] = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        yield from (function.__globals__[name] for name in code.co_names if name in function.__globals__)
