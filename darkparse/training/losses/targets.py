"""True boxes of a batch as tensors, and the order in which they are assigned to predictors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Targets:
    """True boxes of a batch, padded to T per image."""

    boxes: Tensor
    """(N, T, 4)."""
    classes: Tensor
    """(N, T), mapped by the head's `map` if it has one."""
    valid: Tensor
    """(N, T); False for padding."""


def gather_targets(
    truth: Any,
    like: Tensor,
    *,
    max_boxes: int,
    classes: int,
    map: tuple[int, ...] | None = None,
    maps_first: bool = False,
) -> Targets:
    """Gather the true boxes that Darknet reads: those of a known class, up to the first one with an x of 0.

    Args:
        truth: One tensor (K, 5) per image.
        like: A tensor (N, …) on the device and in the dtype to compute in.
        max_boxes: Maximum number of boxes per image.
        classes: Number of classes of the head.
        map: Class that each label maps to.
        maps_first: Compare labels with `classes` only after applying `map`, not before it too.

    Raises:
        ValueError: The truth has another form.
    """
    is_list = isinstance(truth, Sequence) and all(isinstance(t, Tensor) and t.dim() == 2 for t in truth)
    if not is_list or len(truth) != len(like) or any(t.shape[1] != 5 for t in truth):
        raise ValueError(
            f"invalid targets of a head; expected a list of {len(like)} tensors (K, 5) with x, y, w, h "
            f"and class of each true box"
        )
    counted = [image[image[:, 0].ne(0).cumprod(0).bool()][:max_boxes] for image in truth]
    max_count = max(1, *(len(image) for image in counted))
    rows = torch.stack([F.pad(image, (0, 0, 0, max_count - len(image))) for image in counted]).to(like)
    labels = rows[..., 4].long()
    valid = (labels >= 0) & (rows[..., 0] != 0)
    if not maps_first:
        valid &= labels < classes
    if map is not None:
        valid &= labels < len(map)
        labels = torch.tensor(map, device=like.device)[labels.where(valid, 0)]
    valid &= labels < classes
    return Targets(rows[..., :4], labels.where(valid, 0), valid)


def assignment_rounds(cells: Tensor) -> Iterator[Tensor]:
    """Yield the positions of the first box of each cell, then of the second, and so on.

    Later boxes may depend on the deltas of earlier ones.
    """
    order = torch.argsort(cells, stable=True)
    ordered = cells[order]
    rank = torch.arange(len(cells), device=cells.device) - torch.searchsorted(ordered, ordered)
    for round_number in range(int(rank.max()) + 1 if len(cells) else 0):
        yield order[rank == round_number]
