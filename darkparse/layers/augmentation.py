"""Options for data augmentation, used by `darkparse.training.data` only."""

from __future__ import annotations

from darkparse.layers.base import option
from darkparse.layers.training import Training, training_class


@training_class
class Augmentation(Training):
    """Augmentation options of `[net]` (parser.c parse_net_options)."""

    kind = "net"
    angle: float = option(default=0.0)
    aspect: float = option(default=1.0)
    saturation: float = option(default=1.0)
    exposure: float = option(default=1.0)
    hue: float = option(default=0.0)
    min_crop: int | None = option(default=None)
    """None for the input's width; `max_crop` defaults to twice the width."""
    max_crop: int | None = option(default=None)
    min_ratio: float | None = option(default=None, dialect="pjreddie")
    max_ratio: float | None = option(default=None, dialect="pjreddie")
    flip: bool = option(default=True, dialect="alexeyab")
    blur: int = option(default=0, dialect="alexeyab")
    gaussian_noise: int = option(default=0, dialect="alexeyab")
    mixup: bool = option(default=False, dialect="alexeyab")
    cutmix: bool = option(default=False, dialect="alexeyab")
    mosaic: bool = option(default=False, dialect="alexeyab")
    mosaic_bound: bool = option(default=False, dialect="alexeyab")
    letter_box: bool = option(default=False, dialect="alexeyab")
    label_smooth_eps: float = option(default=0.0, dialect="alexeyab")
    resize_step: int = option(default=32, minimum=1, dialect="alexeyab")


@training_class
class HeadAugmentation(Training):
    """Geometric augmentation options of a detection head, and the maximum boxes per image (parser.c parse_yolo)."""

    jitter: float = option(default=0.2)
    resize: float = option(default=1.0, dialect="alexeyab")
    random: float = option(default=0.0)
    max: int = option(default=200, dialect_default="training.max_boxes")
