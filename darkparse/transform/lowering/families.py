"""The PyTorch projects whose cfgs can be lowered, as data.

The rules were derived from the projects' sources and verified by running them. None of their code is used here.
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
    """PyTorch project whose cfgs have their own kinds and rules."""

    name: str
    title: str
    kinds: frozenset[str]
    """Section kinds that can be lowered."""
    marks: frozenset[str]
    """Section kinds, activations and parts of state dict keys that no other family has."""
    activations: Mapping[str, str]
    """Activations that the project supports, with their names in Darknet; it treats any other as linear."""
    epsilon: float
    """Value that batch norm adds to the variance, under the square root."""
    decodes_new_coords: bool
    """Whether heads decode like AlexeyAB's with `new_coords=1` and `scale_x_y=2`; otherwise as with `scale_x_y=1`."""
    floors_padding: bool = False
    """Whether `pad=1` means (size - 1) // 2 rather than size // 2."""
    route_takes_second_half: bool = False
    """Whether a route with `groups=` selects the second half of the previous layer, whatever its other options."""
    image_channels: tuple[int, ...] = (3,)
    """Possible numbers of input channels; the project ignores `channels=`."""


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
"""Marks that YOLOR and PyTorch_YOLOv4 share; both treat them in the same way."""


def choose_family(name: str | None, config: Config, keys: Iterable[str]) -> Family:
    """Return the family that a cfg and its state dict belong to.

    Args:
        name: Name of the family; None to detect it.
        config: The cfg.
        keys: Names of the arrays in the state dict.

    Raises:
        DarkparseError: The name is unknown, or the family cannot be detected from the kinds and keys.
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
        f"{config.source.name}: ambiguous project, got layers of {' and of '.join(f.title for f in families)}"
        if families
        else f"{config.source.name}: unknown project, because neither layers nor state dict keys identify it"
    )
    raise DarkparseError(f"{reason}\nhint: name the project (--from {' | '.join(FAMILIES)})")
