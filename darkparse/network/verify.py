"""Invariants of every Network; this module serves as the specification of the representation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darkparse.network.network import Network


def verify(network: Network) -> None:
    """Check all invariants of the representation.

    Raises:
        AssertionError: An invariant is violated, which is a bug in darkparse and not an error in the cfg.
    """
    shapes = {-1: network.input_shape}
    for position, node in enumerate(network.nodes):
        label = f"layer {position} [{node.kind}]"
        assert node.index == position, f"{label} has index {node.index}, expected {position}"
        assert all(-1 <= i < position for i in node.inputs), f"{label} reads a layer that is not before it"
        assert node.in_shapes == tuple(shapes[i] for i in node.inputs), (
            f"{label} has other input shapes than its inputs' outputs"
        )
        assert min(node.out_shape) >= 1, f"{label} has an empty output"
        assert node.shared_with is None or 0 <= node.shared_with < position, (
            f"{label} shares with a layer that is not before it"
        )
        assert node.dialect is network.dialect, f"{label} has another dialect than the network"
        shapes[position] = node.out_shape
    assert network.outputs, "the network has no output"
