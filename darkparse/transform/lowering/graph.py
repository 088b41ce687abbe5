"""Network during lowering: layers that refer to each other and are numbered at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from darkparse.syntax import Section
from darkparse.transform.lowering.state import Values

MAX_RELATIVE = 9
"""Largest distance of a relative reference; layers further back are referred to by their absolute number."""


@dataclass(eq=False)
class Item:
    """Layer without a number.

    Attributes:
        kind: Section kind. `affine` adds or multiplies by a constant and is written as a depthwise 1×1 convolution;
            `image` is the network's input.
        section: Section of the foreign cfg that it was lowered from.
        channels: Number of output channels.
        inputs: Layers that it reads. Except in a route, the first must directly precede it in the cfg.
        options: Text of the options, without references.
        arrays: Arrays by their path in the module.
        keys: State dict keys of the arrays that come from there, by path.
    """

    kind: str
    section: Section
    channels: int
    inputs: list[Item] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Values] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> int:
        """Groups of a convolution."""
        return int(self.options.get("groups", 1))

    @property
    def is_linear_convolution(self) -> bool:
        """Whether it is a convolution without an activation."""
        return self.kind == "convolutional" and self.options["activation"] == "linear"

    @property
    def is_normalized(self) -> bool:
        """Whether it is a convolution with batch norm."""
        return "norm.weight" in self.arrays


REFERENCES = {"route": "layers", "shortcut": "from", "scale_channels": "from", "sam": "from"}
"""Option of each kind that refers to layers: to all inputs of a route, otherwise to all but the first."""


@dataclass(eq=False)
class Graph:
    """Layers in the order in which they run."""

    items: list[Item] = field(default_factory=list)

    def readers(self, item: Item) -> list[Item]:
        """Return the layers that read a layer, repeated if they read it several times."""
        return [reader for reader in self.items for source in reader.inputs if source is item]

    def replace(self, old: Item, new: Item) -> None:
        """Redirect all readers of a layer to another one, and remove the layer."""
        for reader in self.items:
            if reader is not new:
                reader.inputs = [new if source is old else source for source in reader.inputs]
        self.items.remove(old)

    def insert_after(self, item: Item, new: Item) -> None:
        """Insert a layer after another one, and redirect all readers to it."""
        for reader in self.items:
            reader.inputs = [new if source is item else source for source in reader.inputs]
        new.inputs = [item]
        self.items.insert(self.items.index(item) + 1, new)

    def remove_unread_constants(self) -> None:
        """Remove the constants that no layer reads any more."""
        self.items = [item for item in self.items if item.kind != "implicit" or self.readers(item)]


@dataclass(frozen=True, slots=True)
class Numbered:
    """Layer at the list position that is its number: section kind, options with references, and arrays."""

    kind: str
    options: dict[str, str]
    item: Item
    holds_arrays: bool = True


def number_items(items: Iterable[Item]) -> list[Numbered]:
    """Number layers in the order of a cfg, with a route where a layer does not read the previous layer."""
    numbered: list[Numbered] = []
    numbers: dict[Item, int] = {}
    previous: Item | None = None

    def refer(source: Item) -> str:
        distance = len(numbered) - numbers[source]
        return str(-distance if distance <= MAX_RELATIVE else numbers[source])

    for item in items:
        expects_previous = item.kind not in ("route", "implicit")
        if expects_previous and previous is not item.inputs[0] and item.inputs[0] in numbers:
            numbered.append(Numbered("route", {"layers": refer(item.inputs[0])}, item.inputs[0], holds_arrays=False))
        named = item.inputs if item.kind == "route" else item.inputs[1:]
        option = REFERENCES.get(item.kind)
        references = {option: ",".join(map(refer, named))} if option else {}
        numbers[item] = len(numbered)
        numbered.append(Numbered(item.kind, references | item.options, item))
        previous = item
    return numbered


def make_affine(item: Item) -> Item:
    """Return the depthwise 1×1 convolution that is equivalent to an affine layer."""
    channels = str(item.channels)
    options = {"filters": channels, "groups": channels, "size": "1", "stride": "1", "pad": "0", "activation": "linear"}
    scale, shift = item.arrays["scale"], item.arrays["shift"]
    arrays = {"conv.bias": shift, "conv.weight": scale.reshape(-1, 1, 1, 1)}
    return Item("convolutional", item.section, item.channels, item.inputs[:1], options, arrays)


def affine_item(x: Item, section: Section, scale: Values | float = 1.0, shift: Values | float = 0.0) -> Item:
    """Return a layer that computes `scale` · x + `shift` for each channel."""
    arrays = {
        "scale": np.broadcast_to(np.float32(scale), (x.channels,)),
        "shift": np.broadcast_to(np.float32(shift), (x.channels,)),
    }
    return Item("affine", section, x.channels, [x], {}, arrays)
