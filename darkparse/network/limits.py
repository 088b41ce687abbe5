"""Size limits of networks. Each layer is checked before memory is allocated for it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from darkparse.network.node import Node


@dataclass(frozen=True, slots=True)
class Limits:
    """Size limits of a network. The known maxima, over all known cfgs, are at most a tenth of them."""

    side: int = 1 << 16
    """Pixels of the input's height or width; known: 1,536."""
    map: int = 1 << 31
    """Positions × channels of a layer's output; known: 188,743,680."""
    parameters: int = 1 << 31
    """Parameters of one layer; known: 205,524,992."""
    total_parameters: int = 1 << 37
    """Parameters of all layers; known: 276,555,572."""
    layers: int = 10_000
    """Number of layers; known: 375."""
    inputs: int = 1_000
    """Inputs of one layer; known: 6."""
    options: Mapping[str, int] = field(default_factory=lambda: {"num": 1_000, "classes": 1_000_000, "ids": 1_000_000})
    """Values of options that are counts; known: 16 anchors, 21,842 classes."""
    items: int = 10_000
    """Numbers in a list; known: 40 in `anchors`."""

    def check_node(self, node: Node, parameters: int, total: int) -> str | None:
        """Return a message if a layer exceeds a limit; None otherwise.

        Args:
            node: Layer to check.
            parameters: Number of its parameters.
            total: Number of parameters of the network up to and including the layer.
        """
        values = node.out_shape.size
        if values > self.map:
            return format_excess("values in the output", values, self.map)
        if len(node.inputs) > self.inputs:
            return format_excess("inputs", len(node.inputs), self.inputs)
        if parameters > self.parameters:
            return format_excess("parameters", parameters, self.parameters)
        return (
            format_excess("parameters up to this layer", total, self.total_parameters)
            if total > self.total_parameters
            else None
        )

    def check_option(self, key: str, value: object) -> str | None:
        """Return a message if the value of an option exceeds a limit; None otherwise."""
        if isinstance(value, tuple):
            return format_excess(f"numbers in {key}=", len(value), self.items) if len(value) > self.items else None
        limit = self.options.get(key)
        return (
            format_excess(key, value, limit) if limit is not None and isinstance(value, int) and value > limit else None
        )


def format_excess(label: str, count: int, limit: int) -> str:
    """Format a message about an exceeded limit, with a hint on how to disable the limits."""
    hint = "disable limits with --no-limits or darkparse.CompileOptions(limits=None)"
    return f"{label} must be at most {limit:,}, got {count:,}; {hint}"


LIMITS = Limits()

active_limits: ContextVar[Limits | None] = ContextVar("active_limits", default=LIMITS)
"""Default limits of `compile`; the command line sets it to None for `--no-limits`."""
