"""Options that only affect training; they are read from their sections when a network is trained.

A kind with a loss (`LossLayer`) refers to its class here as `loss_options`. The options of every layer and of `[net]`
come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar, TypeVar, dataclass_transform

from darkparse.layers.base import Keys, option
from darkparse.layers.dialect import Dialect
from darkparse.layers.values import ParsedValue, read_choice

T = TypeVar("T")

IOU_KINDS = ("iou", "giou", "diou", "ciou")


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(option,))
def training_class(cls: type[T]) -> type[T]:
    """Return the class as a dataclass that is neither compared nor printed; those methods would slow down start-up."""
    return dataclass(kw_only=True, eq=False, repr=False)(cls)


@training_class
class Training:
    """Base class of the typed training options of a section."""

    kind: ClassVar[str] = ""
    dialect: ClassVar[str | None] = None
    training: ClassVar[Keys] = {}


@training_class
class YoloTraining(Training):
    """Training options of `[yolo]` and `[Gaussian_yolo]` (parser.c parse_yolo, parse_gaussian_yolo)."""

    ignore_thresh: float = option(
        default=0.5, help="IoU with any object above which the objectness of a box is not trained towards 0."
    )
    truth_thresh: float = option(default=1.0, help="IoU above which any box is trained towards the object.")
    max: int = option(
        default=200, dialect_default="training.max_boxes", help="Maximum number of ground-truth boxes per image."
    )
    """Maximum number of ground-truth boxes per image."""
    iou_loss: str = option(
        default="mse", dialect="alexeyab", read=read_choice("mse", *IOU_KINDS, fallback="iou"), help="Loss of boxes."
    )
    iou_normalizer: float = option(default=0.75, dialect="alexeyab", help="Weight of the loss of boxes.")
    obj_normalizer: float = option(default=1.0, dialect="alexeyab", help="Weight of the loss of objectness.")
    cls_normalizer: float = option(
        default=1.0, dialect="alexeyab", help="Weight of the loss of the true class, if `counters_per_class` is set."
    )
    uc_normalizer: float = option(default=1.0, dialect="alexeyab", help="Weight of the loss of uncertainties.")
    delta_normalizer: float = option(default=1.0, dialect="alexeyab", help="Factor of all gradients of the head.")
    iou_thresh: float = option(
        default=1.0, dialect="alexeyab", help="IoU of an anchor above which it is trained too, besides the best one."
    )
    iou_thresh_kind: str = option(
        default="iou",
        dialect="alexeyab",
        read=read_choice(*IOU_KINDS, fallback="iou"),
        help="Overlap that `iou_thresh` compares.",
    )
    objectness_smooth: bool = option(
        default=False, dialect="alexeyab", help="Train the objectness of ignored boxes towards their IoU."
    )
    label_smooth_eps: float = option(
        default=0.0, dialect="alexeyab", help="Label smoothing: how far targets of classes move from 0 and 1."
    )
    focal_loss: bool = option(default=False, dialect="alexeyab", help="Use focal loss for the classes.")
    counters_per_class: tuple[int, ...] = option(
        default=(), dialect="alexeyab", help="Objects of each class in the data set, to give rare classes more weight."
    )
    max_delta: float = option(default=inf, dialect="alexeyab", help="Limit of a box gradient's absolute value.")
    show_details: bool = option(default=True, dialect="alexeyab", help="Print details of each head while training.")


@training_class
class RegionTraining(Training):
    """Training options of `[region]` (parser.c parse_region)."""

    thresh: float = option(
        default=0.5, help="IoU with any object above which the objectness of a box is not trained towards 0."
    )
    max: int = option(
        default=200,
        dialect_default="training.max_region_boxes",
        dialect="alexeyab",
        help="Maximum number of ground-truth boxes per image.",
    )
    coord_scale: float = option(default=1.0, help="Weight of the loss of coordinates.")
    object_scale: float = option(default=1.0, help="Weight of the loss of objectness where there is an object.")
    noobject_scale: float = option(default=1.0, help="Weight of the loss of objectness where there is none.")
    class_scale: float = option(default=1.0, help="Weight of the loss of classes.")
    rescore: bool = option(default=False, help="Use the IoU as the target of objectness instead of 1.")
    bias_match: bool = option(
        default=False, help="Compare anchors instead of predicted boxes to select a box to train."
    )
    classfix: int = option(
        default=0,
        dialect="alexeyab",
        help="How class and objectness of unmatched boxes are trained: -1, 1 or 2.",
    )
    focal_loss: bool = option(default=False, dialect="alexeyab", help="Use focal loss for the classes.")


@training_class
class DetectionTraining(Training):
    """Training options of `[detection]` (parser.c parse_detection)."""

    coord_scale: float = option(default=1.0, help="Weight of the loss of coordinates.")
    object_scale: float = option(default=1.0, help="Weight of the loss of objectness where there is an object.")
    noobject_scale: float = option(default=1.0, help="Weight of the loss of objectness where there is none.")
    class_scale: float = option(default=1.0, help="Weight of the loss of classes.")
    rescore: bool = option(default=False, help="Use the IoU as the target of objectness instead of 1.")
    forced: bool = option(
        default=False, help="Train a fixed box of each cell: the second for small objects, otherwise the first."
    )
    random: bool = option(default=False, help="Train a random box of each cell for the first 64,000 images.")


@training_class
class SoftmaxTraining(Training):
    """Training options of `[softmax]` (parser.c parse_softmax)."""

    noloss: bool = option(default=False, help="Compute no loss.")


@training_class
class CostTraining(Training):
    """Training options of `[cost]` (parser.c parse_cost, cost_layer.c get_cost_type)."""

    type: str = option(
        default="sse", read=read_choice("sse", "masked", "smooth", "L1", fallback="sse"), help="Kind of loss."
    )
    scale: float = option(default=1.0, help="Factor of the gradient.")


@training_class
class LayerTraining(Training):
    """Training options of any layer (parser.c parse_network_cfg)."""

    learning_rate: float = option(default=1.0, help="Factor of the network's learning rate.")
    """Factor applied to the network's learning rate."""
    stopbackward: int = option(
        default=0, help="Train no layer before this one; above 1, for this number of iterations."
    )
    onlyforward: bool = option(default=False, help="Compute no gradient of this layer.")
    clip: float = option(default=0.0, dialect="alexeyab", help="Limit of a gradient's absolute value; 0 for none.")
    dont_update: int = option(
        default=0, dialect="alexeyab", help="Do not change the weights of this layer and those before it."
    )


