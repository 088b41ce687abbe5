"""Search for the first layer whose output differs from another implementation's, and for the likely reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from darkparse.errors import DarkparseError
from darkparse.evaluation.box_comparison import BoxComparison, compare_boxes
from darkparse.evaluation.differences import OutputDifference, compute_difference
from darkparse.evaluation.known_deviations import list_trials
from darkparse.evaluation.reference import Reference
from darkparse.model import Darknet
from darkparse.network import Network, Node

TOLERANCE = 1e-3
"""Largest difference that counts as rounding, relative to the root mean square of the reference."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of comparing all layers, and the boxes if there are any.

    Attributes:
        differences: Difference of each compared layer, in order.
        first: First difference that is more than rounding; None if all layers agree.
        cause: Description of a known mistake that explains the first difference; None if there is none.
        with_cause: Relative difference that remains if the layer makes that mistake.
        unmatched: Layers without an output in the reference.
        boxes: Comparison of decoded boxes; None if the network has no heads or a layer before them differs.
    """

    differences: tuple[OutputDifference, ...]
    first: OutputDifference | None
    cause: str | None = None
    with_cause: float = 0.0
    unmatched: tuple[Node, ...] = ()
    boxes: BoxComparison | None = None

    @property
    def differs(self) -> bool:
        """Whether any layer or box differs."""
        return self.first is not None or bool(self.boxes and self.boxes.differing)


@torch.inference_mode()
def compare(model: Darknet, image: Tensor, reference: Reference, *, tolerance: float = TOLERANCE) -> Comparison:
    """Compare a model's layers and boxes with a reference, and search for the cause of the first difference.

    Args:
        model: Model with weights.
        image: Input (1, C, H, W); ignored if the reference has its own.
        reference: Outputs of the other implementation.
        tolerance: Largest difference that counts as rounding, relative to the root mean square.

    Raises:
        DarkparseError: The reference has no output for any layer, or one with another size.
    """
    network = model.network
    image = _choose_image(network, image, reference)
    dtype = next((parameter.dtype for parameter in model.parameters()), image.dtype)
    image = image.to(dtype)
    outputs = model.layer_outputs(image)
    differences = _compare_layers(network, outputs, reference)
    first, unmatched = _find_first(network, outputs, differences, reference, tolerance)
    cause, remaining = None, 0.0
    if first is not None:
        cause, remaining = _find_cause(model, first, outputs, image, reference, tolerance)
    boxes = None
    if network.heads and (first is None or first.node.layer.role == "head"):
        boxes = compare_boxes(network, outputs, image, reference.outputs, tolerance=tolerance)
    compared = tuple(difference for difference in differences if difference.node not in unmatched)
    return Comparison(compared, first, cause, remaining, unmatched, boxes)


def _choose_image(network: Network, image: Tensor, reference: Reference) -> Tensor:
    """Return the input of the reference if it has one, else `image`."""
    if reference.input is None:
        return image
    if reference.input.size != network.input_shape.size:
        raise DarkparseError(
            f"wrong input size of the reference, got {reference.input.size:,} values; expected "
            f"{network.input_shape.size:,}"
        )
    return torch.from_numpy(reference.input.reshape(1, *network.input_shape.tensor))


def _compare_layers(network: Network, outputs: Sequence[Tensor], reference: Reference) -> list[OutputDifference]:
    differences = []
    for node, output in zip(network.nodes, outputs, strict=True):
        ours = output.float().numpy()
        theirs = reference.output(node, ours)
        if theirs is not None:
            differences.append(compute_difference(node, ours, theirs))
    if not differences:
        raise DarkparseError(
            f"nothing to compare: the reference has no output for any of the layers 0 to {len(outputs) - 1}"
        )
    return differences


def _find_first(
    network: Network,
    outputs: Sequence[Tensor],
    differences: Sequence[OutputDifference],
    reference: Reference,
    tolerance: float,
) -> tuple[OutputDifference | None, tuple[Node, ...]]:
    """Find the first layer that differs, and the layers before it without an output in the reference.

    If outputs were matched by value, a layer whose value does not exist in the reference (because it was fused or is
    decoded differently) seems to differ. It only counts if a layer that reads it differs too, or if no layer reads it.
    """
    differing = {difference.node.index: difference for difference in differences if difference.relative > tolerance}
    unmatched: list[Node] = []
    for index, difference in differing.items():
        readers = network.readers[index]
        if reference.is_exact or any(reader in differing for reader in readers):
            return difference, tuple(unmatched)
        if not readers and _has_counterpart(difference.node, outputs, reference, tolerance):
            return difference, tuple(unmatched)
        unmatched.append(difference.node)
    return None, tuple(unmatched)


def _has_counterpart(node: Node, outputs: Sequence[Tensor], reference: Reference, tolerance: float) -> bool:
    """Return whether the value nearest to an output of the network is the reference's output for the same layer.

    A head may be decoded in different steps, so only an output of the reference's model counts, unless it equals the
    head's input.
    """
    if node.layer.role != "head":
        return True
    theirs = reference.output(node, outputs[node.index].float().numpy())
    if theirs is None or not any(np.array_equal(output, theirs, equal_nan=True) for output in reference.outputs):
        return False
    inputs = (outputs[i].float().numpy() for i in node.inputs if i >= 0)
    return not any(compute_difference(node, x, theirs).relative <= tolerance for x in inputs if x.shape == theirs.shape)


def _find_cause(
    model: Darknet,
    first: OutputDifference,
    outputs: Sequence[Tensor],
    image: Tensor,
    reference: Reference,
    tolerance: float,
) -> tuple[str | None, float]:
    """Find the known mistake with which the layer is closest to the reference, and the remaining difference.

    The remaining difference must be small but may exceed rounding, because the layer's input differs slightly too.
    """
    node = first.node
    inputs = tuple(outputs[i] if i >= 0 else image for i in node.inputs)
    target = reference.output(node, outputs[node.index].float().numpy())
    assert target is not None
    best, smallest = None, min(5 * tolerance, first.relative / 4)
    for cause, run in list_trials(node, model.layers[node.index], inputs):  # type: ignore[arg-type]
        try:
            output = run()
        except RuntimeError:
            continue  # the mistake changes the shape
        if output.numel() != target.size:
            continue
        remaining = compute_difference(node, output.reshape(target.shape).float().numpy(), target).relative
        if remaining < smallest:
            best, smallest = cause, remaining
    return best, smallest if best else 0.0
