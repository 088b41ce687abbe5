"""Changes of a cfg that make the weights fit: other classes, batch norm, input channels or anchors."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace
from typing import Any

from darkparse._utils.text import join_with_and, pluralize
from darkparse.errors import Cause, DarkparseError
from darkparse.layers.head import Head
from darkparse.network import Network, Node, compile
from darkparse.network.io.edit import edit
from darkparse.weights.diagnosis.case import Mismatch
from darkparse.weights.diagnosis.head_filters import replace_values

MAX_CHANNELS, MAX_ANCHORS = 64, 100
"""Largest plausible numbers; a fit with more would be coincidence."""
MAX_LISTED_LINES = 8
"""Maximum number of lines in a message."""
BY_EVIDENCE = (True, None, False)
"""Results of `find_evidence`, best first."""
EVIDENCE_TEXTS = {
    True: ", and all variances are in range",
    None: "",
    False: "; only the size fits, the variances would be invalid",
}


@dataclass(frozen=True, slots=True)
class Fit:
    """Cause of the mismatch, and the network that the weights fit."""

    cause: Cause
    network: Network


def find_fitting_changes(case: Mismatch) -> Iterator[Cause]:
    """Yield changes of the cfg that make the weights fit, those with plausible values first.

    A fit with implausible values is only yielded if there is no other fit, because it may be a coincidence.
    """
    if not case.is_countable:
        return
    fits = [fit for explain in _EXPLANATIONS if (fit := explain(case))]
    evidence = [case.find_evidence(fit.network) for fit in fits]
    wanted = BY_EVIDENCE if {*evidence} == {False} else BY_EVIDENCE[:2]
    for value in wanted:
        for fit, found in zip(fits, evidence, strict=True):
            if found is value:
                yield replace(fit.cause, message=fit.cause.message + EVIDENCE_TEXTS[found])


def _solve_count(case: Mismatch, change: Callable[[int], Network]) -> tuple[int, Network] | None:
    """Return the number that makes the cfg fit, and its network; the number of floats is linear in that number."""
    try:
        floats_at_1, floats_at_2 = (case.count_floats(change(count)) for count in (1, 2))
        steps, rest = divmod(case.available_floats - floats_at_1, floats_at_2 - floats_at_1)
        if rest or steps < 0:
            return None
        network = change(steps + 1)
    except (DarkparseError, ZeroDivisionError):
        return None
    return (steps + 1, network) if case.is_fit(network) else None


def _explain_classes(case: Mismatch) -> Fit | None:
    solution = _solve_count(case, lambda count: edit(case.network, classes=count))
    if solution is None:
        return None
    classes, edited = solution
    changes = ", ".join(f"{text} in line {line}" for line, text in _list_changes(case.network, edited))
    message = f"the file fits exactly with classes={classes}: {changes}"
    source = case.network.config.source
    cfg = "CFG" if source.path is None else shlex.quote(source.name)
    remedy = (
        f"set that in the cfg (`darkparse edit {cfg} --classes {classes} -o NEW.cfg`), or use weights trained for this "
        "cfg"
    )
    return Fit(Cause("classes", message, remedy, {"classes": classes}), edited)


def _explain_batch_norm(case: Mismatch) -> Fit | None:
    before = case.network
    layers = {
        node.index: node.layer for node in before.nodes if hasattr(node.layer, "batch_normalize") and node.tensors
    }
    try:
        toggled = _toggle_batch_norm(before, frozenset(layers))
    except DarkparseError:
        return None
    changes = {index: _count_stored(toggled.nodes[index]) - _count_stored(before.nodes[index]) for index in layers}
    for proposal in case.propose_batch_norm(changes):
        edited = _toggle_batch_norm(before, proposal)
        evidence = case.find_evidence(edited)
        is_removal = evidence is None and case.find_evidence(before) is not True
        if case.is_fit(edited) and (evidence or is_removal):
            return Fit(_make_batch_norm_cause(before, sorted(proposal)), edited)
    return None


def _toggle_batch_norm(network: Network, indices: Set[int]) -> Network:
    layers: dict[int, Any] = {index: network.nodes[index].layer for index in indices}
    changed = {index: replace(layer, batch_normalize=not layer.batch_normalize) for index, layer in layers.items()}
    return edit(network, layers=changed)


def _count_stored(node: Node) -> int:
    return sum(tensor.stored_size for tensor in node.tensors)


def _make_batch_norm_cause(network: Network, indices: list[int]) -> Cause:
    lines: dict[bool, list[int]] = {True: [], False: []}
    for index in indices:
        node = network.nodes[index]
        option = node.section.find("batch_normalize")
        line = (option.span if option else node.section.span).line
        lines[not getattr(node.layer, "batch_normalize", False)].append(line)
    added, removed = (_format_lines(lines[is_added]) for is_added in (True, False))
    if not removed:
        message, remedy = f"with batch_normalize=1 in {added}", "set batch_normalize=1 there"
    elif not added:
        message = f"without batch_normalize= in {removed}: it was trained without batch norm, or batch norm was folded"
        remedy = "set batch_normalize=0 there"
    else:
        message = f"with batch_normalize=1 in {added} and without it in {removed}"
        remedy = "set batch_normalize=1 and batch_normalize=0 there"
    remedy += ", or use weights trained with this cfg"
    facts: dict[str, int | str] = {"added": len(lines[True]), "removed": len(lines[False])}
    return Cause("batch-norm", f"the file fits exactly {message}", remedy, facts)


def _format_lines(lines: list[int]) -> str:
    if not lines:
        return ""
    texts = [str(line) for line in lines]
    if len(texts) > MAX_LISTED_LINES:
        texts = [*texts[: MAX_LISTED_LINES - 1], f"{len(texts) - MAX_LISTED_LINES + 1} more"]
    return f"line{'s' if len(lines) > 1 else ''} {join_with_and(texts)}"


def _explain_channels(case: Mismatch) -> Fit | None:
    network = case.network
    option = network.config.net.find("channels")
    if option is None:
        return None

    def change(count: int) -> Network:
        return compile(replace_values(network.config, {option: str(count)}), dialect=network.dialect.name)

    solution = _solve_count(case, change)
    if solution is None or solution[0] > MAX_CHANNELS:
        return None
    count, line = solution[0], option.span.line
    message = f"the file fits exactly with channels={count} in line {line}"
    remedy = f"set channels={count} in [net], or use weights trained with channels={network.net.channels}"
    return Fit(Cause("channels", message, remedy, {"channels": count, "line": line}), solution[1])


def _explain_anchors(case: Mismatch) -> Fit | None:
    network = case.network
    heads = {i: layer for i in network.heads if isinstance(layer := network.nodes[i].layer, Head)}

    def change(count: int) -> Network:
        return edit(network, layers={i: head.with_anchors(count) or head for i, head in heads.items()})

    solution = _solve_count(case, change)
    if solution is None or solution[0] > MAX_ANCHORS:
        return None
    count, edited = solution
    changes = ", ".join(f"{text} in line {line}" for line, text in _list_changes(network, edited))
    message = f"the file fits exactly with {pluralize(count, 'anchor')} per head: {changes}"
    remedy = "set filters=, mask= (or num=) and anchors= as in the cfg that it was trained with"
    return Fit(Cause("anchors", message, remedy, {"anchors": count}), edited)


def _list_changes(network: Network, edited: Network) -> Iterator[tuple[int, str]]:
    """Yield the line number and the new text of each option that an edit changes."""
    for before, after in zip(network.nodes, edited.nodes, strict=True):
        for key in ("filters", "output", "classes"):
            value = getattr(after.layer, key, None)
            if value != getattr(before.layer, key, None):
                option = before.section.find(key)
                yield (option.span if option else before.section.span).line, f"{key}={value}"


_EXPLANATIONS: tuple[Callable[[Mismatch], Fit | None], ...] = (
    _explain_classes,
    _explain_batch_norm,
    _explain_channels,
    _explain_anchors,
)
