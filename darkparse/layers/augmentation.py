"""Options for data augmentation, used by `darkparse.training.data` only."""

from __future__ import annotations

from darkparse.layers.base import option
from darkparse.layers.training import Training, training_class


@training_class
class Augmentation(Training):
    """Augmentation options of `[net]` (parser.c parse_net_options)."""

    kind = "net"
    angle: float = option(default=0.0, help="Maximum rotation in degrees; detectors ignore it.")
    aspect: float = option(default=1.0, help="Maximum change of the aspect ratio, as a factor.")
    saturation: float = option(default=1.0, help="Maximum change of the saturation, as a factor.")
    exposure: float = option(default=1.0, help="Maximum change of the brightness, as a factor.")
    hue: float = option(default=0.0, help="Maximum shift of the hue, as a fraction of the circle.")
    min_crop: int | None = option(
        default=None, formula="width", help="Minimum side of an image before it is cropped, in pixels."
    )
    """None for the input's width; `max_crop` defaults to twice the width."""
    max_crop: int | None = option(
        default=None, formula="2 * width", help="Maximum side of an image before it is cropped, in pixels."
    )
    min_ratio: float | None = option(
        default=None,
        dialect="pjreddie",
        help="Minimum size of an image before it is cropped, as a factor of the input; replaces `min_crop`.",
    )
    max_ratio: float | None = option(
        default=None,
        dialect="pjreddie",
        help="Maximum size of an image before it is cropped, as a factor of the input; replaces `max_crop`.",
    )
    flip: bool = option(default=True, dialect="alexeyab", help="Mirror half of the images.")
    blur: int = option(
        default=0, dialect="alexeyab", help="Blur: 1 for backgrounds, larger for the size of the kernel in pixels."
    )
    gaussian_noise: int = option(
        default=0, dialect="alexeyab", help="Strength of noise that is added to half of the images."
    )
    mixup: bool = option(default=False, dialect="alexeyab", help="Blend two images.")
    cutmix: bool = option(
        default=False, dialect="alexeyab", help="Paste part of one image into another, for classifiers."
    )
    mosaic: bool = option(default=False, dialect="alexeyab", help="Join parts of four images.")
    mosaic_bound: bool = option(
        default=False, dialect="alexeyab", help="Cut boxes at the borders of the parts of a mosaic."
    )
    letter_box: bool = option(default=False, dialect="alexeyab", help="Keep the aspect ratio of images.")
    label_smooth_eps: float = option(default=0.0, dialect="alexeyab", help="Label smoothing of classifiers.")
    resize_step: int = option(
        default=32, minimum=1, dialect="alexeyab", help="Multiple of pixels for the sizes that `random` selects."
    )


@training_class
class HeadAugmentation(Training):
    """Geometric augmentation options of a detection head, and the maximum boxes per image (parser.c parse_yolo)."""

    jitter: float = option(default=0.2, help="Maximum shift of each border, as a fraction of the image.")
    resize: float = option(default=1.0, dialect="alexeyab", help="Maximum change of the size of images, as a factor.")
    random: float = option(default=0.0, help="Change the input size while training; above 1, by this factor.")
    max: int = option(
        default=200, dialect_default="training.max_boxes", help="Maximum number of ground-truth boxes per image."
    )