def _read_policy(text: str, dialect: Dialect) -> ParsedValue:
    """Read a learning rate policy; Darknet replaces an unknown one by `constant` (parser.c get_policy)."""
    return read_choice(*dialect.training.policies, fallback="constant")(text, dialect)


@training_class
class NetTraining(Training):
    """Training options of `[net]` (parser.c parse_net_options)."""

    kind = "net"
    learning_rate: float = option(default=0.001, help="Learning rate after `burn_in`.")
    momentum: float = option(default=0.9, help="Momentum of SGD.")
    decay: float = option(default=0.0001, help="Weight decay.")
    adam: bool = option(default=False, help="Use Adam instead of SGD.")
    B1: float = option(default=0.9, help="Decay of Adam's first moment.")
    B2: float = option(default=0.999, help="Decay of Adam's second moment.")
    eps: float = option(default=1e-6, dialect_default="training.adam_epsilon", help="Constant in Adam's divisor.")
    policy: str = option(
        default="constant",
        read=_read_policy,
        help="Curve of the learning rate: constant, step, steps, exp, poly, sigmoid or random; AlexeyAB: also sgdr.",
    )
    burn_in: int = option(default=0, help="Iterations during which the learning rate rises.")
    power: float = option(default=4.0, help="Exponent of the rise, and of the policy `poly`.")
    step: int = option(
        default=1, minimum=1, help="Iterations between changes for `step`; middle of the curve for `sigmoid`."
    )
    scale: float = option(default=1.0, help="Factor of each change for `step`.")
    steps: tuple[int, ...] = option(default=(), help="Iterations at which the learning rate changes, for `steps`.")
    scales: tuple[float, ...] = option(default=(), help="Factors of these changes.")
    gamma: float = option(default=1.0, help="Base of `exp`, slope of `sigmoid`.")
    max_batches: int = option(default=0, help="Iterations of the training.")
    learning_rate_min: float = option(default=1e-5, dialect="alexeyab", help="Minimum learning rate of `sgdr`.")
    sgdr_cycle: int | None = option(
        default=None, formula="max_batches", dialect="alexeyab", help="Iterations of the first cycle of `sgdr`."
    )
    """None for `max_batches`."""
    sgdr_mult: int = option(
        default=2, dialect="alexeyab", help="Length of each cycle, as a factor of the previous cycle."
    )
    ema_alpha: float = option(
        default=0.0, dialect="alexeyab", help="Decay of an exponential moving average of the weights; 0 for none."
    )
    clip: float = option(default=0.0, dialect="pjreddie", help="Limit of a gradient's absolute value; 0 for none.")
