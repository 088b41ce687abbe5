"""Options that say how pictures are varied; read by `darkparse.training.data` alone."""

from __future__ import annotations

from darkparse.layers.base import option
from darkparse.layers.training import Training, training_class


@training_class
class Augmentation(Training):
    """Of `[net]`: how pictures are varied (parser.c parse_net_options)."""

    kind = "net"
    angle: float = option(default=0.0)
    aspect: float = option(default=1.0)
    saturation: float = option(default=1.0)
    exposure: float = option(default=1.0)
    hue: float = option(default=0.0)
    min_crop: int | None = option(default=None)
    """None for the input's width, of `max_crop` for twice that."""
    max_crop: int | None = option(default=None)
    min_ratio: float | None = option(default=None, only="pjreddie")
    max_ratio: float | None = option(default=None, only="pjreddie")
    flip: bool = option(default=True, only="alexeyab")
    blur: int = option(default=0, only="alexeyab")
    gaussian_noise: int = option(default=0, only="alexeyab")
    mixup: bool = option(default=False, only="alexeyab")
    cutmix: bool = option(default=False, only="alexeyab")
    mosaic: bool = option(default=False, only="alexeyab")
    mosaic_bound: bool = option(default=False, only="alexeyab")
    letter_box: bool = option(default=False, only="alexeyab")
    label_smooth_eps: float = option(default=0.0, only="alexeyab")
    resize_step: int = option(default=32, least=1, only="alexeyab")


@training_class
class HeadAugmentation(Training):
    """Of a detection head: how pictures are moved, and how many boxes of one count (parser.c parse_yolo)."""

    jitter: float = option(default=0.2)
    resize: float = option(default=1.0, only="alexeyab")
    random: float = option(default=0.0)
    max: int = option(default=200, fact="training.max_boxes")
