"""Pass 3: errors where a strict parser exits although other forks continue (hank-ai darknet_cfg.cpp)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from darkparse.diagnostics import Diagnostic, Note, Span
from darkparse.diagnostics.source import truncate
from darkparse.layers import Dialect
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.names import describe_unknown_activation, format_suggestion
from darkparse.layers.training import IOU_KINDS
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.option_text import cut_comment
from darkparse.network.passes.options import Selection, Slip, report_missing
from darkparse.network.passes.slips import make_warning, suggest_option
from darkparse.network.section_rules import Rule, count, number, text
from darkparse.syntax import Config, Option, Section
from darkparse.syntax.config import NET_NAMES

LIST_OPTIONS = frozenset(["layers", "mask", "anchors", "counters_per_class", "steps", "scales", "seq_scales"])
"""Options with a list of numbers, which accept any separator, like `[shortcut] from` (find_int_array)."""
FILE_OPTIONS = frozenset({"map", "tree"})
CHOICES = {
    "activation": tuple(ACTIVATIONS),
    "iou_loss": ("mse", *IOU_KINDS),
    "iou_thresh_kind": ("mse", *IOU_KINDS),
    "nms_kind": ("default", "greedynms", "diounms", "cornersnms"),
    "yolo_point": ("center", "left_top", "right_bottom"),
    "weights_type": ("none", "per_feature", "per_channel"),
    "weights_normalization": ("none", "relu", "avg_relu", "softmax"),
    "type": ("sse", "masked", "smooth"),
}
"""Valid names of options (darknet_enums.cpp); the dialect lists those of policy=. Other options are numbers."""
OPTION_POLICIES = {
    "step": ("step", "sigmoid"),
    "scale": ("step",),
    "gamma": ("exp", "sigmoid"),
    **dict.fromkeys(("steps", "scales", "seq_scales"), ("steps", "sgdr")),
}
"""Policies with which an option of `[net]` is read; with others its line is unused (parse_net_section)."""
ADAM_OPTIONS = frozenset({"B1", "B2", "eps"})
_NUMBER = re.compile(r"-?\.?[0-9][-.0-9]*")
_SET_IN_COMMENT = re.compile(r"[ \t]*(;[^#= \t]*[ \t]*=[ \t]*[^#\r\n]+)")

STRICT_RULES: tuple[Rule, ...] = (
    Rule("policy", lambda s, _: _get_policy(s) == "steps" and not (s.find("steps") and s.find("scales")),
         "it requires steps= and scales="),
    Rule("contrastive",
         lambda s, _: number(s, "contrastive") != 0 and number(s, "batch", 1) < 2 * number(s, "subdivisions", 1),
         "batch= must be at least twice subdivisions="),
    Rule("counters_per_class", lambda s, _: count(s, "counters_per_class") != number(s, "classes", 20),
         "expected one number per class"),
    Rule("activation", lambda s, _: s.kind in ("sam", "scale_channels") and text(s, "activation") in ("swish", "mish"),
         "not supported in a gate"),
)  # fmt: skip


def apply_strict_rules(draft: Draft) -> None:
    """Add an error for each place where a strict parser exits; later passes still run."""
    if not draft.dialect.strict_parser:
        return
    for selection in draft.selections:
        if selection is not None:
            _check_selection(draft, selection)
    for section in (draft.config.net, *draft.config.sections):
        draft.diagnostics += _check_section(section, draft.dialect)
    if draft.config.source.is_cfg:
        draft.diagnostics += _check_comments(draft.config, draft.dialect)


def _check_selection(draft: Draft, selection: Selection) -> None:
    """Check the header and each line of a section; lines after an unknown header are not read."""
    section, dialect = selection.section, selection.dialect
    if selection.is_foreign:
        draft.diagnostics.append(_make_refusal(dialect, f"unsupported section [{section.kind}]", section.span))
        return
    for slip in selection.slips:
        draft.diagnostics.append(_check_slip(draft, selection, slip))
    for option in selection.options.values():
        if fault := _find_fault(section, option, dialect):
            draft.diagnostics.append(_make_refusal(dialect, fault, option.value_span))
    report_missing(draft, selection)


def _check_slip(draft: Draft, selection: Selection, slip: Slip) -> Diagnostic:
    kind, dialect, key, span = selection.section.kind, selection.dialect, slip.option.key, slip.option.span
    match slip.code:
        case "duplicate" if slip.first is not None:
            refusal = _make_refusal(dialect, f"duplicate option {truncate(key)}", span)
            return replace(refusal, notes=(Note("first occurrence", slip.first.span),))
        case "unknown-option":
            hint = suggest_option(draft, selection, slip)
            return _make_refusal(dialect, f"[{kind}] has no option {truncate(key)!r}{hint}", span)
        case "foreign-option":
            return _make_refusal(dialect, f"unsupported option {key!r} in [{kind}]", span)
        case "skipped":
            hint = suggest_option(draft, selection, slip)
            message = f"{dialect.title} skips this line, which is not key=value{hint}"
            return Diagnostic("warning", "no-value", message, span)
    return make_warning(draft, selection, slip)


def _get_policy(section: Section) -> str:
    option = section.find("policy")
    return cut_comment(option) if option else "constant"


def _find_fault(section: Section, option: Option, dialect: Dialect) -> str | None:
    """Return why the parser exits at a known option; None if it does not."""
    key, value, policy = option.key, cut_comment(option), _get_policy(section)
    if section.kind in NET_NAMES and policy not in OPTION_POLICIES.get(key, (policy,)):
        return f"unused option, {key}= is only read with policy={' or '.join(OPTION_POLICIES[key])}"
    if section.kind in NET_NAMES and key in ADAM_OPTIONS and not number(section, "adam"):
        return f"unused option, {key}= is only read with adam=1"
    if key in LIST_OPTIONS or key in FILE_OPTIONS or (section.kind, key) == ("shortcut", "from"):
        return None
    choices = dialect.training.policies if key == "policy" else CHOICES.get(key)
    if choices is None:
        return (
            None
            if _NUMBER.fullmatch(value)
            else f"invalid value for {key}, got {truncate(value)!r}; expected digits and a decimal point only"
        )
    if value in choices:
        return None
    hint = describe_unknown_activation(value, choices) if key == "activation" else format_suggestion(value, choices)
    return f"unknown {key} {truncate(value)!r}{hint}"


def _check_section(section: Section, dialect: Dialect) -> Iterator[Diagnostic]:
    """Check the spelling of a header and options that depend on each other."""
    name = section.span.text.strip()[1:].rpartition("]")[0]
    if section.span.source.is_cfg and name != section.kind:
        yield _make_refusal(dialect, f"unknown section [{truncate(name)}]; remove the spaces", section.span)
    for rule in STRICT_RULES:
        option = section.find(rule.key)
        if option is not None and rule.holds(section, dialect):
            yield _make_refusal(dialect, f"{rule.key}={cut_comment(option)}: {rule.message}", option.span)


def _check_comments(config: Config, dialect: Dialect) -> Iterator[Diagnostic]:
    start = 0
    for line in config.source.text.split("\n"):
        if match := _SET_IN_COMMENT.match(line):
            message = "a comment that starts with ; and contains = is read as an option; start it with #"
            yield _make_refusal(dialect, message, Span(config.source, start + match.start(1), start + match.end(1)))
        start += len(line) + 1


def check_size_step(draft: Draft) -> Iterator[Diagnostic]:
    """Check that the input size suits the last layer (create_network)."""
    net, dialect, last = draft.net, draft.dialect, draft.nodes[-1].kind
    step = dialect.head_step
    if last in dialect.stepped_heads and (net.height % step or net.width % step):
        message = (
            f"width and height must be multiples of {step} if [{last}] is the last layer, got {net.width} and "
            f"{net.height}"
        )
        yield _make_refusal(dialect, message, draft.config.net.span)


def _make_refusal(dialect: Dialect, reason: str, span: Span) -> Diagnostic:
    return Diagnostic("error", "refused", f"{dialect.title} rejects this: {reason}", span)
