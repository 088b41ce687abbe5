"""Detection of the Darknet fork that a cfg was written for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from darkparse.diagnostics.source import quote_safe
from darkparse.errors import cfg_error
from darkparse.layers import DIALECTS, REGISTRY, Dialect, Layer
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.base import get_known_keys
from darkparse.layers.names import format_suggestion
from darkparse.layers.net import Net
from darkparse.syntax import Config, Section


@dataclass(frozen=True, slots=True)
class DialectChoice:
    """Selected dialect and the reason."""

    dialect: Dialect
    reason: str


def choose_dialect(
    config: Config, name: str | None = None, *, version: tuple[int, int, int] | None = None
) -> DialectChoice:
    """Return the dialect with a given name, or that of the YAML, or else that with the most evidence in the cfg.

    Sections, options and activations that only one dialect and its forks support are evidence. Without any, the
    version in the weights' header decides; without weights, the original dialect, pjreddie, is selected.

    Args:
        config: Parsed cfg.
        name: Name of a dialect; None or `"auto"` to detect it.
        version: Version in the header of the weights; None without weights.

    Raises:
        ValueError: The name is unknown.
        CfgError: The name that the YAML states is unknown.
    """
    if name not in (None, "auto"):
        if name not in DIALECTS:
            raise ValueError(f"unknown dialect {name!r}; expected one of auto, {', '.join(DIALECTS)}")
        return DialectChoice(DIALECTS[name], "requested")
    stated = config.dialect
    if stated is not None and stated.text != "auto":
        if stated.text not in DIALECTS:
            known = format_suggestion(stated.text or "", DIALECTS) or f"; expected one of {', '.join(DIALECTS)}"
            raise cfg_error("yaml", f"unknown dialect {quote_safe(stated.text or '')}{known}", stated.value_span)
        return DialectChoice(DIALECTS[stated.text], "stated in the YAML")
    votes: dict[str, Counter[str]] = {name: Counter() for name in DIALECTS}
    for section in (config.net, *config.sections):
        for dialect_name, feature in _collect_evidence(section, is_net=section is config.net):
            votes[dialect_name][feature] += 1
    candidates = [dialect for dialect in DIALECTS.values() if dialect.auto_detectable]
    scores = [sum(sum(votes[ancestor.name].values()) for ancestor in dialect.lineage) for dialect in candidates]
    best = [dialect for dialect, weight in zip(candidates, scores, strict=True) if weight == max(scores)]
    # A fork scores at least as high as its parent; without evidence for the fork itself, the parent is selected.
    best = [dialect for dialect in best if dialect.parent not in best]
    if len(best) == 1:
        (winner,) = best
        counts = sum((votes[ancestor.name] for ancestor in winner.lineage if ancestor.name in votes), Counter[str]())
        features = [feature for feature, _ in counts.most_common(3)]
        return DialectChoice(winner, f"only {winner.title} supports {', '.join(features)}")
    if version is not None:
        dialect = next((dialect for dialect in candidates if dialect.version == version), candidates[0])
        return DialectChoice(dialect, f"the weights header has version {'.'.join(map(str, version))}")
    return DialectChoice(candidates[0], "no evidence in the cfg, so the original")


def _collect_evidence(section: Section, *, is_net: bool) -> list[tuple[str, str]]:
    cls: type[Layer | Net] | None = Net if is_net else REGISTRY.get(section.kind)
    if cls is None:
        return []
    evidence: list[tuple[str, str]] = []
    if cls.dialect is not None:
        evidence.append((cls.dialect, f"[{section.kind}]"))
    known_options = get_known_keys(cls)
    for option in section.options:
        dialect = known_options.get(option.key)
        if dialect is not None:
            evidence.append((dialect, option.key))
        elif option.key == "activation" and option.text in ACTIVATIONS:
            activation_dialect = ACTIVATIONS[option.text].dialect
            if activation_dialect is not None:
                evidence.append((activation_dialect, f"activation={option.text}"))
    return evidence
