"""Names of a package that are imported when they are first used: a table needs no torch, and no numpy either."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

EXPORT = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)
"""A line of a stub: `from darkparse.model.loading import load as load`."""


@cache
def _homes(package: str) -> dict[str, str]:
    """Where a package's names come from, as its stub says, which type checkers read too."""
    stub = Path(str(sys.modules[package].__file__)).with_suffix(".pyi")
    return {name: home for home, name in EXPORT.findall(stub.read_text("utf-8"))}


def attribute(package: str, name: str) -> Any:
    """What a package's `__getattr__` gives (PEP 562), `__all__` too."""
    homes = _homes(package)
    if name == "__all__":
        return sorted(homes)
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    home = homes[name]
    try:
        value = import_module(f"{home}.{name}") if home == package else getattr(import_module(home), name)
    except ModuleNotFoundError as problem:
        if problem.name != "torch":
            raise
        message = f"{package}.{name} needs torch, which is not installed: pip install torch"
        raise ModuleNotFoundError(message, name="torch") from None
    setattr(sys.modules[package], name, value)
    return value


def names(package: str) -> list[str]:
    """What a package's `__dir__` gives."""
    return sorted({*vars(sys.modules[package]), *_homes(package)})


def lazy(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's `__getattr__`, `__dir__` and `__all__`."""
    return partial(attribute, package), partial(names, package), attribute(package, "__all__")
