"""The boxes of a batch as tensors, and what falls to one predictor in its order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Targets:
    """The true boxes of a batch: T a picture, those that a picture lacks are not `valid`."""

    boxes: Tensor
    """(N, T, 4)."""
    classes: Tensor
    """(N, T), through the head's `map` if it has one."""
    valid: Tensor
    """(N, T)."""


def gather_targets(
    truth: Any, like: Tensor, *, max_boxes: int, classes: int, map: tuple[int, ...] | None, maps_first: bool
) -> Targets:
    """The truths of a batch, those that Darknet reads: up to one with an x of 0, at most so many, of a known class.

    Args:
        truth: one tensor (K, 5) a picture.
        like: a tensor (N, …) on the device and in the dtype to compute in.
        max_boxes: boxes of a picture that count.
        classes: of the head.
        map: the class that each label stands for.
        maps_first: whether a label is held against `classes` after `map` or before.

    Raises:
        ValueError: the truth is not of that form.
    """
    is_list = isinstance(truth, Sequence) and all(isinstance(t, Tensor) and t.dim() == 2 for t in truth)
    if not is_list or len(truth) != len(like) or any(t.shape[1] != 5 for t in truth):
        raise ValueError(f"a box head needs a list of {len(like)} tensors (K, 5): x, y, w, h, class of each true box")
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
    """Positions of what falls to each cell first, then second, and so on: what comes later may see what was before."""
    order = torch.argsort(cells, stable=True)
    ordered = cells[order]
    rank = torch.arange(len(cells), device=cells.device) - torch.searchsorted(ordered, ordered)
    for round_number in range(int(rank.max()) + 1 if len(cells) else 0):
        yield order[rank == round_number]
