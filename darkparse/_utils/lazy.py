"""Lazy package exports, so that commands which need neither torch nor numpy do not import them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lazy_loader import attach_stub


@cache
def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return a package's `__getattr__`, `__dir__` and `__all__` for the names that its stub exports (PEP 562).

    The stub, `__init__.pyi`, must be on disk beside `__init__.py`, so darkparse cannot be imported from a zip file.

    Args:
        package: The package's `__name__`.
        file: The package's `__file__`.
    """
    import_export, list_exports, exports = attach_stub(package, file)

    def get_export(name: str) -> Any:
        try:
            return import_export(name)
        except ModuleNotFoundError as problem:
            if problem.name not in ("torch", "numpy"):
                raise
            message = f"{package}.{name} requires {problem.name}\nhint: pip install {problem.name}"
            raise ModuleNotFoundError(message, name=problem.name) from None

    return get_export, list_exports, exports
