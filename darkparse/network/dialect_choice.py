"""Which Darknet a cfg was written for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from darkparse.layers import ALEXEYAB, DIALECTS, PJREDDIE, REGISTRY, Dialect, DialectName
from darkparse.layers.activations import activation_dialect
from darkparse.layers.base import known_keys
from darkparse.layers.net import Net
from darkparse.syntax import Config, Section


@dataclass(frozen=True, slots=True)
class DialectChoice:
    """A dialect and why it was taken. `certain` is False where nothing spoke for either."""

    dialect: Dialect
    reason: str
    certain: bool


def choose_dialect(
    config: Config, name: str | None = None, *, version: tuple[int, int, int] | None = None
) -> DialectChoice:
    """The dialect asked for by name, or else the one that the evidence favours.

    Evidence is what only one of the two knows: a section, an option, an activation. Where the cfg holds none, the
    version in the header of its weights decides, and without weights the original, pjreddie's.

    Raises:
        ValueError: no dialect has this name.
    """
    if name not in (None, "auto"):
        for dialect in DIALECTS.values():
            if name == dialect.name:
                return DialectChoice(dialect, "asked for", True)
        raise ValueError(f"there is no dialect {name!r}; choose one of auto, {', '.join(DIALECTS)}")
    votes: dict[DialectName, Counter[str]] = {"pjreddie": Counter(), "alexeyab": Counter()}
    for section in (config.net, *config.sections):
        for only, word in _evidence(section, is_net=section is config.net):
            votes[only][word] += 1
    weight = {dialect: sum(words.values()) for dialect, words in votes.items()}
    if weight["pjreddie"] != weight["alexeyab"]:
        winner = max(DIALECTS.values(), key=lambda d: weight[d.name])
        words = [word for word, _ in votes[winner.name].most_common(3)]
        return DialectChoice(winner, f"only {winner.title} knows {', '.join(words)}", True)
    if version is not None:
        dialect = ALEXEYAB if version == ALEXEYAB.version else PJREDDIE
        return DialectChoice(dialect, f"the header of the weights says {'.'.join(map(str, version))}", True)
    return DialectChoice(PJREDDIE, "nothing in the cfg tells, so the original", False)


def _evidence(section: Section, *, is_net: bool) -> list[tuple[DialectName, str]]:
    cls = Net if is_net else REGISTRY.get(section.kind)
    if cls is None:
        return []
    found: list[tuple[DialectName, str]] = []
    only = None if cls is Net else cls.only  # type: ignore[union-attr]
    if only is not None:
        found.append((only, f"[{section.kind}]"))
    known = known_keys(cls)
    for option in section.options:
        dialect = known.get(option.key)
        if dialect is not None:
            found.append((dialect, option.key))
        elif option.key == "activation" and option.text:
            word = activation_dialect(option.text)
            if word is not None:
                found.append((word, f"activation={option.text}"))
    return found
