"""Summary by stage of the differences between two networks: activation, blocks, and stages that only one has."""

from __future__ import annotations

from collections.abc import Iterator

from darkparse.network import Network
from darkparse.views.diagram.overview.content import PART_NAMES, Overview, StageCard, build_overview
from darkparse.views.formatting.summary import common_activation
from darkparse.views.formatting.words import MAX_NAMES

StageKey = tuple[str, str, int]
"""Part, scale, and number among the stages that share both."""


def stage_lines(first: Network, second: Network) -> tuple[str, str]:
    """Return one line per network with its differences by stage; empty if stages and activation agree."""
    stages = [_index_stages(build_overview(network)) for network in (first, second)]
    activations = [common_activation(network.nodes) for network in (first, second)]
    return _line(stages[0], stages[1], activations), _line(stages[1], stages[0], activations[::-1])


def _index_stages(overview: Overview) -> dict[StageKey, StageCard]:
    stages: dict[StageKey, StageCard] = {}
    for stage in overview.stages:
        number = sum(key[:2] == (stage.part, stage.scale) for key in stages)
        stages[stage.part, stage.scale, number] = stage
    return stages


def _line(ours: dict[StageKey, StageCard], others: dict[StageKey, StageCard], activations: list[str]) -> str:
    own, other = activations
    differences = [f"{own or 'no'} activation, not {other or 'none'}"] if own != other else []
    differences += _block_differences(ours, others)
    if not differences:
        return ""
    rest = [f"{len(differences) - MAX_NAMES} more"] if len(differences) > MAX_NAMES else []
    return f"By stage: {'; '.join([*differences[:MAX_NAMES], *rest])}"


def _block_differences(ours: dict[StageKey, StageCard], others: dict[StageKey, StageCard]) -> Iterator[str]:
    """Yield stages that only one network has, and those with other blocks, grouped by the kinds of blocks."""
    changed: dict[tuple[str, str, str], list[str]] = {}
    for key, stage in ours.items():
        counterpart = others.get(key)
        part = PART_NAMES[stage.part].removesuffix("s").lower()
        if counterpart is None:
            yield f"only here {part} {stage.scale}, {stage.block}"
        elif counterpart.block != stage.block:
            kinds = part, _kind(stage.block), _kind(counterpart.block)
            changed.setdefault(kinds, []).append(f"{part} {stage.scale} {stage.block}, not {counterpart.block}")
    for (part, kind, other), texts in changed.items():
        if len(texts) > 1 and kind != other:
            yield f"{part} {kind}, not {other}, at {len(texts)} scales"
        else:
            yield from texts


def _kind(block: str) -> str:
    """Return the name of a block without its number of copies."""
    return block.partition(" × ")[0]
