"""Conventional names for the attributes and variables of a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from darkparse.export.source.expressions import Item
from darkparse.export.source.forward import Segment
from darkparse.network import Network
from darkparse.network.analysis.blocks import changes_scale


def starts_stage(tags: frozenset[str], previous: Item, item: Item) -> bool:
    """Return whether an item begins a new part of the network.

    A part begins at a new scale, at a head, after upsampling, after a residual stack, and at the classifier.
    """
    if tags & {"global", "dense"}:
        return _leads_to_head(item) and not _leads_to_head(previous)
    if _is_stack(previous) and not _is_stack(item):
        return True
    if "upsample" in previous.tags or changes_scale(item):
        return True
    if _leads_to_head(item) and not _leads_to_head(previous):
        return True
    return bool(item.tags & {"global", "dense"}) and "projection" not in previous.tags


def _is_stack(item: Item) -> bool:
    """Return whether an item is a residual block, a stack of them, or a stage that contains some."""
    return "stack" in item.tags


def _leads_to_head(item: Item) -> bool:
    return bool(item.tags & {"head", "projection"})


def name_stages(parts: Sequence[Segment]) -> list[Segment]:
    """Name the parts of a network: stem, stages, necks, upsampling paths, heads and classifier."""
    backbone_end = next(
        (i for i, part in enumerate(parts) if part.tags & {"upsample", "head", "reorg", "global", "dense"}), len(parts)
    )
    stacks = [i for i, part in enumerate(parts[:backbone_end]) if any(_is_stack(item) for item in part.items)]
    has_heads = any("head" in part.tags for part in parts)
    backbone_end = stacks[-1] + 1 if stacks and has_heads else backbone_end
    roles = [
        _choose_role(part, parts[i - 1] if i else None, in_backbone=i < backbone_end) for i, part in enumerate(parts)
    ]
    total, role_counts = Counter(roles), Counter[str]()
    named_parts = []
    for part, role in zip(parts, roles, strict=True):
        role_counts[role] += 1
        numbered = role in ("stage",) or total[role] > 1
        named_parts.append(replace(part, name=f"{role}{role_counts[role]}" if numbered else role))
    return named_parts


def _choose_role(part: Segment, previous: Segment | None, *, in_backbone: bool) -> str:
    if not part.is_module:
        return ""
    tags = part.tags
    if "head" in tags:
        return "head"
    if previous is None:
        return "stem"
    if "upsample" in tags:
        return "up"
    if "reorg" in tags:
        return "passthrough"
    if tags & {"global", "dense"}:
        return "classifier"
    if in_backbone:
        return "stage"
    if changes_scale(part.items[0]):
        return "down"
    is_branch = part.reads != (previous.last,) and len(part.items) == 1
    return "lateral" if is_branch and part.items[0].first == part.items[0].last else "neck"


def make_titles(parts: Sequence[Segment], backbone: str | None) -> dict[str, str]:
    """Return comments for the stem, the first part after the backbone, and each up- or downsampling part."""
    titles_by_name = {}
    for part in parts:
        out = part.items[-1].out_shape
        role = part.name.rstrip("0123456789")
        if role == "stem" and backbone:
            titles_by_name[part.name] = backbone
        elif role in ("up", "down"):
            titles_by_name[part.name] = f"{role.title()} to {out.h}×{out.w}"
        elif (
            role in ("neck", "head")
            and backbone
            and not any(name.startswith(("neck", "head", "up")) for name in titles_by_name)
        ):
            titles_by_name[part.name] = f"{out.h}×{out.w}"
    return titles_by_name


def name_paths(parts: Sequence[Segment]) -> list[Segment]:
    """Name the parts of a block."""
    modules = [part for part in parts if part.items[0].call is not None and part.items[0].call.name != "PartialAdd"]
    roles = [_choose_path_name(part, modules, parts) if part.is_module else "" for part in parts]
    total, role_counts = Counter(roles), Counter[str]()
    named_parts = []
    for part, role in zip(parts, roles, strict=True):
        role_counts[role] += 1
        named_parts.append(replace(part, name=f"{role}{role_counts[role]}" if total[role] > 1 else role))
    return named_parts


def _choose_path_name(part: Segment, modules: Sequence[Segment], parts: Sequence[Segment]) -> str:
    call = part.items[0].call
    if part.tags <= {"pool"}:
        return "pool"
    if call is not None and call.name == "PartialAdd":
        return "add"
    if "global" in part.tags:
        return "gate"
    if len(modules) == 1:
        return "body"
    if part is modules[0] and changes_scale(part.items[0]):
        return "down"
    if part is modules[-1] and part is parts[-1]:
        return "merge"
    return "path"


SHORT_NAMES = ("x", "y", "z", "u", "v", "w")


def name_block_variables(steps: Sequence[Segment], entry: int, last_use: dict[int, int]) -> dict[int, str]:
    """Choose short variable names in a block; a name is reused when its value is no longer needed."""
    names, name_owners = {entry: "x"}, {"x": entry}
    for position, step in enumerate(steps):
        free = [
            name for name in SHORT_NAMES if name not in name_owners or last_use.get(name_owners[name], -1) <= position
        ]
        name = free[0] if free else f"x{step.last}"
        names[step.last] = name
        name_owners[name] = step.last
    return names


class StageVariables:
    """Variable names in a network.

    The input of the next statement is `x`. Maps that are read later are named after their stride: c3, p3 and n3 at
    stride 8.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.heads = {source: f"y{k}" for k, source in enumerate(network.heads, start=1)}

    def __call__(self, steps: Sequence[Segment], entry: int, last_use: dict[int, int]) -> dict[int, str]:
        names = {entry: "x"}
        used_names = {"x"}
        is_past_backbone = False
        entry_until = last_use.get(entry, -1)
        for position, step in enumerate(steps):
            is_past_backbone = (
                is_past_backbone or bool(step.tags & {"upsample", "head"}) or step.name.startswith("neck")
            )
            if step.last in self.heads:
                names[step.last] = self.heads[step.last] if len(self.heads) > 1 else "y"
            elif last_use.get(step.last, -1) <= position + 1 and entry_until <= position:
                names[step.last] = "x"
            else:
                names[step.last] = self._choose_level_name(step, used_names, is_past_backbone)
            used_names.add(names[step.last])
        return names

    def _choose_level_name(self, step: Segment, used_names: set[str], is_past_backbone: bool) -> str:
        strides = self.network.strides[step.last]
        stride = strides[0] if strides else 0
        level = int(stride).bit_length() - 1
        letters = "pn" if is_past_backbone else "c"
        free = [f"{letter}{level}" for letter in letters if f"{letter}{level}" not in used_names]
        return free[0] if free and level > 0 and 2**level == stride else f"x{step.last}"
