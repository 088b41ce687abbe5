"""Warnings about training options with unexpected effects in Darknet's code, for `check --training`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from darkparse._utils.text import pluralize
from darkparse.diagnostics import Diagnostic
from darkparse.layers import Dialect
from darkparse.layers.names import format_suggestion
from darkparse.layers.training import IOU_KINDS
from darkparse.network.anchor_lint import lint_anchors
from darkparse.network.freezing import describe_stops
from darkparse.network.section_rules import Rule, count, number, text
from darkparse.network.training import count_images_per_batch
from darkparse.syntax import Section

if TYPE_CHECKING:
    from darkparse.network.network import Network

IOU_LOSSES = ("mse", *IOU_KINDS)
NEVER_TRAINED = frozenset({"connected", "conn", "local", "batchnorm", "rnn", "lstm", "gru", "implicit"})
ZERO_SLOPE = frozenset({"swish", "mish", "hard_mish"})


def _count_unused_images(section: Section) -> float:
    """Count the images of a batch that no mini-batch contains; 0 if mini-batches are empty."""
    batch, subdivisions = number(section, "batch", 1), max(1, number(section, "subdivisions", 1))
    return batch % subdivisions if batch >= subdivisions else 0


def _suggest_policy(section: Section, dialect: Dialect) -> str:
    return format_suggestion(text(section, "policy"), dialect.training.policies)


def _make_unused_rule(key: str) -> Rule:
    return Rule(key, lambda s, _: s.kind == "region" and number(s, key) != 0, "this option is never used")


TRAINING_RULES: tuple[Rule, ...] = (
    Rule("policy", lambda s, d: text(s, "policy") not in ("", *d.training.policies),
         lambda s, d: f"unknown policy, the rate stays constant{_suggest_policy(s, d)}"),
    Rule("scales", lambda s, _: text(s, "policy") == "steps" and count(s, "steps") != count(s, "scales"),
         "steps= and scales= differ in length, Darknet uses the length of steps= for both"),
    Rule("subdivisions", lambda s, _: _count_unused_images(s) > 0, lambda s, _:
         f"subdivisions= does not divide batch=: {_count_unused_images(s):g} images of each batch are never loaded"),
    Rule("burn_in", lambda s, _: 0 < number(s, "max_batches") <= number(s, "burn_in"),
         "training ends during burn_in=, so the rate never reaches learning_rate="),
    Rule("cutmix", lambda s, _: number(s, "cutmix") == 1 == number(s, "mosaic"),
         "with mosaic=1 this selects mosaic; cutmix is for classifiers"),
    Rule("letter_box", lambda s, _: number(s, "letter_box") == 1 == number(s, "mosaic"),
         "AlexeyAB/darknet exits with letter_box=1 and mosaic=1; darkparse only applies mosaic=1",
         dialect="alexeyab"),
    Rule("adam", lambda s, _: number(s, "adam") == 1,
         "only [convolutional] and [implicit] are trained with Adam, other layers with SGD", dialect="alexeyab"),
    Rule("objectness_smooth", lambda s, _: number(s, "objectness_smooth") == 1,
         "it lowers the objectness of badly predicted objects (yolo_layer.c:570), with which mAP 0 was reported; "
         "use 0"),
    Rule("cls_normalizer", lambda s, _: number(s, "cls_normalizer", 1) != 1 and not s.find("counters_per_class"),
         "this has no effect without counters_per_class="),
    Rule("iou_loss", lambda s, _: text(s, "iou_loss") not in ("", *IOU_LOSSES), lambda s, _:
         f"unknown loss, Darknet uses iou instead{format_suggestion(text(s, 'iou_loss'), IOU_LOSSES)}"),
    Rule("max_delta",
         lambda s, _: s.kind == "yolo" and s.find("max_delta") is not None and text(s, "iou_loss") in ("", "mse"),
         "this only clips the box deltas of an IoU loss, but the loss here is mse"),
    *(_make_unused_rule(key) for key in ("absolute", "log", "sqrt")),
    Rule("activation", lambda s, _: s.kind == "activation" and text(s, "activation") in ZERO_SLOPE,
         "its gradient is 0 in a separate [activation] section, so no layer before it is trained"),
    Rule("", lambda s, _: s.kind in NEVER_TRAINED,
         "AlexeyAB/darknet never updates layers of this kind (network_kernels.cu:287)", dialect="alexeyab"),
)  # fmt: skip


def lint_training(network: Network) -> Iterator[Diagnostic]:
    """Yield a warning for each option with an unexpected effect in training."""
    yield from _check_batch(network)
    yield from lint_anchors(network)
    for node, message in describe_stops(network):
        span = node.section.locate("stopbackward")
        yield Diagnostic("warning", "frozen", f"stopbackward={text(node.section, 'stopbackward')}: {message}", span)
    for section in (network.config.net, *network.config.sections):
        for rule in TRAINING_RULES:
            if not (network.dialect.supports(rule.dialect) and rule.holds(section, network.dialect)):
                continue
            option = section.find(rule.key)
            message = rule.message if isinstance(rule.message, str) else rule.message(section, network.dialect)
            name = f"{rule.key}={text(section, rule.key)}" if rule.key else f"[{section.kind}]"
            yield Diagnostic("warning", "training", f"{name}: {message}", option.span if option else section.span)


def _check_batch(network: Network) -> Iterator[Diagnostic]:
    """Yield a warning if the mini-batches are empty (parser.c parse_net_options)."""
    net, section = network.net, network.config.net
    if net.batch >= net.subdivisions:
        return
    batch = "batch=" if section.find("batch") else "batch=1, the default,"
    mini_batch = pluralize(count_images_per_batch(network) // net.subdivisions, "image")
    message = (
        f"{batch} is less than subdivisions={net.subdivisions}, so Darknet's mini-batch is empty and nothing is "
        f"learned; darkparse uses {mini_batch}"
    )
    key = "batch" if section.find("batch") else "subdivisions"
    yield Diagnostic("warning", "batch", message, section.locate(key))
