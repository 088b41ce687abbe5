"""Names of a package that are imported when they are first used: a table needs no torch, and no numpy either."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from darkparse.renamed import RENAMED

EXPORT = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)
"""A line of a stub: `from darkparse.model.loading import load as load`."""


def lazy(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's `__getattr__`, `__dir__` (PEP 562) and `__all__`, from its stub, which type checkers read too."""
    module = sys.modules[package]
    stub = Path(str(module.__file__)).with_suffix(".pyi").read_text("utf-8")
    home_of = {name: home for home, name in EXPORT.findall(stub)}

    def get(name: str) -> Any:
        if name not in home_of:
            now = RENAMED.get(f"{package}.{name}")
            hint = f": it is {now} now" if now else ""
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        home = home_of[name]
        try:
            value = import_module(f"{home}.{name}") if home == package else getattr(import_module(home), name)
        except ModuleNotFoundError as problem:
            if problem.name != "torch":
                raise
            message = f"{package}.{name} needs torch, which is not installed: pip install torch"
            raise ModuleNotFoundError(message, name="torch") from None
        setattr(module, name, value)
        return value

    return get, lambda: sorted({*vars(module), *home_of}), sorted(home_of)
