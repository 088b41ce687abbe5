"""Color augmentation with sampled parameters. Images are (C, H, W), float32 in [0, 1]."""

from __future__ import annotations

import numpy as np

from darkparse.detect.preprocess import Floats

BAND_ROWS = 64
"""Rows that are distorted at once, so that the intermediate values fit into the CPU caches."""
BACKGROUND_BLUR = 17
"""Kernel width with `blur=1` (image_opencv.cpp image_data_augmentation)."""


def distort(image: Floats, hue: float, saturation: float, exposure: float) -> Floats:
    """Shift the hue and scale saturation and value of an image, in place, and return it (image.c distort_image).

    Args:
        image: (C, H, W); with fewer than three channels only the value is scaled.
        hue: Shift, where 1 is a full turn.
        saturation: Factor on the saturation.
        exposure: Factor on the value.
    """
    if (hue, saturation, exposure) == (0, 1, 1):
        return image
    if len(image) < 3:
        image *= np.float32(exposure)
        return image.clip(0, 1, image)
    for row in range(0, image.shape[1], BAND_ROWS):
        _distort(image[:3, row : row + BAND_ROWS], hue, saturation, exposure)
    return image


def _distort(image: Floats, hue: float, saturation: float, exposure: float) -> None:
    red, green, blue = image
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    scale = np.float32(1) / np.maximum(spread, np.float32(1e-30))
    # Position on the color wheel: 0 to 6 from red via green and blue back to red.
    sector = (red - green) * scale + 4
    np.copyto(sector, (blue - red) * scale + 2, where=value == green)
    np.copyto(sector, (green - blue) * scale, where=value == red)
    sector += np.float32(6 * hue)
    sector -= np.floor(sector / 6) * 6
    spread *= np.float32(saturation * exposure)
    value *= np.float32(exposure)
    # Each share is the distance of a channel below the value, as a fraction of the spread.
    for channel, share in zip(image, (2 - abs(sector - 3), abs(sector - 2) - 1, abs(sector - 4) - 1), strict=True):
        share.clip(0, 1, share)
        share *= spread
        np.subtract(value, share, share).clip(0, 1, channel)


def blur(image: Floats, kernel: int) -> Floats:
    """Blur like OpenCV's GaussianBlur with the default sigma and BORDER_REFLECT_101.

    Args:
        image: (C, H, W).
        kernel: Kernel width; an even one is increased by one.
    """
    kernel = kernel // 2 * 2 + 1
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    radius = kernel // 2
    weights = np.exp(-((np.arange(kernel) - radius) ** 2) / (2 * sigma**2)).astype(np.float32)
    weights /= weights.sum()
    for axis in (1, 2):
        width = [(radius, radius) if axis == i else (0, 0) for i in range(3)]
        padded, size = np.pad(image, width, "reflect"), image.shape[axis]
        terms = (padded.take(range(i, i + size), axis) * weights[i] for i in range(kernel))
        image = np.sum(list(terms), axis=0, dtype=np.float32)
    return image


def blur_background(image: Floats, boxes: Floats) -> Floats:
    """Blur an image outside its boxes (K, 5)."""
    out = blur(image, BACKGROUND_BLUR)
    height, width = image.shape[1:]
    for x, y, w, h in boxes[:, :4].tolist():
        left, top = int((x - w / 2) * width), int((y - h / 2) * height)
        region = np.s_[:, max(0, top) : top + int(h * height), max(0, left) : left + int(w * width)]
        out[region] = image[region]
    return out


def add_noise(image: Floats, noise: Floats) -> Floats:
    """Add noise, given in steps of 1/255; Darknet's is unsigned, so negative values clamp to 0."""
    return np.minimum(image + np.rint(noise).clip(0, 255) / np.float32(255), 1, dtype=np.float32)
