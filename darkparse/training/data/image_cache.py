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
        images: of the list.
        max_bytes: bytes of pixels to keep.
    """

    def __init__(self, network: Network, images: Sequence[DatasetImage], max_bytes: int) -> None:
        self._channels, self._applies_exif = network.net.channels, network.dialect.applies_exif
        self._images, self._free_bytes, self._cache = images, max_bytes, dict[str, Pixels]()

    def draw(self, random: np.random.Generator) -> tuple[DatasetImage, Pixels]:
        """Any of them, with its pixels (H, W, C), not to be written to. Raises ImageError if it cannot be read."""
        image = self._images[int(random.integers(len(self._images)))]
        pixels = self._cache.get(image.path)
        if pixels is None:
            pixels = open_image(image.path, self._channels, apply_exif=self._applies_exif).pixels
            if pixels.nbytes <= self._free_bytes:
                self._cache[image.path] = pixels
                self._free_bytes -= pixels.nbytes
        return image, pixels
