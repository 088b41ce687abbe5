"""Reference of cfg options, derived from the layer classes: for the documentation and for editors."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from math import inf
from pathlib import PurePath
from typing import Any

from darkparse.layers.activations import ACTIVATIONS, Activation
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.layers.base import BoundField, Layer, get_bound_fields, get_named_options
from darkparse.layers.dialect import DIALECTS, Dialect
from darkparse.layers.head import Head
from darkparse.layers.net import Net
from darkparse.layers.training import LayerTraining

TYPE_NAMES: dict[Any, str] = {
    int: "integer",
    float: "number",
    bool: "0 or 1",
    str: "name",
    Activation: "activation",
    PurePath: "file",
    tuple[int, ...]: "integers",
    tuple[float, ...]: "numbers",
}
"""Names of the types of options."""


@dataclass(frozen=True, slots=True)
class OptionEntry:
    """Reference entry of an option.

    Attributes:
        keys: Names of the option in the cfg.
        help: Meaning, in one sentence.
        type: Name of the type; empty for an option that darkparse ignores.
        choices: Valid values, if the option takes one of several names.
        default: Default; with other forks' defaults if they differ.
        dialect: Only dialect that supports the option, along with its forks; None for all.
        is_training: Whether the option only affects training.
        is_used: Whether darkparse uses the option; otherwise only Darknet does.
    """

    keys: tuple[str, ...]
    help: str
    type: str
    choices: tuple[str, ...]
    default: str
    dialect: str | None
    is_training: bool
    is_used: bool

    def __str__(self) -> str:
        """Describe the option in one line."""
        default = f"default {self.default}" if self.default else "required" if self.is_used else "not used by darkparse"
        notes = [default, "training only" if self.is_training else "", f"{self.dialect} only" if self.dialect else ""]
        return f"{self.help} ({', '.join(filter(None, notes))})"


def list_options(cls: type[Layer] | type[Net]) -> tuple[OptionEntry, ...]:
    """Return the options of a section: first those that affect inference, then those that only affect training."""
    if cls not in _ENTRIES:
        _ENTRIES[cls] = _list_options(cls)
    return _ENTRIES[cls]


_ENTRIES: dict[type, tuple[OptionEntry, ...]] = {}


def _list_options(cls: type[Layer] | type[Net]) -> tuple[OptionEntry, ...]:
    own = _describe_fields(cls)
    typed = [entry for other in _find_training_classes(cls) for entry in _describe_fields(other, is_training=True)]
    named = get_named_options(cls)
    own_keys = {entry.keys for entry in own}
    others: dict[tuple[str, ...], OptionEntry] = {}
    for entry in typed:
        # Classes of several sections have more options than this section.
        if entry.keys[0] in named or _is_of_loss(cls, entry):
            others.setdefault(entry.keys, entry)
    for name, known in named.items():
        if (name,) not in own_keys:
            others.setdefault((name,), OptionEntry((name,), known.help, "", (), "", known.dialect, True, False))
    return (*own, *(entry for keys, entry in others.items() if keys not in own_keys))


def find_option(cls: type[Layer] | type[Net], key: str) -> OptionEntry | None:
    """Return the entry of an option by one of its names."""
    return next((entry for entry in list_options(cls) if key in entry.keys), None)


def get_parser_function(cls: type[Layer] | type[Net]) -> str:
    """Return the function of Darknet's parser.c that reads the section."""
    return cls.parser or f"parse_{cls.kind.lower()}"


def _find_training_classes(cls: type[Any]) -> Iterator[type[Any]]:
    """Yield the classes of training options that a section is read with."""
    loss_options = getattr(cls, "loss_options", None)
    if loss_options is not None:
        yield loss_options
    if cls is Net:
        yield Augmentation
        return
    if issubclass(cls, Head):
        yield HeadAugmentation
    yield LayerTraining


def _is_of_loss(cls: type[Any], entry: OptionEntry) -> bool:
    loss_options = getattr(cls, "loss_options", None)
    return loss_options is not None and any(field.keys == entry.keys for field in get_bound_fields(loss_options))


def _describe_fields(cls: type[Any], *, is_training: bool = False) -> list[OptionEntry]:
    """Return the entries of the typed options of a class."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = (field for field in get_bound_fields(cls) if field.keys)
    return [_describe_field(cls, field, hints[field.name], is_training=is_training) for field in fields]


def _describe_field(cls: type[Any], field: BoundField, annotation: Any, *, is_training: bool) -> OptionEntry:
    spec = field.spec
    type_name = TYPE_NAMES.get(annotation) or TYPE_NAMES[typing.get_args(annotation)[0]]
    choices: tuple[str, ...] = getattr(spec.read, "words", ())
    if type_name == "activation":
        choices = tuple(ACTIVATIONS)
    default = "" if spec.required else _describe_default(cls, field)
    return OptionEntry(field.keys, spec.help, type_name, choices, default, spec.dialect, is_training, True)


def _describe_default(cls: type[Any], field: BoundField) -> str:
    default = next(item.default for item in cls.__dataclass_fields__.values() if item.name == field.name)
    if field.spec.formula:
        return field.spec.formula
    if field.spec.dialect_default is None:
        return _format_default(default)
    values = {
        dialect.title.partition("/")[0]: _format_default(_get_path(dialect, field.spec.dialect_default))
        for dialect in DIALECTS.values()
        if dialect.supports(field.spec.dialect)
    }
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{value} ({fork})" for fork, value in values.items())


def _get_path(dialect: Dialect, path: str) -> Any:
    return reduce(getattr, path.split("."), dialect)


def _format_default(value: Any) -> str:
    if value in (None, (), inf):
        return "none"
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)
