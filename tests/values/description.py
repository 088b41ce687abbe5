"""Numbers, flags and defaults of a package as text, so that a change of a limit or default is a decision."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

CONSTANT = re.compile(r"^([A-Z][A-Z0-9_]*)(?:: [^=\n]+)? = ", re.MULTILINE)
"""Definition of a public constant in a module's source."""
PLAIN = (bool, int, float, str)
VARYING_CONSTANTS = {"DISK_ERRORS", "MAX_SINGLE_THREAD_BFLOPS"}
"""Constants that differ between operating systems, or that `conftest.py` sets."""


def describe_values(package: str) -> str:
    """Return a line for each public constant with numbers, and for each public class and function with plain defaults.

    The fields of a dataclass are the parameters of its `__init__`; its flags have a line too, as do constants that are
    its objects. Constants that are a single flag are left out.
    """
    root = importlib.import_module(package)
    names = [package, *(module.name for module in pkgutil.walk_packages(root.__path__, f"{package}."))]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    return "".join(f"{module.__name__}.{line}\n" for module in modules for line in _describe_module(module))


def _describe_module(module: ModuleType) -> Iterator[str]:
    for name in CONSTANT.findall(inspect.getsource(module)):
        value = getattr(module, name)
        if (
            name not in VARYING_CONSTANTS
            and not isinstance(value, bool)
            and (_has_numbers(value) or _get_fields(value))
        ):
            yield f"{name} = {_print(value)}"
    yield from _describe_members(module, module.__name__, "")


def _describe_members(owner: Any, module: str, prefix: str) -> Iterator[str]:
    """Describe the functions and classes that a module or class defines, and the numbers and flags of a class."""
    fields = {field.name for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else set[str]()
    for name, value in list(vars(owner).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if inspect.isclass(owner) and isinstance(value, int | float) and name not in fields:
            yield f"{prefix}{name} = {value!r}"
        member = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if getattr(member, "__module__", None) != module:
            continue
        if inspect.isclass(member):
            if flags := _find_flags(member):
                yield f"{prefix}{name}: {', '.join(flags)}"
            if not issubclass(member, enum.Enum):
                yield from _describe_members(member, module, f"{prefix}{name}.")
        elif inspect.isfunction(function := inspect.unwrap(member) if callable(member) else member):
            defaults = _find_defaults(owner, name, function)
            if plain := [f"{key}={_print(default)}" for key, default in defaults.items() if _is_plain(default)]:
                yield f"{prefix}{name}({', '.join(plain)})"


def _find_flags(cls: type) -> list[str]:
    """Return whether the objects of a dataclass cannot change, refuse other attributes, and differ in every field."""
    if "__dataclass_params__" not in vars(cls):
        return []
    flags = ["frozen"] * vars(cls)["__dataclass_params__"].frozen + ["slots"] * ("__slots__" in vars(cls))
    return flags + [f"compared without {field.name}" for field in dataclasses.fields(cls) if not field.compare]


def _find_defaults(owner: Any, name: str, function: Callable[..., Any]) -> dict[str, object]:
    """Return the default of each parameter, with what a dataclass makes for each object."""
    defaults = {key: parameter.default for key, parameter in inspect.signature(function).parameters.items()}
    if name == "__init__" and dataclasses.is_dataclass(owner):
        fields = {field.name: field.default_factory for field in dataclasses.fields(owner)}
        made = {key: make() for key, make in fields.items() if make is not dataclasses.MISSING}
        defaults |= {key: value for key, value in made.items() if _has_numbers(value)}
    return defaults


def _is_plain(value: object) -> bool:
    return type(value) in PLAIN or (isinstance(value, tuple) and all(map(_is_plain, value))) or _has_numbers(value)


def _has_numbers(value: object) -> bool:
    """Return whether a value is a number, or a collection that has one."""
    match value:
        case int() | float() | np.number() | np.ndarray():
            return True
        case dict():
            return any(map(_has_numbers, (*value.keys(), *value.values())))
        case tuple() | list() | set() | frozenset():
            return any(map(_has_numbers, value))
    return False


def _get_fields(value: object) -> dict[str, object]:
    """Return the fields of a dataclass's object that have numbers or flags."""
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return {}
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: entry for name, entry in fields.items() if _has_numbers(entry) or _get_fields(entry)}


def _print(value: Any) -> str:
    """Return the text of a value, without what differs between versions of Python and NumPy."""
    match value:
        case np.number():
            return repr(value.item())
        case np.ndarray():
            return repr(value.tolist())
        case enum.Enum():
            return value.name
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(_print, value)))}}}"
        case dict():
            return f"{{{', '.join(f'{_print(key)}: {_print(entry)}' for key, entry in value.items())}}}"
        case tuple() | list():
            return f"({', '.join(map(_print, value))})"
        case bool() | int() | float() | str() | None:
            return repr(value)
    fields = ", ".join(f"{name}={_print(entry)}" for name, entry in _get_fields(value).items())
    return f"{type(value).__name__}({fields})" if fields else type(value).__name__
