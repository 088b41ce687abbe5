"""Pass 2: warnings about lines that a lenient parser ignores; `strict_rules` is for the strict parser."""

from __future__ import annotations

import re

from darkparse.diagnostics import Diagnostic, Note
from darkparse.diagnostics.source import truncate
from darkparse.layers.base import get_known_keys
from darkparse.layers.foreign_names import FOREIGN_OPTIONS
from darkparse.layers.names import format_suggestion
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.options import MAX_HINTS, Selection, Slip, report_missing
from darkparse.syntax.lookalikes import describe_lookalike, fold_lookalikes


def warn_about_slips(draft: Draft) -> None:
    """Add a warning for each line that the dialect's parser ignores."""
    if draft.dialect.strict_parser:
        return
    for selection in draft.selections:
        if selection is None:
            continue
        if selection.is_foreign:
            kind, title = f"[{selection.section.kind}]", selection.dialect.title
            message = f"{title} does not support {kind}; darkparse compiles it as in {selection.owner.title}"
            draft.add("warning", "foreign-kind", message, selection.section.span)
        for slip in selection.slips:
            draft.diagnostics.append(make_warning(draft, selection, slip))
        report_missing(draft, selection)


def make_warning(draft: Draft, selection: Selection, slip: Slip) -> Diagnostic:
    """Make the warning about a line that a lenient parser ignores."""
    key, kind, span = slip.option.key, selection.section.kind, slip.option.span
    match slip.code:
        case "empty-value":
            message = f"{truncate(key)}= has no value, Darknet skips the line"
        case "duplicate" if slip.first is not None:
            line = f"{truncate(slip.first.span.text)!r} in line {slip.first.span.line}"
            message = f"duplicate option {truncate(key)}, Darknet uses the first, {line}"
            return Diagnostic("warning", "duplicate", message, span, (Note("first occurrence", slip.first.span),), key)
        case "unknown-option":
            hint = suggest_option(draft, selection, slip)
            message = f"[{kind}] has no option {truncate(key)!r}, Darknet ignores it{hint}"
        case "foreign-option":
            message = f"{selection.dialect.title} does not support {key!r} in [{kind}] and ignores it"
        case _:
            message = f"line without '=', Darknet uses the default of {key!r}"
    return Diagnostic("warning", slip.code, message, span)


def suggest_option(draft: Draft, selection: Selection, slip: Slip) -> str:
    """Suggest the option that was meant; empty in a file with many diagnostics."""
    if len(draft.diagnostics) > MAX_HINTS:
        return ""
    option, known = slip.option, get_known_keys(selection.cls)
    explanation = FOREIGN_OPTIONS.get((selection.cls.kind, option.key))
    if explanation is not None:
        return f"; {explanation}"
    key = fold_lookalikes(option.key)
    match = re.fullmatch(r"([A-Za-z_]+)[:;=]?([-0-9.,]+)", key) if option.text is None else None
    if match and match[1] in known:
        suggestion = f"; did you mean {match[1]}={truncate(match[2])}?"
    else:
        suggestion = format_suggestion(key, known)
    return describe_lookalike(option.key) + suggestion
