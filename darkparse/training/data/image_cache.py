"""Pictures to draw from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkparse.datasets.data_file import DatasetImage
from darkparse.detect.images import Pixels, open_image
from darkparse.network.network import Network


class CachedImages:
    """The pictures of a list. Those that were read stay in memory while there is room: a small set is decoded once.

    Args:
        network: whose channels and whose Darknet's way with a note of orientation count.
        pictures: of the list.
        room: bytes of pixels to keep.
    """

    def __init__(self, network: Network, pictures: Sequence[DatasetImage], room: int) -> None:
        self._channels, self._turn = network.net.channels, network.dialect.applies_exif
        self._pictures, self._room, self._kept = pictures, room, dict[str, Pixels]()

    def draw(self, random: np.random.Generator) -> tuple[DatasetImage, Pixels]:
        """Any of them, with its pixels (H, W, C), not to be written to. Raises ImageError if it cannot be read."""
        picture = self._pictures[int(random.integers(len(self._pictures)))]
        pixels = self._kept.get(picture.path)
        if pixels is None:
            pixels = open_image(picture.path, self._channels, apply_exif=self._turn).pixels
            if pixels.nbytes <= self._room:
                self._kept[picture.path] = pixels
                self._room -= pixels.nbytes
        return picture, pixels
