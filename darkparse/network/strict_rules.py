"""Where a reader that refuses slips ends the program, though others go on: hank-ai's rules (darknet_cfg.cpp)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from darkparse.diagnostics import Diagnostic, Span
from darkparse.diagnostics.source import truncate
from darkparse.layers import Dialect
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.names import describe_unknown_activation, format_suggestion
from darkparse.layers.net import Net
from darkparse.layers.training import IOU_KINDS
from darkparse.network.training_lint import Rule, count, number, text
from darkparse.syntax import Config, Option, Section
from darkparse.syntax.config import NET_NAMES

LIST_OPTIONS = frozenset(["layers", "mask", "anchors", "counters_per_class", "steps", "scales", "seq_scales"])
"""Numbers with anything between: nothing in them is refused; `[shortcut] from` is one too (find_int_array)."""
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
"""Of the options that take a name (darknet_enums.cpp); those of policy= are the dialect's. All others take a number."""
OPTION_POLICIES = {
    "step": ("step", "sigmoid"),
    "scale": ("step",),
    "gamma": ("exp", "sigmoid"),
    **dict.fromkeys(("steps", "scales", "seq_scales"), ("steps", "sgdr")),
}
"""The policies with which an option of `[net]` is read: with any other its line is unused (parse_net_section)."""
ADAM_OPTIONS = frozenset({"B1", "B2", "eps"})
_NUMBER = re.compile(r"-?\.?[0-9][-.0-9]*")
_SET_IN_COMMENT = re.compile(r"[ \t]*(;[^#= \t]*[ \t]*=[ \t]*[^#\r\n]+)")

STRICT_RULES: tuple[Rule, ...] = (
    Rule("policy", lambda s, _: _get_policy(s) == "steps" and not (s.find("steps") and s.find("scales")),
         "steps= and scales= are needed with it"),
    Rule("contrastive",
         lambda s, _: number(s, "contrastive") != 0 and number(s, "batch", 1) < 2 * number(s, "subdivisions", 1),
         "batch= must be at least twice subdivisions="),
    Rule("counters_per_class", lambda s, _: count(s, "counters_per_class") != number(s, "classes", 20),
         "as many numbers as classes= are needed"),
    Rule("activation", lambda s, _: s.kind in ("sam", "scale_channels") and text(s, "activation") in ("swish", "mish"),
         "a gate takes neither swish nor mish"),
)  # fmt: skip


def is_plain(option: Option) -> bool:
    """Whether every reader takes the value for what is written: no space in or about it, no comment."""
    text = option.text or ""
    return "#" not in text and len(text) == option.end - option.equals - 1


def get_value_text(option: Option) -> str:
    """What the reader takes for the value: inner spaces stay, a comment is cut off."""
    text = option.text or ""
    if is_plain(option):
        return text
    return option.value_span.text.partition("#")[0].strip(" \t\r") if text else ""


def is_skipped(option: Option) -> bool:
    """Whether the line is no `key=value` to the reader, which then says nothing."""
    if option.text is None or option.source.text.startswith("#", option.equals + 1):
        return True
    return "#" in option.key or not option.key or option.key_span.text != option.key


def _get_policy(section: Section) -> str:
    option = section.find("policy")
    return get_value_text(option) if option else "constant"


def find_fault(section: Section, option: Option, dialect: Dialect) -> str | None:
    """Why the program ends at an option that is known; None where it goes on."""
    key, value, policy = option.key, get_value_text(option), _get_policy(section)
    if section.kind in NET_NAMES and policy not in OPTION_POLICIES.get(key, (policy,)):
        return f"{key}= is read with policy={' or '.join(OPTION_POLICIES[key])} alone, and no line may be unused"
    if section.kind in NET_NAMES and key in ADAM_OPTIONS and not number(section, "adam"):
        return f"{key}= is read with adam=1 alone, and no line may be unused"
    if key in LIST_OPTIONS or key in FILE_OPTIONS or (section.kind, key) == ("shortcut", "from"):
        return None
    choices = dialect.training.policies if key == "policy" else CHOICES.get(key)
    if choices is None:
        return None if _NUMBER.fullmatch(value) else f"{key}={truncate(value)} is no number of digits and a point"
    if value in choices:
        return None
    hint = describe_unknown_activation(value, choices) if key == "activation" else format_suggestion(value, choices)
    return f"{truncate(value)!r} is no {key}{hint}"


def find_refusals(config: Config, dialect: Dialect) -> Iterator[Diagnostic]:
    """Those that are no matter of one option: headers, comments, options that need each other."""
    for section in (config.net, *config.sections):
        name = section.span.text.strip()[1:].rpartition("]")[0]
        if name != section.kind:
            yield make_refusal(dialect, f"[{truncate(name)}] is unknown with its spaces", section.span)
        for rule in STRICT_RULES:
            option = section.find(rule.key)
            if option is not None and rule.holds(section, dialect):
                yield make_refusal(dialect, f"{rule.key}={get_value_text(option)}: {rule.message}", option.span)
    start = 0
    for line in config.source.text.split("\n"):
        if match := _SET_IN_COMMENT.match(line):
            message = "a line that starts with ; and holds = is an option to it, and unused"
            yield make_refusal(dialect, message, Span(config.source, start + match.start(1), start + match.end(1)))
        start += len(line) + 1


def check_size_step(net: Net, config: Config, last: str, dialect: Dialect) -> Iterator[Diagnostic]:
    """A size that goes with no head of the last layer's kind (create_network)."""
    step = dialect.head_step
    if last in dialect.stepped_heads and (net.height % step or net.width % step):
        message = (
            f"width and height must be multiples of {step} where [{last}] is last, not {net.width} and {net.height}"
        )
        yield make_refusal(dialect, message, config.net.span)


def make_refusal(dialect: Dialect, reason: str, span: Span) -> Diagnostic:
    """The finding that a reader ends the program at a place."""
    return Diagnostic("error", "refused", f"{dialect.title} stops here: {reason}", span)
