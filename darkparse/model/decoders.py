"""Decode head outputs to boxes and scores, with tensor operations that export for any batch and size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import torch
from torch import Tensor, nn

from darkparse.errors import DarkparseError
from darkparse.layers.tree import read_map, read_tree
from darkparse.model.darknet import instantiate
from darkparse.model.hierarchy import Hierarchy
from darkparse.network import Network, Node
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.heads import get_decoder

Size = tuple[int, int]
"""Height and width in pixels."""

Anchors = tuple[tuple[float, float], ...]
"""Width and height of each anchor."""


class DecodedBoxes(NamedTuple):
    """All boxes of a batch, before any threshold.

    B counts anchor by anchor within a cell, cell by cell within a row, then row by row and head by head.
    """

    boxes: Tensor
    """(N, B, 4): Center x, center y, width, height as fractions of the network's input."""
    scores: Tensor
    """(N, B, classes): Class probabilities as Darknet reports them, with objectness included."""
    objectness: Tensor
    """(N, B): Objectness."""


class Decoder(nn.Module):
    """Decoder of all heads of a network: `decoder(model(x), size)`.

    Args:
        network: The network.
        hierarchy: Minimum probability of a class in a word tree; Darknet's `-hier`.
        use_class_map: Score the classes of the head's `map=` instead of its whole word tree.

    Raises:
        DarkparseError: The network has no detection head.
    """

    def __init__(
        self, network: Network, *, hierarchy: float = DetectionSettings.hierarchy, use_class_map: bool = False
    ) -> None:
        super().__init__()
        self.size = (network.net.height, network.net.width)
        self.heads = nn.ModuleList(
            head_decoder(network.nodes[i], hierarchy=hierarchy, use_class_map=use_class_map) for i in network.heads
        )
        if not self.heads:
            raise DarkparseError(f"{network.name} has no detection head")

    def forward(self, outputs: Sequence[Tensor], size: Size | None = None) -> DecodedBoxes:
        """Decode the outputs of the model.

        Args:
            outputs: One tensor per head, in the order of the cfg.
            size: Height and width of the model's input; by default those of the cfg.
        """
        parts = [head(output, size or self.size) for head, output in zip(self.heads, outputs, strict=True)]
        return DecodedBoxes(*(torch.cat(values, 1) for values in zip(*parts, strict=True)))


def decode(
    network: Network,
    outputs: Sequence[Tensor],
    size: Size | None = None,
    *,
    hierarchy: float = DetectionSettings.hierarchy,
) -> DecodedBoxes:
    """Decode the boxes of all heads; see `Decoder`."""
    return Decoder(network, hierarchy=hierarchy)(outputs, size)  # type: ignore[no-any-return]


def head_decoder(
    node: Node, *, hierarchy: float = DetectionSettings.hierarchy, use_class_map: bool = False
) -> nn.Module:
    """Return the module that decodes one head: `(output, (height, width)) -> DecodedBoxes`."""
    return instantiate(get_decoder(node, hierarchy=hierarchy, use_class_map=use_class_map))


