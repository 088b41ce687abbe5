"""Pass 4: conversion of the selected options to typed layers."""

from __future__ import annotations

from operator import attrgetter
from pathlib import PurePath
from typing import Any, TypeVar

from darkparse.diagnostics import Diagnostic
from darkparse.diagnostics.source import truncate
from darkparse.errors import CfgError, DarkparseError, cfg_error
from darkparse.layers import Dialect, Layer
from darkparse.layers.base import BoundField, get_bound_fields
from darkparse.layers.capabilities import Reinterpretable
from darkparse.layers.net import Net
from darkparse.layers.training import Training
from darkparse.layers.values import ValueTextError
from darkparse.network.auxiliary_files import find_side_file
from darkparse.network.limits import Limits
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.option_text import cut_comment, is_plain
from darkparse.network.passes.options import Selection, select
from darkparse.network.passes.value_warnings import find_value_warnings
from darkparse.syntax import Option, Section
from darkparse.syntax.lookalikes import describe_lookalike

T = TypeVar("T", bound=Layer | Net | Training)


def bind_values(draft: Draft) -> None:
    """Bind all sections; raise CfgError at the end if any has an error."""
    bound: list[Any] = [selection and _bind_selection(draft, selection) for selection in draft.selections]
    if any(section is None for section in bound):
        raise draft.make_error()
    draft.cfg_net, *draft.layers = bound


def replace_reorg(draft: Draft) -> None:
    """Replace `[reorg]` with `[reorg3d]` if that is requested."""
    if draft.reorg not in (None, "reorg", "reorg3d"):
        raise DarkparseError(f"reorg must be 'reorg' or 'reorg3d', got {draft.reorg!r}")
    if draft.reorg == "reorg3d":
        layers = draft.layers
        draft.layers = [layer.reinterpret() if isinstance(layer, Reinterpretable) else layer for layer in layers]


def _bind_selection(draft: Draft, selection: Selection) -> Any:
    values, diagnostics = bind(selection, draft.limits)
    # A strict parser exits at the header of an unknown kind, before it reads the values.
    if not (selection.is_foreign and draft.dialect.strict_parser):
        draft.diagnostics += diagnostics
    return values


def bind_section(section: Section, cls: type[T], dialect: Dialect) -> tuple[T | None, list[Diagnostic]]:
    """Bind a section to a class; return the instance, None after an error, and the diagnostics."""
    return bind(select(section, cls, dialect))


def bind(selection: Selection, limits: Limits | None = None) -> tuple[Any, list[Diagnostic]]:
    """Bind a selection to its class; return the instance, None after an error, and the diagnostics."""
    values: dict[str, Any] = {}
    diagnostics: list[Diagnostic] = []
    options, is_valid = selection.options, not selection.missing
    for item in get_bound_fields(selection.cls):
        for key in item.keys:
            if key not in options:
                continue
            try:
                values[item.name] = _read_value(item, options[key], selection.dialect, limits, diagnostics)
            except CfgError as problem:
                is_valid = False
                diagnostics += problem.diagnostics
            break
        else:
            if item.spec.dialect_default is not None:
                values[item.name] = attrgetter(item.spec.dialect_default)(selection.dialect)
    return selection.cls(**values) if is_valid else None, diagnostics


def _read_value(
    item: BoundField, option: Option, dialect: Dialect, limits: Limits | None, diagnostics: list[Diagnostic]
) -> Any:
    """Read the value of an option and add warnings about it. Raises CfgError if the value is invalid."""
    text = option.text or ""
    try:
        value, complaint = item.read(cut_comment(option) if dialect.strict_parser else text, dialect)
    except ValueTextError as problem:
        message = (
            f"invalid value for {option.key}, got {truncate(text)!r}; "
            f"{problem}{describe_lookalike(text.partition('#')[0])}"
        )
        raise cfg_error("value", message, option.value_span) from None
    if item.spec.minimum is not None and value < item.spec.minimum:
        message = f"{option.key} must be at least {item.spec.minimum}, got {value}"
        raise cfg_error("value", message, option.value_span)
    if limits is not None and (excess := limits.check_option(option.key, value)) is not None:
        raise cfg_error("limit", excess, option.value_span)
    if complaint or not is_plain(option):
        diagnostics += find_value_warnings(item, option, value, complaint, dialect)
    if not item.spec.is_file:
        return value
    path = find_side_file(value, option.source)
    if path is None:
        diagnostics.append(_make_missing_file_warning(value, option))
    return path or PurePath(value)


def _make_missing_file_warning(name: str, option: Option) -> Diagnostic:
    places = "the working directory, the directory of the cfg and its parent directory"
    if option.source.folders is not None:
        places = "only the directories that were given for this cfg"
    message = f"{truncate(name)}: no such file; darkparse searches {places}"
    return Diagnostic("warning", "no-file", message, option.span)
