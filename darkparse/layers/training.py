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

    ignore_thresh: float = option(default=0.5)
    truth_thresh: float = option(default=1.0)
    max: int = option(default=200, dialect_default="training.max_boxes")
    """Maximum number of ground-truth boxes per image."""
    iou_loss: str = option(default="mse", dialect="alexeyab", read=read_choice("mse", *IOU_KINDS, fallback="iou"))
    iou_normalizer: float = option(default=0.75, dialect="alexeyab")
    obj_normalizer: float = option(default=1.0, dialect="alexeyab")
    cls_normalizer: float = option(default=1.0, dialect="alexeyab")
    uc_normalizer: float = option(default=1.0, dialect="alexeyab")
    delta_normalizer: float = option(default=1.0, dialect="alexeyab")
    iou_thresh: float = option(default=1.0, dialect="alexeyab")
    iou_thresh_kind: str = option(default="iou", dialect="alexeyab", read=read_choice(*IOU_KINDS, fallback="iou"))
    objectness_smooth: bool = option(default=False, dialect="alexeyab")
    label_smooth_eps: float = option(default=0.0, dialect="alexeyab")
    focal_loss: bool = option(default=False, dialect="alexeyab")
    counters_per_class: tuple[int, ...] = option(default=(), dialect="alexeyab")
    max_delta: float = option(default=inf, dialect="alexeyab")
    show_details: bool = option(default=True, dialect="alexeyab")


@training_class
class RegionTraining(Training):
    """Training options of `[region]` (parser.c parse_region)."""

    thresh: float = option(default=0.5)
    max: int = option(default=200, dialect_default="training.max_region_boxes", dialect="alexeyab")
    coord_scale: float = option(default=1.0)
    object_scale: float = option(default=1.0)
    noobject_scale: float = option(default=1.0)
    class_scale: float = option(default=1.0)
    rescore: bool = option(default=False)
    bias_match: bool = option(default=False)
    classfix: int = option(default=0, dialect="alexeyab")
    focal_loss: bool = option(default=False, dialect="alexeyab")


@training_class
class DetectionTraining(Training):
    """Training options of `[detection]` (parser.c parse_detection)."""

    coord_scale: float = option(default=1.0)
    object_scale: float = option(default=1.0)
    noobject_scale: float = option(default=1.0)
    class_scale: float = option(default=1.0)
    rescore: bool = option(default=False)
    forced: bool = option(default=False)
    random: bool = option(default=False)


@training_class
class SoftmaxTraining(Training):
    """Training options of `[softmax]` (parser.c parse_softmax)."""

    noloss: bool = option(default=False)


@training_class
class CostTraining(Training):
    """Training options of `[cost]` (parser.c parse_cost, cost_layer.c get_cost_type)."""

    type: str = option(default="sse", read=read_choice("sse", "masked", "smooth", "L1", fallback="sse"))
    scale: float = option(default=1.0)


@training_class
class LayerTraining(Training):
    """Training options of any layer (parser.c parse_network_cfg)."""

    learning_rate: float = option(default=1.0)
    """Factor applied to the network's learning rate."""
    stopbackward: int = option(default=0)
    onlyforward: bool = option(default=False)
    clip: float = option(default=0.0, dialect="alexeyab")
    dont_update: int = option(default=0, dialect="alexeyab")


def _read_policy(text: str, dialect: Dialect) -> ParsedValue:
    """Read a learning rate policy; Darknet replaces an unknown one by `constant` (parser.c get_policy)."""
    return read_choice(*dialect.training.policies, fallback="constant")(text, dialect)


@training_class
class NetTraining(Training):
    """Training options of `[net]` (parser.c parse_net_options)."""

    kind = "net"
    learning_rate: float = option(default=0.001)
    momentum: float = option(default=0.9)
    decay: float = option(default=0.0001)
    adam: bool = option(default=False)
    B1: float = option(default=0.9)
    B2: float = option(default=0.999)
    eps: float = option(default=1e-6, dialect_default="training.adam_epsilon")
    policy: str = option(default="constant", read=_read_policy)
    burn_in: int = option(default=0)
    power: float = option(default=4.0)
    step: int = option(default=1, minimum=1)
    scale: float = option(default=1.0)
    steps: tuple[int, ...] = option(default=())
    scales: tuple[float, ...] = option(default=())
    gamma: float = option(default=1.0)
    max_batches: int = option(default=0)
    learning_rate_min: float = option(default=1e-5, dialect="alexeyab")
    sgdr_cycle: int | None = option(default=None, dialect="alexeyab")
    """None for `max_batches`."""
    sgdr_mult: int = option(default=2, dialect="alexeyab")
    ema_alpha: float = option(default=0.0, dialect="alexeyab")
    clip: float = option(default=0.0, dialect="pjreddie")
