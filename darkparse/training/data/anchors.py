"""Anchors for a dataset: k-means of its box sizes by IoU (AlexeyAB detector.c calc_anchors, matrix.c do_kmeans)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from darkparse._utils.text import pluralize
from darkparse.datasets.dataset import Dataset
from darkparse.datasets.image_files import Size
from darkparse.detect.preprocess import Floats
from darkparse.errors import DarkparseError
from darkparse.layers import Head
from darkparse.layers.dialect import Dialect
from darkparse.network.network import Network

MAX_STEPS = 1000
CHUNK_SIZE = 1 << 16
"""Number of boxes that are compared at once."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Widths and heights, ordered by area, smallest first.

    Attributes:
        sides: (k, 2), width and height in pixels of the network's input.
        overlap: Mean IoU of each box with its anchor, both at the same corner.
        boxes: Number of boxes.
        digits: Decimals to print: 0 for pixels, 4 for grid cells, which `[region]` requires.
    """

    sides: Floats
    overlap: float
    boxes: int
    digits: int = 0

    def __str__(self) -> str:
        """Return the anchors as a line of a cfg."""
        return "anchors = " + ", ".join(f"{self._print(w)},{self._print(h)}" for w, h in self.sides)

    @property
    def numbers(self) -> tuple[float, ...]:
        """Widths and heights in turn, as `edit` takes them, with the digits that are printed."""
        return tuple(float(self._print(side)) for side in self.sides.flatten().tolist())

    def _print(self, side: float) -> str:
        """Format a side with `digits` decimals, or with three significant digits where those would print 0."""
        text = f"{side:.{self.digits}f}"
        return text if float(text) else f"{side:.3g}"


def fit_anchors(files: Dataset, network: Network, seed: int = 0) -> Anchors:
    """Compute anchors for the heads of a network: as many as they list, in their unit.

    Raises:
        DarkparseError: The network has no anchors, or their unit differs from head to head; see also `find_anchors`.
    """
    heads = [node for i in network.heads if isinstance((node := network.nodes[i]).layer, Head) and node.layer.boxes]
    layers = [head.layer for head in heads if isinstance(head.layer, Head)]
    sizes = {
        layer.get_grid(head.in_shapes[0]) if layer.anchors_in_cells else (network.net.height, network.net.width)
        for head, layer in zip(heads, layers, strict=True)
    }
    if len(sizes) != 1:
        reason = "no head has anchors" if not heads else "heads have grids of different sizes"
        raise DarkparseError(f"anchors cannot be fitted to {network.name}: {reason}")
    count = max(len(layer.listed_anchors or layer.boxes) for layer in layers)
    digits = 4 if layers[0].anchors_in_cells else 0
    return replace(find_anchors(files, network.dialect, count, sizes.pop(), seed), digits=digits)


MAX_GRID = 32
"""Inputs up to this width are grids rather than pixels (detector.c calc_anchors)."""


def find_anchors(files: Dataset, dialect: Dialect, clusters: int, size: Size, seed: int = 0) -> Anchors:
    """Compute anchors for the boxes of `train`.

    Args:
        files: The data set.
        dialect: Darknet fork whose rule locates the labels.
        clusters: Number of anchors.
        size: Height and width of the network's input, or of the grid.
        seed: Random seed for the initial boxes of the clusters.

    Raises:
        DarkparseError: A file cannot be read, or there are fewer boxes than clusters.
    """
    images = files.images("train", dialect)
    sides = [label.box[2:] for image in images if image.has_label for label in image.read_labels()]
    boxes = np.array([side for side in sides if min(side) > 0], np.float32).reshape(-1, 2)
    boxes *= np.array(size[::-1], np.float32)
    boxes = boxes[boxes.prod(1) > 0]  # 1e-300 is 0 in float32, and so is the area of a box of 1e-30
    if len(boxes) < clusters:
        objects = pluralize(len(boxes), "object")
        raise DarkparseError(
            f"{files.train}: too few objects with a width and a height for {clusters} anchors, got {objects}"
        )
    centers = np.random.default_rng(seed).permutation(boxes)[:clusters]
    nearest = np.full(len(boxes), -1)
    for _ in range(MAX_STEPS):
        previous, (nearest, _) = nearest, _find_closest(boxes, centers)
        if np.array_equal(previous, nearest):
            break
        counts = np.bincount(nearest, minlength=clusters)
        sums = np.stack([np.bincount(nearest, boxes[:, i], clusters) for i in range(2)], 1)
        is_used = counts > 0
        centers[is_used] = sums[is_used] / counts[is_used, None]
    centers = centers[np.argsort(centers.prod(1), kind="stable")]
    overlap = float(_find_closest(boxes, centers)[1].mean())
    return Anchors(centers, overlap, len(boxes), 0 if size[1] > MAX_GRID else 4)


def _find_closest(boxes: Floats, centers: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the center with the highest IoU for each box, and that IoU."""
    chunks = [_overlaps(boxes[i : i + CHUNK_SIZE], centers) for i in range(0, len(boxes), CHUNK_SIZE)]
    return np.concatenate([chunk.argmax(1) for chunk in chunks]), np.concatenate([chunk.max(1) for chunk in chunks])


def _overlaps(boxes: Floats, centers: Floats) -> Floats:
    """Compute the IoU (N, k) of boxes and centers placed at the same corner."""
    shared: Floats = np.minimum(boxes[:, None], centers).prod(2)
    shared /= boxes.prod(1)[:, None] + centers.prod(1) - shared
    return shared
