"""The page of the Python API: directives for each public name, by subject."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import darkparse

MODULES: tuple[ModuleType, ...] = (darkparse.training, darkparse.training.losses, darkparse.datasets)
"""Public modules besides `darkparse` itself and its errors."""


def make_api_page() -> str:
    """Return the page with a directive for each public name."""
    names: dict[str, Any] = {name: value for name, value in list_public(darkparse) if not inspect.ismodule(value)}
    errors = {name: value for name, value in names.items() if inspect.isclass(value) and issubclass(value, Exception)}
    groups: dict[str, dict[str, Any]] = {
        "Functions": {name: value for name, value in names.items() if inspect.isroutine(value)},
        "Classes": {name: value for name, value in names.items() if inspect.isclass(value) and name not in errors},
        "Errors and warnings": errors,
    }
    parts = ["# Python API"]
    for title, group in groups.items():
        parts += [f"## {title}", *(_directive("darkparse", name, value) for name, value in group.items())]
    for module in MODULES:
        parts += [f"## {module.__name__}", inspect.cleandoc(module.__doc__ or "")]
        parts += [_directive(module.__name__, name, value) for name, value in list_public(module)]
    return "\n\n".join(parts)


def list_public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the names that a module exports, with their values."""
    for name in sorted(getattr(module, "__all__", None) or dir(module)):
        value = getattr(module, name)
        if not name.startswith("_") and not inspect.ismodule(value):
            yield name, value


def _directive(module: str, name: str, value: Any) -> str:
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        options = "" if kind == "autoclass" else "\n:no-members:"
    else:
        kind, options = ("autofunction", "") if inspect.isroutine(value) else ("autodata", "")
    return f"```{{eval-rst}}\n.. {kind}:: {module}.{name}{options.replace(chr(10), chr(10) + '   ')}\n```"
