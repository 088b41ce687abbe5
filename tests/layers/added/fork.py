"""A fork of a fork, with an activation of its own."""

from __future__ import annotations

from darkparse.layers.activations import ACTIVATIONS, ActivationRow
from darkparse.layers.dialect import ALEXEYAB, fork
from darkparse.onnx.emitters.activations import FUNCTIONS, register_activation

THIRD = fork(
    ALEXEYAB, "third", "someone/darknet",
    batchnorm_epsilon=0.25,
    unsupported=frozenset({"[sam]", "[net] letter_box", "swish"}),
)  # fmt: skip

ACTIVATIONS["softplus"] = ActivationRow("softplus", "F.softplus", "Softplus", dialect="third")
FUNCTIONS["softplus"] = lambda graph, x: graph.op("Softplus", x)
register_activation("Softplus", FUNCTIONS["softplus"])
