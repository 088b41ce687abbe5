"""A command's parameters as one typed object."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, TypeVar

J = TypeVar("J")


def takes(job_type: type[J]) -> Callable[[Callable[[J], None]], Callable[..., None]]:
    """Decorate a command's function so that it takes one object instead of a keyword for each parameter.

    Args:
        job_type: A dataclass with a field for each parameter of the command, or for a group of them.
    """

    def decorate(function: Callable[[J], None]) -> Callable[..., None]:
        @wraps(function)
        def command(**parameters: object) -> None:
            function(build_job(job_type, parameters))

        return command

    return decorate


def build_job(job_type: type[J], parameters: Mapping[str, object]) -> J:
    """Return a dataclass with the values of the parameters that its fields are named after.

    A field that is not a parameter and whose type is a dataclass is built in the same way, such as
    `settings: DetectionSettings`. Any other field keeps its default.
    """
    values = {}
    for name, group in field_groups(job_type).items():
        if name in parameters:
            values[name] = parameters[name]
        elif group is not None:
            values[name] = build_job(group, parameters)
    return job_type(**values)


def field_groups(job_type: type[Any]) -> dict[str, type[Any] | None]:
    """Return the fields of a dataclass, each with the dataclass that is its type, or None."""
    names = vars(sys.modules[job_type.__module__])
    types = {field.name: names.get(str(field.type)) for field in fields(job_type)}
    return {name: cls if isinstance(cls, type) and is_dataclass(cls) else None for name, cls in types.items()}
