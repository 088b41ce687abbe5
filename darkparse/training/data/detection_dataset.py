"""A detector's pictures, varied as Darknet varies them, with their boxes (data.c load_data_detection)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from darkparse.datasets.data_file import DatasetImage
from darkparse.datasets.image_files import Size
from darkparse.datasets.labels import Label, read_labels
from darkparse.detect.images import Pixels
from darkparse.detect.preprocess import Floats
from darkparse.errors import DarkparseError
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.network.network import Network
from darkparse.syntax.files import is_file
from darkparse.training.data.color import add_noise, blur, blur_background, distort
from darkparse.training.data.geometry import NOWHERE, WHOLE, CropWindow, ImagePlace, Window, drop_tiny, sound, tile
from darkparse.training.data.image_cache import CachedImages
from darkparse.training.data.sampling import (
    ColorJitter,
    in_corner,
    sample_colors,
    sample_crop,
    sample_cut,
    sample_place,
)


class Sample(NamedTuple):
    """A row of a mini-batch."""

    image: Floats
    """(C, H, W)."""
    truth: Floats
    """(K, 5) or (classes,); see `Batch`."""
    path: str


@dataclass(frozen=True, slots=True)
class SampledTransform:
    """A picture and how it is varied."""

    picture: DatasetImage
    pixels: Pixels
    geometry: ImagePlace | CropWindow
    flip: bool
    colors: ColorJitter

    @property
    def shape(self) -> Size:
        height, width = self.pixels.shape[:2]
        return height, width


class DetectionDataset:
    """Draws samples for a detector."""

    def __init__(self, network: Network, album: CachedImages, net: Augmentation, head: HeadAugmentation) -> None:
        self.album, self.net, self.head = album, net, head
        self.dialect, self.channels = network.dialect, network.net.channels
        self.classes: int = getattr(network.nodes[network.heads[-1]].layer, "classes", 0)

    def sample(self, random: np.random.Generator, size: Size) -> Sample:
        """Raises DarkparseError if a picture or a label cannot be read."""
        is_several = (self.net.mosaic or self.net.mixup) and bool(random.integers(2))
        if is_several and self.net.mosaic:
            return self._mosaic(random, size)
        drawn = [self._draw(random, size) for _ in range(2 if is_several else 1)]
        boxes = [self._boxes(random, one, size) for one in drawn]
        images = [self._render(random, one, size, found) for one, found in zip(drawn, boxes, strict=True)]
        image = images[0] if len(images) == 1 else (images[0] + images[1]) / np.float32(2)
        return Sample(image, np.concatenate(boxes)[: self.head.max], drawn[0].picture.path)

    def _mosaic(self, random: np.random.Generator, size: Size) -> Sample:
        row, column = sample_cut(random, size)
        image, found, paths = np.empty((self.channels, *size), np.float32), [], []
        for number in range(4):
            drawn = self._draw(random, size, tile=number)
            one = tile(number, size, (row, column), drawn.geometry, drawn.shape, flip=drawn.flip)  # type: ignore[arg-type]
            boxes = self._boxes(random, drawn, size)
            image[:, one.window[0], one.window[1]] = self._render(random, drawn, size, boxes, one.source)
            found.append(one.place(boxes, size, bound=self.net.mosaic_bound))
            paths.append(drawn.picture.path)
        return Sample(image, np.concatenate(found)[: self.head.max], paths[0])

    def _draw(self, random: np.random.Generator, size: Size, tile: int | None = None) -> SampledTransform:
        picture, pixels = self.album.draw(random)
        height, width = pixels.shape[:2]
        flip = self.net.flip and bool(random.integers(2))
        colors = sample_colors(random, self.net)
        if not self.dialect.training.crops_images:
            return SampledTransform(
                picture, pixels, sample_place(random, (height, width), size, self.head.jitter), flip, colors
            )
        crop = sample_crop(random, (height, width), size, self.net, self.head)
        if tile is not None and random.integers(2):
            crop = in_corner(crop, tile, flip=flip)
        return SampledTransform(picture, pixels, crop.drop_invalid((height, width)), flip, colors)

    def _boxes(self, random: np.random.Generator, drawn: SampledTransform, size: Size) -> Floats:
        """(K, 5), in an order drawn anew, of which the first `max` count."""
        labels = self._labels(Path(drawn.picture.label))
        boxes = np.array([(*box, number) for _, number, box in labels], np.float32).reshape(-1, 5)
        boxes = random.permutation(boxes)[: self.head.max]
        boxes = drawn.geometry.move(boxes, size, drawn.shape, flip=drawn.flip)
        if self.dialect.training.crops_images:
            return sound(boxes, size, self.classes)
        return drop_tiny(boxes[boxes[:, 0] != NOWHERE])

    def _labels(self, path: Path) -> list[Label]:
        if is_file(path):
            return read_labels(path)
        if self.dialect.training.needs_labels:
            told = f"there is no such label, and training with {self.dialect.title} ends at one that is missing"
            raise DarkparseError(f"{path}: {told}; darkparse check tells all of them")
        return []

    def _render(
        self, random: np.random.Generator, drawn: SampledTransform, size: Size, boxes: Floats, window: Window = WHOLE
    ) -> Floats:
        """(C, *size), or a window of it."""
        colors, kernel = drawn.colors, drawn.colors.blur
        if kernel > 1:
            smallest = (boxes[:, 2:4] * np.array(size[::-1], np.float32)).min(initial=8 * kernel if len(boxes) else 0)
            kernel = min(kernel, int(smallest) // 8)
        # What a window shows of a blurred picture comes from beyond it too.
        within = WHOLE if kernel else window
        image = drawn.geometry.render(drawn.pixels, size, flip=drawn.flip, window=within)
        image = distort(image, colors.hue, colors.saturation, colors.exposure)
        if kernel:
            image = blur_background(image, boxes) if kernel == 1 else blur(image, kernel)
            image = image[:, window[0], window[1]]
        if colors.noise:
            image = add_noise(image, random.normal(0, colors.noise, image.shape).astype(np.float32))
        return image
