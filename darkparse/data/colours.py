"""What is done to a picture's values once the random numbers are drawn. Pictures are (C, H, W), float32 in 0…1."""

from __future__ import annotations

import numpy as np

from darkparse.detect.preprocess import Floats

BACKGROUND_BLUR = 17
"""Width of the kernel with `blur=1` (image_opencv.cpp image_data_augmentation)."""


def distort(image: Floats, hue: float, saturation: float, exposure: float) -> Floats:
    """Turn the hue (1 is a whole turn), scale saturation and value; of less than three channels only the value (image.c
    distort_image)."""
    if (hue, saturation, exposure) == (0, 1, 1):
        return image
    if len(image) < 3:
        return (image * np.float32(exposure)).clip(0, 1)
    red, green, blue = image[:3]
    value = image[:3].max(0)
    spread = value - image[:3].min(0)
    least = np.float32(1e-30)
    safe = np.maximum(spread, least)
    if hue == 0:
        # The share of the spread that a channel lies below the value stays as it is.
        below = [(value - channel) / safe for channel in (red, green, blue)]
    else:
        turn = np.where(value == red, (green - blue) / safe, 2 + (blue - red) / safe)
        turn = np.where((value == blue) & (value != red) & (value != green), 4 + (red - green) / safe, turn)
        turn = np.mod(turn + np.float32(6 * hue), np.float32(6))
        sextants = (np.mod(np.float32(n) + turn, np.float32(6)) for n in (5, 3, 1))
        below = [np.minimum(k, 4 - k).clip(0, 1) for k in sextants]
    spread *= np.float32(saturation * exposure)
    value *= np.float32(exposure)
    out = np.stack([value - spread * share for share in below])
    return np.concatenate((out, image[3:])).clip(0, 1)


def blurred(image: Floats, kernel: int) -> Floats:
    """OpenCV's GaussianBlur with its own sigma and mirrored edges (BORDER_REFLECT_101).

    Args:
        image: the picture.
        kernel: the kernel's width, odd.
    """
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    reach = kernel // 2
    weights = np.exp(-((np.arange(kernel) - reach) ** 2) / (2 * sigma**2)).astype(np.float32)
    weights /= weights.sum()
    for axis in (1, 2):
        width = [(reach, reach) if axis == i else (0, 0) for i in range(3)]
        padded, size = np.pad(image, width, "reflect"), image.shape[axis]
        parts = (padded.take(range(i, i + size), axis) * weights[i] for i in range(kernel))
        image = np.sum(list(parts), axis=0, dtype=np.float32)
    return image


def blurred_behind(image: Floats, boxes: Floats) -> Floats:
    """The picture blurred but in its boxes (K, 5)."""
    out = blurred(image, BACKGROUND_BLUR)
    height, width = image.shape[1:]
    for x, y, w, h in boxes[:, :4].tolist():
        left, top = int((x - w / 2) * width), int((y - h / 2) * height)
        part = np.s_[:, max(0, top) : top + int(h * height), max(0, left) : left + int(w * width)]
        out[part] = image[part]
    return out


def noisy(image: Floats, noise: Floats) -> Floats:
    """With normal noise in steps of 1/255. Darknet's is of bytes, so what would be less than 0 is 0."""
    return np.minimum(image + np.rint(noise).clip(0, 255) / np.float32(255), 1, dtype=np.float32)
