"""Comparison of decoded boxes and scores with another implementation's, and the likely cause of a difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.evaluation.box_causes import BoxCause, compute_ratios, estimate_anchors, estimate_scale
from darkparse.evaluation.box_layouts import GridBoxes, MatchedBoxes, match_layout
from darkparse.evaluation.differences import Floats, compute_relative_difference, measure_distances
from darkparse.layers import ModuleSpec
from darkparse.model.darknet import instantiate
from darkparse.network import Network, Node
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.heads import get_decoder, get_head

Quantity = Literal["centers", "sizes", "scores"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
SAME_LAYOUT = 1e-3
"""Distance of boxes up to which no other layout is tried."""


@dataclass(frozen=True, slots=True)
class BoxDifference:
    """Difference of one quantity of a head's boxes from the reference.

    Attributes:
        node: The head.
        quantity: `centers` (positions in the cells), `sizes` (of each anchor) or `scores`.
        relative: Largest difference, relative to the reference's value or to the root mean square if that is larger.
        differs: Whether the difference is more than rounding.
        description: Short description of the difference, such as `×2 in width and height`.
        cause: Known mistake that would explain the difference; None if there is none.
        layout: Format of the reference's boxes, such as `corners in pixels`.
    """

    node: Node
    quantity: Quantity
    relative: float
    differs: bool
    description: str
    cause: str | None
    layout: str


@dataclass(frozen=True, slots=True)
class BoxComparison:
    """Result of comparing decoded boxes.

    Attributes:
        differences: One difference for each quantity of each head that was compared.
        not_compared: Description of what could not be compared, and why; empty if everything was.
    """

    differences: tuple[BoxDifference, ...] = ()
    not_compared: str = ""

    @property
    def differing(self) -> tuple[BoxDifference, ...]:
        return tuple(difference for difference in self.differences if difference.differs)


def compare_boxes(
    network: Network, outputs: Sequence[Tensor], image: Tensor, their_outputs: Sequence[Floats], *, tolerance: float
) -> BoxComparison:
    """Find the reference's boxes of each head, and compare them with the network's.

    Args:
        network: Network whose heads to decode.
        outputs: Outputs of all layers of the network.
        image: Input of the network, (1, C, H, W).
        their_outputs: Outputs of the reference, some of which may contain boxes and scores.
        tolerance: Largest relative difference that counts as rounding.
    """
    try:
        heads = [DecodedHead(network, network.nodes[index], outputs, image) for index in network.heads]
    except DarkparseError as problem:
        return BoxComparison(not_compared=str(problem))
    matches = _match_heads(heads, their_outputs)
    differences = [
        difference
        for head, match in zip(heads, matches, strict=True)
        if match is not None
        for difference in head.compare(match, tolerance)
    ]
    return BoxComparison(tuple(differences), _describe_missing(heads, matches))


def _match_heads(heads: Sequence[DecodedHead], outputs: Sequence[Floats]) -> tuple[MatchedBoxes | None, ...]:
    """Find the layout that fits the heads' boxes, or their boxes with a known mistake, which may be far away."""
    input_size = heads[0].input_size
    best = match_layout(outputs, [head.boxes for head in heads], input_size)
    if best.distance > SAME_LAYOUT:
        for mistake in dict.fromkeys(mistake for head in heads for mistake in head.trials):
            boxes = [head.trials.get(mistake, head.boxes) for head in heads]
            best = min(best, match_layout(outputs, boxes, input_size), key=lambda match: match.distance)
    return best.heads


def _describe_missing(heads: Sequence[DecodedHead], matches: Sequence[MatchedBoxes | None]) -> str:
    """Describe which heads have no boxes or no scores among the reference's outputs."""
    without_boxes = [head.name for head, match in zip(heads, matches, strict=True) if match is None]
    if len(without_boxes) == len(heads):
        return "no output of the reference contains boxes in a known layout"
    if without_boxes:
        return f"the reference has no boxes in a known layout for {', '.join(without_boxes)}"
    without_scores = [head.name for head, match in zip(heads, matches, strict=True) if match and match.scores is None]
    return f"the reference has no scores for {', '.join(without_scores)}" if without_scores else ""


