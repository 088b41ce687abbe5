"""What is done to a picture's values once the random numbers are drawn. Pictures are (C, H, W), float32 in 0…1."""

from __future__ import annotations

import numpy as np

from darkparse.detect.preprocess import BAND_ROWS, Floats

BACKGROUND_BLUR = 17
"""Width of the kernel with `blur=1` (image_opencv.cpp image_data_augmentation)."""


def distort(image: Floats, hue: float, saturation: float, exposure: float) -> Floats:
    """Turn the hue (1 is a whole turn), scale saturation and value; of less than three channels only the value (image.c
    distort_image)."""
    if (hue, saturation, exposure) == (0, 1, 1):
        return image
    if len(image) < 3:
        return (image * np.float32(exposure)).clip(0, 1)
    out = image.copy()
    for row in range(0, image.shape[1], BAND_ROWS):
        _distort(out[:3, row : row + BAND_ROWS], hue, saturation, exposure)
    return out


def _distort(image: Floats, hue: float, saturation: float, exposure: float) -> None:
    red, green, blue = image
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    scale = np.float32(1) / np.maximum(spread, np.float32(1e-30))
    # 0 to 6 from red over green and blue to red.
    sector = np.where(value == green, 2 + (blue - red) * scale, 4 + (red - green) * scale)
    sector = np.where(value == red, (green - blue) * scale, sector) + np.float32(6 * hue)
    sector -= np.floor(sector / 6) * 6
    spread *= np.float32(saturation * exposure)
    value *= np.float32(exposure)
    # How far a channel lies below the value, as a share of the spread.
    for channel, share in zip(image, (2 - abs(sector - 3), abs(sector - 2) - 1, abs(sector - 4) - 1), strict=True):
        np.clip(value - share.clip(0, 1) * spread, 0, 1, channel)


def blur(image: Floats, kernel: int) -> Floats:
    """OpenCV's GaussianBlur with its own sigma and mirrored edges (BORDER_REFLECT_101).

    Args:
        image: the picture.
        kernel: the kernel's width; an even one is made wider by one.
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
    """The picture blurred but in its boxes (K, 5)."""
    out = blur(image, BACKGROUND_BLUR)
    height, width = image.shape[1:]
    for x, y, w, h in boxes[:, :4].tolist():
        left, top = int((x - w / 2) * width), int((y - h / 2) * height)
        region = np.s_[:, max(0, top) : top + int(h * height), max(0, left) : left + int(w * width)]
        out[region] = image[region]
    return out


def add_noise(image: Floats, noise: Floats) -> Floats:
    """With normal noise in steps of 1/255. Darknet's is of bytes, so what would be less than 0 is 0."""
    return np.minimum(image + np.rint(noise).clip(0, 255) / np.float32(255), 1, dtype=np.float32)
