"""The PyTorch projects whose cfgs can be lowered, as data.

The facts were read from the projects' sources and checked by running them. None of their code is used here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from darkparse.errors import DarkparseError
from darkparse.syntax import Config

BATCHNORM_LAYER_EPSILON = 1e-4
"""Epsilon of a `[BatchNorm2d]` section in every family."""
_COMMON_KINDS = frozenset(["convolutional", "maxpool", "upsample", "route", "shortcut", "yolo", "BatchNorm2d"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A PyTorch project with its own cfgs, and the rules of its layers."""

    name: str
    title: str
    kinds: frozenset[str]
    """Section kinds that can be lowered."""
    marks: frozenset[str]
    """Section kinds, activations and parts of state dict keys that no other family has."""
    activations: Mapping[str, str]
    """Activations that act, with their names in Darknet; every other name is silently linear."""
    epsilon: float
    """Added to the variance in batch norm, within the square root."""
    decodes_new_coords: bool
    """Whether heads decode as AlexeyAB's `new_coords=1` with `scale_x_y=2`; otherwise as `scale_x_y=1`."""
    floors_padding: bool = False
    """Whether `pad=1` means (size - 1) // 2 rather than size // 2."""
    route_takes_second_half: bool = False
    """Whether a route with `groups=` takes the second half of the previous layer, whatever its other options are."""
    image_channels: tuple[int, ...] = (3,)
    """Possible numbers of input channels; `channels=` is not read."""


_WONGKINYIU_KINDS = _COMMON_KINDS | frozenset(["reorg", "reorg3d", "avgpool", "scale_channels", "sam", "dropout"])
_WONGKINYIU_ACTIVATIONS = {
    "leaky": "leaky",
    "swish": "swish",
    "silu": "swish",
    "mish": "mish",
    "logistic": "logistic",
}

YOLOR = Family(
    name="yolor",
    title="YOLOR",
    kinds=_WONGKINYIU_KINDS | frozenset(["implicit_add", "implicit_mul", "shift_channels", "control_channels"]),
    marks=frozenset(["implicit_add", "implicit_mul", "shift_channels", "control_channels", "implicit"]),
    activations=_WONGKINYIU_ACTIVATIONS,
    epsilon=1e-4,
    decodes_new_coords=True,
)
PYTORCH_YOLOV4 = Family(
    name="pytorch-yolov4",
    title="PyTorch_YOLOv4",
    kinds=_WONGKINYIU_KINDS | {"route_lhalf"},
    marks=frozenset(("route_lhalf",)),
    activations=_WONGKINYIU_ACTIVATIONS,
    epsilon=1e-4,
    decodes_new_coords=True,
)
SPURSLIPU = Family(
    name="spurslipu",
    title="SpursLipu's YOLOv3v4",
    kinds=_COMMON_KINDS | {"depthwise", "se"},
    marks=frozenset(["depthwise", "se", "h_swish", "DepthWise2d"]),
    activations={name: name for name in ("leaky", "relu", "relu6", "h_swish", "mish")},
    epsilon=1e-5,
    decodes_new_coords=False,
    floors_padding=True,
    route_takes_second_half=True,
    image_channels=(3, 1),
)
FAMILIES = {family.name: family for family in (YOLOR, PYTORCH_YOLOV4, SPURSLIPU)}
SHARED_MARKS = frozenset(("silu", "reorg", "w"))
"""Marks of YOLOR and PyTorch_YOLOv4, whose rules for what they share are the same."""


def choose_family(name: str | None, config: Config, keys: Iterable[str]) -> Family:
    """Return the family that a cfg and its state dict belong to.

    Args:
        name: Name of the family; None to detect it.
        config: The cfg.
        keys: Names of the arrays in the state dict.

    Raises:
        DarkparseError: The name is unknown, or neither kinds nor keys decide.
    """
    if name is not None:
        if name not in FAMILIES:
            raise DarkparseError(f"unknown family {name!r}; expected one of {', '.join(FAMILIES)}")
        return FAMILIES[name]
    found = {section.kind for section in config.sections}
    found |= {option.text or "" for section in config.sections if (option := section.find("activation"))}
    found |= {part for key in keys for part in key.split(".")}
    families = [family for family in FAMILIES.values() if family.marks & found]
    if len(families) == 1:
        return families[0]
    if not families and found & SHARED_MARKS:
        return PYTORCH_YOLOV4
    reason = (
        f"{config.source.name} has layers of {' and of '.join(family.title for family in families)}"
        if families
        else f"neither the layers of {config.source.name} nor the keys of its state dict tell whose they are"
    )
    raise DarkparseError(f"{reason}\nhint: name the family (--from {' | '.join(FAMILIES)})")
