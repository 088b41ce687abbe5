"""Dataset of a detector: images with Darknet's augmentation, and their boxes (data.c load_data_detection)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from darkparse.datasets.dataset import DatasetImage
from darkparse.datasets.image_files import Size
from darkparse.datasets.labels import Label
from darkparse.detect.images import Pixels
from darkparse.detect.preprocess import Floats
from darkparse.errors import DarkparseError
from darkparse.layers.augmentation import Augmentation, HeadAugmentation
from darkparse.network.network import Network
from darkparse.training.data.color import add_noise, blur, blur_background, distort
from darkparse.training.data.geometry import (
    FULL_WINDOW,
    INVALID_CENTER,
    CropWindow,
    ImagePlace,
    Window,
    build_tile,
    drop_invalid,
    drop_tiny,
)
from darkparse.training.data.image_cache import CachedImages
from darkparse.training.data.sampling import (
    ColorJitter,
    move_to_corner,
    sample_colors,
    sample_crop,
    sample_mosaic_center,
    sample_place,
)


class Sample(NamedTuple):
    """One row of a mini-batch."""

    image: Floats
    """(C, H, W)."""
    truth: Floats
    """(K, 5) or (classes,); see `Batch`."""
    path: str


@dataclass(frozen=True, slots=True)
class SampledTransform:
    """An image with its sampled augmentation."""

    image: DatasetImage
    pixels: Pixels
    geometry: ImagePlace | CropWindow
    flip: bool
    colors: ColorJitter

    @property
    def shape(self) -> Size:
        height, width = self.pixels.shape[:2]
        return height, width


class DetectionDataset:
    """Dataset that draws random samples for a detector."""

    def __init__(self, network: Network, images: CachedImages, net: Augmentation, head: HeadAugmentation) -> None:
        self.images, self.net, self.head = images, net, head
        self.dialect, self.channels = network.dialect, network.net.channels
        self.classes: int = getattr(network.nodes[network.heads[-1]].layer, "classes", 0)

    def sample(self, random: np.random.Generator, size: Size, out: Floats | None = None) -> Sample:
        """Draw a sample.

        Args:
            random: Source of all random choices.
            size: Height and width of the input.
            out: Array (C, H, W) to write the image to.

        Raises:
            DarkparseError: An image or a label cannot be read.
        """
        out = np.empty((self.channels, *size), np.float32) if out is None else out
        is_mixed = (self.net.mosaic or self.net.mixup) and bool(random.integers(2))
        if is_mixed and self.net.mosaic:
            return self._sample_mosaic(random, size, out)
        transforms = [self._sample_transform(random, size) for _ in range(2 if is_mixed else 1)]
        boxes = [self._read_boxes(random, transform, size) for transform in transforms]
        image = self._render(random, transforms[0], size, boxes[0], FULL_WINDOW, out)
        if is_mixed:
            image += self._render(random, transforms[1], size, boxes[1])
            image /= np.float32(2)
        return Sample(image, np.concatenate(boxes)[: self.head.max], transforms[0].image.path)

    def _sample_mosaic(self, random: np.random.Generator, size: Size, image: Floats) -> Sample:
        row, column = sample_mosaic_center(random, size)
        all_boxes, paths = [], []
        for number in range(4):
            transform = self._sample_transform(random, size, tile=number)
            crop: CropWindow = transform.geometry  # type: ignore[assignment]
            mosaic_tile = build_tile(number, size, (row, column), crop, transform.shape, flip=transform.flip)
            boxes = self._read_boxes(random, transform, size)
            tile_image = image[:, mosaic_tile.window[0], mosaic_tile.window[1]]
            self._render(random, transform, size, boxes, mosaic_tile.source, tile_image)
            all_boxes.append(mosaic_tile.place_boxes(boxes, size, bound=self.net.mosaic_bound))
            paths.append(transform.image.path)
        return Sample(image, np.concatenate(all_boxes)[: self.head.max], paths[0])

    def _sample_transform(self, random: np.random.Generator, size: Size, tile: int | None = None) -> SampledTransform:
        image, pixels = self.images.draw(random)
        height, width = pixels.shape[:2]
        flip = self.net.flip and bool(random.integers(2))
        colors = sample_colors(random, self.net)
        if not self.dialect.training.crops_images:
            return SampledTransform(
                image, pixels, sample_place(random, (height, width), size, self.head.jitter), flip, colors
            )
        crop = sample_crop(random, (height, width), size, self.net, self.head)
        if tile is not None and random.integers(2):
            crop = move_to_corner(crop, tile, flip=flip)
        return SampledTransform(image, pixels, crop.or_full_image((height, width)), flip, colors)

    def _read_boxes(self, random: np.random.Generator, transform: SampledTransform, size: Size) -> Floats:
        """Return the transformed boxes (K, 5) of an image, in random order and limited to `max`."""
        labels = self._read_labels(transform.image)
        boxes = np.array([(*box, number) for _, number, box in labels], np.float32).reshape(-1, 5)
        boxes = random.permutation(boxes)[: self.head.max]
        boxes = transform.geometry.move_boxes(boxes, size, transform.shape, flip=transform.flip)
        if self.dialect.training.crops_images:
            return drop_invalid(boxes, size, self.classes)
        return drop_tiny(boxes[boxes[:, 0] != INVALID_CENTER])

    def _read_labels(self, image: DatasetImage) -> list[Label]:
        if image.has_label:
            return image.read_labels()
        if self.dialect.training.needs_labels:
            message = f"no label file, and {self.dialect.title} stops training at an image without one"
            raise DarkparseError(f"{image.label}: {message}\nhint: darkparse check lists all of them")
        return []

    def _render(
        self,
        random: np.random.Generator,
        transform: SampledTransform,
        size: Size,
        boxes: Floats,
        window: Window = FULL_WINDOW,
        out: Floats | None = None,
    ) -> Floats:
        """Render an image as (C, *size), or a window of it, in `out` if there is one."""
        colors, kernel = transform.colors, transform.colors.blur
        if kernel > 1:
            smallest = (boxes[:, 2:4] * np.array(size[::-1], np.float32)).min(initial=8 * kernel if len(boxes) else 0)
            kernel = min(kernel, int(smallest) // 8)
        # Blurring needs pixels outside the window.
        rendered_window, target = (FULL_WINDOW, None) if kernel else (window, out)
        image = transform.geometry.render(
            transform.pixels, size, flip=transform.flip, window=rendered_window, out=target
        )
        image = distort(image, colors.hue, colors.saturation, colors.exposure)
        if kernel:
            image = blur_background(image, boxes) if kernel == 1 else blur(image, kernel)
            image = image[:, window[0], window[1]]
        if colors.noise:
            image = add_noise(image, random.normal(0, colors.noise, image.shape).astype(np.float32))
        if out is None or image is out:
            return image
        out[:] = image
        return out
