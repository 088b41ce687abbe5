"""Packages whose names are imported on first use, so that a table needs neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lazy_loader import attach_stub


@cache
def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return a package's `__getattr__`, `__dir__` and `__all__` for the names that its stub exports (PEP 562).

    The stub, `__init__.pyi`, must lie on disk beside `__init__.py`, so darkparse cannot be imported from a zip file.

    Args:
        package: `__name__` of the package.
        file: `__file__` of the package.
    """
    import_export, list_exports, exports = attach_stub(package, file)

    def get_export(name: str) -> Any:
        try:
            return import_export(name)
        except ModuleNotFoundError as problem:
            if problem.name not in ("torch", "numpy"):
                raise
            message = f"{package}.{name} needs {problem.name}, which is not installed: pip install {problem.name}"
            raise ModuleNotFoundError(message, name=problem.name) from None

    return get_export, list_exports, exports
