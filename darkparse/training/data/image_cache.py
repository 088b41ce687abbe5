"""Random access to the images of a list, with a cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkparse.datasets.dataset import DatasetImage
from darkparse.detect.images import Pixels, open_image
from darkparse.network.network import Network


class CachedImages:
    """Images of a list; decoded images are cached while memory lasts, so that a small dataset is decoded once.

    Args:
        network: Network; its channels and its dialect's handling of EXIF orientation apply.
        images: Entries of the list.
        max_bytes: Maximum bytes of decoded images to cache.
    """

    def __init__(self, network: Network, images: Sequence[DatasetImage], max_bytes: int) -> None:
        self._channels, self._applies_exif = network.net.channels, network.dialect.applies_exif
        self._images, self._free_bytes, self._cache = images, max_bytes, dict[str, Pixels]()

    def draw(self, random: np.random.Generator) -> tuple[DatasetImage, Pixels]:
        """Draw a random image and its read-only pixels (H, W, C); raise ImageError if it cannot be read."""
        image = self._images[int(random.integers(len(self._images)))]
        pixels = self._cache.get(image.path)
        if pixels is None:
            pixels = open_image(image.path, self._channels, apply_exif=self._applies_exif).pixels
            if pixels.nbytes <= self._free_bytes:
                self._cache[image.path] = pixels
                self._free_bytes -= pixels.nbytes
        return image, pixels
