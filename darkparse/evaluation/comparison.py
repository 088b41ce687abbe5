"""The first layer whose output is not another implementation's, and the likely reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.evaluation.known_deviations import list_trials
from darkparse.evaluation.reference import Reference
from darkparse.model import Darknet
from darkparse.network import Network, Node

Floats = NDArray[np.float32]

TOLERANCE = 1e-3
"""Largest difference, as a part of the other's root mean square, that passes for rounding."""


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """How far a layer's output is from the other's."""

    node: Node
    worst: float
    """Largest absolute difference."""
    relative: float
    """The same as a part of the other output's root mean square."""
    place: tuple[int, ...]
    """Where it is: channel, row, column of a map, the position in a vector."""
    ours: float
    theirs: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing all layers."""

    differences: tuple[OutputDifference, ...]
    """One for each layer that the other has, in order."""
    first: OutputDifference | None
    """The first that is more than rounding."""
    cause: str | None = None
    """The known mistake that would explain it."""
    with_cause: float = 0.0
    """The relative difference that remains if the layer makes that mistake."""


@torch.inference_mode()
def compare(model: Darknet, image: Tensor, reference: Reference, *, tolerance: float = TOLERANCE) -> Comparison:
    """Compare a model's layers with another's, and look for the cause of the first difference.

    Args:
        model: with its weights.
        image: (1, C, H, W), the network's input; the reference's own is taken where it has one.
        reference: what the other computed.
        tolerance: largest difference that counts as rounding, as a part of the layer's root mean square.

    Raises:
        DarkparseError: the other has none of the layers, or one of another size.
    """
    network = model.network
    if reference.input is not None:
        if reference.input.size != network.input_shape.size:
            raise DarkparseError(
                f"the other's input has {reference.input.size:,} values, the network takes {network.input_shape.size:,}"
            )
        image = torch.from_numpy(reference.input.reshape(1, *network.input_shape.tensor))
    outputs = model.layer_outputs(image)
    differences = []
    for node, output in zip(network.nodes, outputs, strict=True):
        ours = output.float().numpy()
        theirs = reference.output(node, ours)
        if theirs is not None:
            differences.append(compute_difference(node, ours, theirs))
    if not differences:
        raise DarkparseError(
            f"there is nothing to compare: the other has no value for any of the layers 0 to {len(outputs) - 1}"
        )
    first = _find_first(network, differences, tolerance, sure=reference.sure)
    if first is None:
        return Comparison(tuple(differences), None)
    node = first.node
    inputs = tuple(outputs[i] if i >= 0 else image for i in node.inputs)
    target = reference.output(node, outputs[node.index].float().numpy())
    assert target is not None
    cause, remaining = _find_cause(model, node, inputs, target, first.relative, tolerance)
    return Comparison(tuple(differences), first, cause, remaining)


def compute_difference(node: Node, ours: Floats, theirs: Floats) -> OutputDifference:
    """How far two outputs (1, …) of a layer are apart; a value that is no number is infinitely far."""
    distance = np.abs(ours - theirs)
    distance = np.where(np.isnan(distance), np.where(np.isnan(ours) & np.isnan(theirs), 0, np.inf), distance)
    index = np.unravel_index(int(distance.argmax()), distance.shape)
    finite = theirs[np.isfinite(theirs)].astype(np.float64)
    scale = float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0
    worst = float(distance[index])
    relative_to_zero = 0.0 if worst == 0 else np.inf
    relative = worst / scale if scale else relative_to_zero
    return OutputDifference(
        node, worst, relative, tuple(int(i) for i in index[1:]), float(ours[index]), float(theirs[index])
    )


def _find_first(
    network: Network, differences: list[OutputDifference], tolerance: float, *, sure: bool
) -> OutputDifference | None:
    """The first layer that differs.

    Where outputs were matched by closeness, a layer whose value the other never has (fused away, decoded otherwise)
    seems to differ; it counts only if a layer that reads it differs as well, or if nothing reads it but for a head.
    """
    differing = {d.node.index: d for d in differences if d.relative > tolerance}
    for index, difference_found in differing.items():
        readers = network.readers[index]
        if (
            sure
            or any(reader in differing for reader in readers)
            or (not readers and difference_found.node.layer.role != "head")
        ):
            return difference_found
    return None


def _find_cause(
    model: Darknet, node: Node, inputs: tuple[Tensor, ...], target: Floats, relative: float, tolerance: float
) -> tuple[str | None, float]:
    """The mistake after which the layer is nearest to the other's,
    if it then agrees or nearly does (its input differs a little too)."""
    best, smallest = None, min(5 * tolerance, relative / 4)
    for cause, run in list_trials(node, model.layers[node.index], inputs):  # type: ignore[arg-type]
        try:
            output = run()
        except RuntimeError:
            continue  # the mistake gives another shape here
        if output.numel() != target.size:
            continue
        remaining = compute_difference(node, output.reshape(target.shape).float().numpy(), target).relative
        if remaining < smallest:
            best, smallest = cause, remaining
    return best, smallest if best else 0.0