class HeadDecoder(nn.Module):
    """Base class of decoders of one head."""

    def factor_scores(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return objectness (N, B) and class probabilities (N, B, classes), whose product is the score.

        [Gaussian_yolo]: the objectness is reduced by the mean deviation. For a word tree of AlexeyAB's fork, scores are
        the probabilities alone.
        """
        confidence, probabilities = self._split_scores(output)
        return confidence.flatten(1, 3), probabilities.flatten(1, 3)

    def _split_scores(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return objectness (N, H, W, anchors) and class probabilities (N, H, W, anchors, classes)."""
        raise NotImplementedError


class AnchorDecoder(HeadDecoder):
    """Base class of decoders that scale anchors."""

    anchors: Tensor

    def __init__(self, anchors: Anchors) -> None:
        super().__init__()
        self.register_buffer("anchors", torch.tensor(anchors), persistent=False)


class YoloDecoder(AnchorDecoder):
    """Decoder of a `[yolo]` head (yolo_layer.c get_yolo_box, get_yolo_detections)."""

    def __init__(self, anchors: Anchors, new_coords: bool) -> None:
        super().__init__(anchors)
        self.new_coords = new_coords

    def forward(self, output: Tensor, size: Size) -> DecodedBoxes:
        cells = _split_cells(output, len(self.anchors))
        x, y = _compute_centers(cells[..., 0], cells[..., 1])
        lengths = cells[..., 2:4].square() * 4 if self.new_coords else cells[..., 2:4].exp()
        width, height = _compute_sizes(lengths, self.anchors, size)
        objectness, classes = self._split_scores(output)
        return _flatten((x, y, width, height), classes * objectness.unsqueeze(-1), objectness)

    def _split_scores(self, output: Tensor) -> tuple[Tensor, Tensor]:
        cells = _split_cells(output, len(self.anchors))
        return cells[..., 4], cells[..., 5:]


class GaussianDecoder(AnchorDecoder):
    """Decoder of a `[Gaussian_yolo]` head, in which the mean deviation lowers the score.

    See gaussian_yolo_layer.c, get_gaussian_yolo_box.
    """

    def __init__(self, anchors: Anchors, shift: float) -> None:
        super().__init__(anchors)
        self.shift = shift

    def forward(self, output: Tensor, size: Size) -> DecodedBoxes:
        cells = _split_cells(output, len(self.anchors))
        x, y = _compute_centers(cells[..., 0], cells[..., 2])
        width, height = _compute_sizes(cells[..., 4:8:2].exp(), self.anchors, size)
        confidence, classes = self._split_scores(output)
        scores = classes * confidence.unsqueeze(-1)
        return _flatten((x + self.shift * width, y + self.shift * height, width, height), scores, cells[..., 8])

    def _split_scores(self, output: Tensor) -> tuple[Tensor, Tensor]:
        cells = _split_cells(output, len(self.anchors))
        return cells[..., 8] * (1 - cells[..., 1:8:2].mean(-1)), cells[..., 9:]


class RegionDecoder(AnchorDecoder):
    """Decoder of a `[region]` head: anchors in cells, optionally a word tree (region_layer.c get_region_detections).

    In AlexeyAB's fork the output is interleaved cell by cell, the decoder applies the logistic function to x and y
    (get_region_box), and the scores of boxes with a tree do not include the objectness (get_region_boxes).
    """

    map: Tensor | None

    def __init__(
        self,
        anchors: Anchors,
        *,
        classes: int,
        coords: int,
        background: bool,
        interleaved: bool,
        tree: PurePath | None,
        map: PurePath | None,
        hierarchy: float,
    ) -> None:
        super().__init__(anchors)
        self.interleaved, self.coords, self.background = interleaved, coords, background
        self.tree = Hierarchy(read_tree(tree), hierarchy) if tree is not None else None
        chosen = torch.tensor(read_map(map, classes)) if map is not None else None
        self.register_buffer("map", chosen, persistent=False)

    def forward(self, output: Tensor, size: Size) -> DecodedBoxes:
        cells = self._split_cells(output)
        center = cells[..., :2].sigmoid() if self.interleaved else cells[..., :2]
        x, y = _compute_centers(center[..., 0], center[..., 1])
        width, height = _compute_sizes(cells[..., 2:4].exp(), self.anchors, (cells.shape[1], cells.shape[2]))
        objectness, probabilities = self._split_scores(output)
        # With a tree, Darknet only compares the objectness with the threshold (region_layer.c get_region_boxes).
        ignores_objectness = self.interleaved and self.tree is not None and self.map is None
        scores = probabilities if ignores_objectness else probabilities * objectness.unsqueeze(-1)
        return _flatten((x, y, width, height), scores, objectness)

    def _split_scores(self, output: Tensor) -> tuple[Tensor, Tensor]:
        cells = self._split_cells(output)
        objectness, classes = cells[..., self.coords], cells[..., self.coords + 1 :]
        objectness = torch.ones_like(objectness) if self.background else objectness
        if self.tree is not None:
            classes = self.tree.absolute(classes)
        if self.map is not None:
            return objectness, classes.index_select(-1, self.map)
        if self.tree is None:
            return objectness, classes
        return objectness, self.tree.deepest(classes) * classes if self.interleaved else self.tree.top(classes)

    def _split_cells(self, output: Tensor) -> Tensor:
        count = len(self.anchors)
        return output.float().unflatten(3, (count, -1)) if self.interleaved else _split_cells(output, count)


class GridDecoder(HeadDecoder):
    """Decoder of a `[detection]` head: a vector of classes, then objectness, then boxes (detection_layer.c:225)."""

    def __init__(self, *, side: int, num: int, classes: int, coords: int, sqrt: bool) -> None:
        super().__init__()
        if coords != 4:
            raise DarkparseError(f"cannot decode boxes of a [detection] head with coords={coords}; expected coords=4")
        self.side, self.num, self.classes, self.sqrt = side, num, classes, sqrt

    def forward(self, output: Tensor, size: Size) -> DecodedBoxes:
        side, num = self.side, self.num
        boxes = output.float()[:, side**2 * (self.classes + num) :].reshape(-1, side, side, num, 4)
        x, y = _compute_centers(boxes[..., 0], boxes[..., 1])
        width, height = (boxes[..., 2:].square() if self.sqrt else boxes[..., 2:]).unbind(-1)
        objectness, classes = self._split_scores(output)
        return _flatten((x, y, width, height), classes * objectness.unsqueeze(-1), objectness)

    def _split_scores(self, output: Tensor) -> tuple[Tensor, Tensor]:
        side, num, start = self.side, self.num, self.side**2 * self.classes
        classes = output.float()[:, :start].reshape(-1, side, side, 1, self.classes)
        objectness = output.float()[:, start : start + side**2 * num]
        return objectness.reshape(-1, side, side, num), classes.expand(-1, -1, -1, num, -1)


def _split_cells(output: Tensor, anchors: int) -> Tensor:
    """Reshape planes (N, anchors · entries, H, W) to cells (N, H, W, anchors, entries), in float32."""
    planes: Tensor = output.float().unflatten(1, (anchors, -1))
    return planes.permute(0, 3, 4, 1, 2)


def _compute_centers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Convert offsets in cells (N, H, W, anchors) to fractions of the input."""
    height, width = x.shape[1], x.shape[2]
    columns = torch.arange(width, device=x.device).view(1, 1, -1, 1)
    rows = torch.arange(height, device=x.device).view(1, -1, 1, 1)
    return (columns + x) / width, (rows + y) / height


def _compute_sizes(exponentials: Tensor, anchors: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Scale anchors to widths and heights as fractions of the input.

    Args:
        exponentials: Scales of the anchors, (N, H, W, anchors, 2).
        anchors: (anchors, 2) width and height.
        size: Height and width of the input in the unit of the anchors, pixels or cells.
    """
    return exponentials[..., 0] * anchors[:, 0] / size[1], exponentials[..., 1] * anchors[:, 1] / size[0]


def _flatten(boxes: tuple[Tensor, Tensor, Tensor, Tensor], scores: Tensor, objectness: Tensor) -> DecodedBoxes:
    """Flatten (N, H, W, anchors, …) to (N, B, …)."""
    return DecodedBoxes(torch.stack(boxes, -1).flatten(1, 3), scores.flatten(1, 3), objectness.flatten(1, 3))
