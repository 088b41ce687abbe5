"""Dataset of a classifier: images with Darknet's augmentation, and their classes (data.c load_data_augment)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darkparse.datasets.image_files import Size
from darkparse.detect.preprocess import Floats, resize_image
from darkparse.layers.augmentation import Augmentation
from darkparse.network.network import Network
from darkparse.training.data.color import blur, distort
from darkparse.training.data.detection_dataset import Sample
from darkparse.training.data.geometry import Window, rotate_crop
from darkparse.training.data.image_cache import CachedImages
from darkparse.training.data.sampling import sample_colors, sample_cutmix_window, sample_mosaic_center, sample_scale

DEFAULT_BLUR = 15
"""Kernel width with `blur=1`."""
BLUR_ODDS = 4
"""One in this many images is blurred."""


class ClassificationDataset:
    """Dataset that draws random samples for a classifier."""

    def __init__(self, network: Network, images: CachedImages, net: Augmentation, labels: Sequence[str]) -> None:
        self.images, self.net, self.labels = images, net, labels
        self.dialect, self.width = network.dialect, network.net.width

    def sample(self, random: np.random.Generator, size: Size, out: Floats | None = None) -> Sample:
        """Draw a sample; see `DetectionDataset.sample`."""
        sample, net = self._sample_mixed(random, size), self.net
        if net.blur and not random.integers(BLUR_ODDS):
            sample = sample._replace(image=blur(sample.image, DEFAULT_BLUR if net.blur == 1 else net.blur))
        if out is None:
            return sample
        out[:] = sample.image
        return sample._replace(image=out)

    def _sample_mixed(self, random: np.random.Generator, size: Size) -> Sample:
        """Draw an image, combined with others half of the time if the cfg enables that."""
        net = self.net
        if not (net.mixup or net.cutmix or net.mosaic) or random.integers(2):
            return self._sample_single(random, size)
        if net.cutmix and (not net.mosaic or random.integers(2)):
            return self._sample_pasted(random, size, [sample_cutmix_window(random, size)])
        if net.mosaic:
            (top, bottom), (left, right) = ((slice(at), slice(at, None)) for at in sample_mosaic_center(random, size))
            return self._sample_pasted(random, size, [(top, right), (bottom, left), (bottom, right)])
        first, second = (self._sample_single(random, size) for _ in range(2))
        half = np.float32(0.5)
        return Sample((first.image + second.image) * half, (first.truth + second.truth) * half, first.path)

    def _sample_pasted(self, random: np.random.Generator, size: Size, windows: list[Window]) -> Sample:
        """Draw an image with others pasted into windows; each image's classes are weighted by its area."""
        image, truth, path = self._sample_single(random, size)
        image, owner, truths = image.copy(), np.zeros(size, np.intp), [truth]
        for number, (rows, columns) in enumerate(windows, start=1):
            other = self._sample_single(random, size)
            image[:, rows, columns] = other.image[:, rows, columns]
            owner[rows, columns] = number
            truths.append(other.truth)
        shares = np.bincount(owner.ravel(), minlength=len(truths)) / owner.size
        return Sample(image, (shares @ np.stack(truths)).astype(np.float32), path)

    def _sample_single(self, random: np.random.Generator, size: Size) -> Sample:
        entry, pixels = self.images.draw(random)
        (height, width), net, side = pixels.shape[:2], self.net, max(size)
        aspect = sample_scale(random, net.aspect)
        shortest = min(height, int(width * aspect))
        factor = int(random.integers(self._side(size, 1), self._side(size, 2) + 1)) / max(1, shortest)
        angle = float(np.deg2rad(random.uniform(-1, 1) * net.angle))
        margins = ((width * factor / aspect - side) / 2, (height * factor - side) / 2)
        if self.dialect.training.crops_images:
            margins = (max(0.0, margins[0]), max(0.0, margins[1]))
        dx, dy = (float(random.uniform(-abs(margin), abs(margin))) for margin in margins)
        image = rotate_crop(pixels, side, angle=angle, scale=factor, shift=(dx, dy), aspect=aspect)
        if net.flip and random.integers(2):
            image = image[:, :, ::-1]
        colors = sample_colors(random, net)
        image = distort(image, colors.hue, colors.saturation, colors.exposure)
        if size != (side, side):
            image = resize_image(image.transpose(1, 2, 0), size)
        return Sample(image, self._truth(entry.path), entry.path)

    def _side(self, size: Size, end: int) -> int:
        """Return the minimum (`end=1`) or maximum (`end=2`) length of the image's shorter side.

        It is the cfg's crop, by default once or twice the input.
        """
        crop, ratio = ((self.net.min_crop, self.net.min_ratio), (self.net.max_crop, self.net.max_ratio))[end - 1]
        if ratio is None:
            ratio = end if crop is None else crop / self.width
        return int(ratio * size[1])

    def _truth(self, path: str) -> Floats:
        """Return the class targets of an image; it has the classes whose labels occur in its path.

        See data.c fill_truth, fill_truth_smooth.
        """
        has = np.array([label in path for label in self.labels])
        share = self.net.label_smooth_eps
        return np.where(has, 1 - share, share / max(1, len(has) - 1)).astype(np.float32)
