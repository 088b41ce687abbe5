"""Pass 1: the class of each section, the option that counts for each key, and ignored lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from darkparse.diagnostics.source import truncate
from darkparse.errors import cfg_error
from darkparse.layers import DIALECTS, REGISTRY, Dialect
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.base import get_bound_fields, get_known_keys
from darkparse.layers.names import describe_unknown_kind
from darkparse.layers.net import Net
from darkparse.network.limits import Limits, format_excess
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.option_text import is_skipped
from darkparse.syntax import Config, Option, Section
from darkparse.syntax.config import NET_NAMES
from darkparse.syntax.lookalikes import describe_lookalike, fold_lookalikes

MAX_HINTS = 200
"""Maximum number of messages with a suggestion, to save time for files that are not cfgs."""

SlipCode = Literal["skipped", "empty-value", "duplicate", "unknown-option", "foreign-option", "no-value"]


@dataclass(frozen=True, slots=True)
class Slip:
    """A line without effect, or with another effect than it seems to have."""

    code: SlipCode
    option: Option
    first: Option | None = None
    """Option that counts instead of a duplicate."""


@dataclass(slots=True)
class Selection:
    """Section with its class and the options that count.

    Attributes:
        section: Section of the cfg.
        cls: Layer class, Net, or class of training options.
        dialect: Dialect that reads the section.
        owner: Dialect that defines the class if `dialect` does not support it, else `dialect`.
        options: Option that counts for each key.
        slips: Other lines.
        missing: Required keys without an option.
    """

    section: Section
    cls: type[Any]
    dialect: Dialect
    owner: Dialect
    options: dict[str, Option] = field(default_factory=dict)
    slips: list[Slip] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def is_foreign(self) -> bool:
        """Whether the dialect does not support this kind of section."""
        return self.owner is not self.dialect


def select_options(draft: Draft) -> None:
    """Select the options of all sections."""
    config = draft.config
    if draft.limits is not None:
        _check_layer_count(config, draft.limits)
    if config.source.is_cfg and config.source.encoding != "utf-8":
        message = f"the cfg is {config.source.encoding.upper()}, which Darknet cannot read; save it as UTF-8"
        draft.add("warning", "encoding", message, config.net.span)
    net = select(config.net, Net, draft.dialect)
    draft.selections, num_slips = [net], len(net.slips)
    for section in config.sections:
        cls = REGISTRY.get(section.kind)
        if cls is None:
            _add_unknown_kind(draft, section, with_hint=num_slips + len(draft.diagnostics) < MAX_HINTS)
            draft.selections.append(None)
            continue
        selection = select(section, cls, draft.dialect)
        num_slips += len(selection.slips)
        draft.selections.append(selection)


def report_missing(draft: Draft, selection: Selection) -> None:
    """Add an error for each missing required option of a section."""
    for key in selection.missing:
        draft.add("error", "missing", f"[{selection.section.kind}] requires {key}=", selection.section.span)


def select(section: Section, cls: type[Any], dialect: Dialect) -> Selection:
    """Select the options of one section: the first of each key counts (option_list.c option_find)."""
    owner = find_owner(cls, dialect)
    selection = Selection(section, cls, dialect, owner)
    known, ignored, kind = get_known_keys(cls), dict[str, Option](), f"[{cls.kind}]"
    options, slips = selection.options, selection.slips
    for option in section.options:
        key = option.key
        if dialect.strict_parser and is_skipped(option):
            slips.append(Slip("skipped", option))
        elif option.text == "":
            slips.append(Slip("empty-value", option))
        elif key in options or key in ignored:
            slips.append(Slip("duplicate", option, options.get(key) or ignored[key]))
        elif key not in known:
            slips.append(Slip("unknown-option", option))
        elif not owner.supports(known[key], kind, key):
            ignored[key] = option
            slips.append(Slip("foreign-option", option))
        elif option.text is None:
            ignored[key] = option
            slips.append(Slip("no-value", option))
        else:
            options[key] = option
    selection.missing += (keys[0] for keys in _get_required_keys(cls) if options.keys().isdisjoint(keys))
    return selection


def _get_required_keys(cls: type[Any]) -> tuple[tuple[str, ...], ...]:
    """Return the names of each option without a default."""
    names = _REQUIRED.get(cls)
    if names is None:
        names = _REQUIRED[cls] = tuple(item.keys for item in get_bound_fields(cls) if item.spec.required)
    return names


_REQUIRED: dict[type, tuple[tuple[str, ...], ...]] = {}


def find_owner(cls: type[Any], dialect: Dialect) -> Dialect:
    """Return the dialect whose rules apply to a class: the given one, or the nearest one that supports the class."""
    kind = f"[{cls.kind}]"
    if dialect.supports(cls.dialect, kind):
        return dialect
    return next(other for other in (*dialect.lineage, *DIALECTS.values()) if other.supports(cls.dialect, kind))


def _check_layer_count(config: Config, limits: Limits) -> None:
    count = len(config.sections)
    if count > limits.layers:
        raise cfg_error("limit", format_excess("layers", count, limits.layers), config.sections[limits.layers].span)


def _add_unknown_kind(draft: Draft, section: Section, *, with_hint: bool) -> None:
    if section.kind in NET_NAMES:
        message = f"second [{section.kind}]; a cfg has only one (are there two cfgs in this file?)"
        draft.add("error", "second-net", message, section.span)
        return
    hint = describe_unknown_kind(fold_lookalikes(section.kind), REGISTRY, ACTIVATIONS) if with_hint else ""
    hint = describe_lookalike(section.kind) + hint
    draft.add("error", "unknown-kind", f"unknown layer kind [{truncate(section.kind)}]{hint}", section.span)
