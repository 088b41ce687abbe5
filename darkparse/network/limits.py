"""How large a network may be: checked layer by layer, before anything of the size that a cfg asks for is made."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darkparse.network.node import Node


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest numbers that are taken; the largest of all known cfgs is a tenth of them at most."""

    side: int = 1 << 16
    """Pixels of the input's height or width; known: 1,536."""
    map: int = 1 << 31
    """Positions × channels of a layer's output; known: 188,743,680."""
    parameters: int = 1 << 31
    """Of one layer; known: 205,524,992."""
    layers: int = 10_000
    """Known: 375."""
    inputs: int = 1_000
    """Of one layer; known: 6."""
    options: Mapping[str, int] = field(default_factory=lambda: {"num": 1_000, "classes": 1_000_000, "ids": 1_000_000})
    """Options that count things; known: 16 anchors, 21,842 classes."""
    items: int = 10_000
    """Numbers in a list; known: 40 of anchors."""

    def exceeded(self, node: Node) -> str | None:
        """What a layer would take beyond them."""
        values = node.out_shape.size
        if values > self.map:
            return beyond("values in the output", values, self.map)
        if len(node.inputs) > self.inputs:
            return beyond("inputs", len(node.inputs), self.inputs)
        # A weight is used at least once and the others are a few for each output: most layers need not be counted.
        if node.macs + OTHERS * values <= self.parameters:
            return None
        parameters = sum(tensor.size for tensor in node.tensors)
        return beyond("parameters", parameters, self.parameters) if parameters > self.parameters else None

    def exceeded_by_option(self, key: str, value: object) -> str | None:
        """The same of one option's value."""
        if isinstance(value, tuple):
            return beyond(f"numbers in {key}=", len(value), self.items) if len(value) > self.items else None
        most = self.options.get(key)
        return beyond(key, value, most) if most is not None and isinstance(value, int) and value > most else None


def beyond(what: str, count: int, most: int) -> str:
    """`num: 200,000,000, and the limit is 1,000`, and how to go on."""
    return f"{what}: {count:,}, and the limit is {most:,} (none with --no-limits, or darkparse.compile(…, limits=None))"


OTHERS = 64
"""Biases, scales, means and variances for each output, of all gates of a recurrent layer together."""

LIMITS = Limits()

limits_in_force: ContextVar[Limits | None] = ContextVar("limits_in_force", default=LIMITS)
"""What every `compile` goes by that is not told otherwise; the command line's `--no-limits` makes it None."""