class DecodedHead:
    """Head of a network with its boxes, and with the boxes that known mistakes would lead to."""

    def __init__(self, network: Network, node: Node, outputs: Sequence[Tensor], image: Tensor) -> None:
        self.node, self.layer = node, get_head(node)
        self.name = f"L{node.index}"
        self.input_size = (network.net.height, network.net.width)
        self.input = outputs[node.inputs[0]] if node.inputs[0] >= 0 else image
        self.decoder = get_decoder(node, hierarchy=DetectionSettings.hierarchy, use_class_map=False)
        self.boxes, self.objectness = self._decode(outputs[node.index], self.decoder)

    def compare(self, theirs: MatchedBoxes, tolerance: float) -> Iterator[BoxDifference]:
        """Compare each quantity with the reference's."""
        for quantity in QUANTITIES:
            if quantity == "scores" and theirs.scores is None:
                continue
            ours, other = self._get_values(self.boxes, quantity), self._get_values(theirs, quantity)
            relative = self._compute_difference(quantity, ours, other)
            differs = not relative <= tolerance
            cause = self._find_cause(quantity, other, relative, tolerance) if differs else None
            description = DESCRIPTIONS[quantity](ours, other)
            yield BoxDifference(self.node, quantity, relative, differs, description, cause, theirs.layout)

    def _get_values(self, boxes: GridBoxes | MatchedBoxes, quantity: Quantity) -> Floats:
        """Return positions in cells or sizes (rows, columns, anchors, 2), or scores (B, classes)."""
        if quantity == "scores":
            assert boxes.scores is not None
            return boxes.scores
        rows, columns, _ = self.boxes.grid
        cells = boxes.boxes.reshape(*self.boxes.grid, 4)
        if quantity == "sizes":
            return cells[..., 2:]
        corners = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1)[:, :, None]
        positions: Floats = cells[..., :2] * np.array((columns, rows), np.float32) - corners.astype(np.float32)
        return positions

    def _compute_difference(self, quantity: Quantity, ours: Floats, theirs: Floats) -> float:
        """Compute a relative difference, with the root mean square of all scores or positions, or of an anchor's sizes.

        If boxes are stored as corners, the rounding of large corners in float32 affects their centers and sizes.
        """
        if quantity == "scores":
            return compute_relative_difference(ours, theirs)
        rows, columns, _ = self.boxes.grid
        cells = self.boxes.boxes.reshape(*self.boxes.grid, 4)
        corners = np.nan_to_num(np.abs(cells[..., :2]) + np.abs(cells[..., 2:]) / 2, nan=0, posinf=0)
        rounding = 4 * np.finfo(np.float32).eps * corners
        if quantity == "sizes":
            return compute_relative_difference(ours, theirs, (0, 1), rounding)
        return compute_relative_difference(ours, theirs, None, rounding * np.array((columns, rows), np.float32))

    def _find_cause(self, quantity: Quantity, theirs: Floats, relative: float, tolerance: float) -> str | None:
        """Find the mistake with which the quantity is nearest to the reference's, if the two then nearly agree."""
        best, smallest = None, min(5 * tolerance, relative / 4)
        for cause in self._list_causes(quantity, theirs):
            if cause.values.shape != theirs.shape:
                continue
            remaining = self._compute_difference(quantity, cause.values, theirs)
            if remaining < smallest:
                best, smallest = cause.description, remaining
        return best

    def _list_causes(self, quantity: Quantity, theirs: Floats) -> Iterator[BoxCause]:
        ours = self._get_values(self.boxes, quantity)
        for description, boxes in self.trials.items():
            yield BoxCause(description, self._get_values(boxes, quantity))
        estimate = {"sizes": estimate_anchors, "centers": estimate_scale}.get(quantity)
        cause = estimate(self.layer, ours, theirs) if estimate else None
        if cause is not None:
            yield cause
        if quantity == "scores":
            with np.errstate(all="ignore"):
                yield BoxCause("scores without the objectness", ours / self.objectness[:, None])

    @cached_property
    def trials(self) -> dict[str, GridBoxes]:
        """Boxes with each known mistake of the head or its decoder, by the mistake's description."""
        own_modules = self.layer.modules(self.node.context)
        modules_before = self.node.modules[: len(self.node.modules) - len(own_modules)]
        trials = {}
        for deviation in self.layer.box_deviations(self.node.context, self.decoder):
            *head, decoder = deviation.modules
            output = self.input
            for spec in (*modules_before, *head):
                output = instantiate(spec)(output)
            trials[deviation.description] = self._decode(output, decoder)[0]
        return trials

    def _decode(self, output: Tensor, decoder: ModuleSpec) -> tuple[GridBoxes, Floats]:
        """Decode a head's output to boxes and objectness (B,)."""
        boxes, scores, objectness = (
            values[0].float().numpy() for values in instantiate(decoder)(output, self.input_size)
        )
        per_cell = self.layer.predictors
        shape, side = self.node.out_shape, isqrt(len(boxes) // per_cell)
        rows, columns = (shape.h, shape.w) if shape.is_map else (side, side)
        return GridBoxes((rows, columns, per_cell), boxes, scores), objectness


def _describe_sizes(ours: Floats, theirs: Floats) -> str:
    width, height = (_format_ratios(ratios) for ratios in compute_ratios(ours, theirs).T)
    return f"{width} in width and height" if width == height else f"{width} in width, {height} in height"


def _format_ratios(ratios: Floats) -> str:
    finite = ratios[np.isfinite(ratios)]
    if not finite.size:
        return "without bound"
    low, high = f"×{finite.min():.3g}", f"×{finite.max():.3g}"
    return low if low == high else f"{low} to {high}"


def _describe_centers(ours: Floats, theirs: Floats) -> str:
    return f"up to {measure_distances(ours, theirs).max():.2g} cells in their centers"


def _describe_scores(ours: Floats, theirs: Floats) -> str:
    return f"up to {measure_distances(ours, theirs).max():.2g} in their scores"


DESCRIPTIONS: dict[Quantity, Callable[[Floats, Floats], str]] = {
    "centers": _describe_centers,
    "sizes": _describe_sizes,
    "scores": _describe_scores,
}
