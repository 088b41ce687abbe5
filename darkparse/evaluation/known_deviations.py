"""Diagnosis of a differing layer by applying known mistakes to it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

from torch import Tensor

from darkparse.layers import ModuleSpec
from darkparse.layers.activations import ACTIVATIONS
from darkparse.layers.parts import MODULES_PACKAGE, make_activation_modules
from darkparse.model.darknet import Stage, instantiate
from darkparse.network import Node

Trial = tuple[str, Callable[[], Tensor]]
"""Description of a cause, and the layer's output with it."""

# Position and value of epsilon in the dialects and in other tools.
NORMS = (
    ("batch norm as in pjreddie's Darknet, ε = 1e-6 added to the root of the variance", "RootEpsilonBatchNorm", 1e-6),
    ("batch norm as in AlexeyAB's Darknet, ε = 1e-5 added to the variance", "BatchNorm", 1e-5),
    ("batch norm with ε = 1e-6 added to the variance (OpenCV)", "BatchNorm", 1e-6),
    ("batch norm with ε = 1e-5 added to the root of the variance (darkflow)", "RootEpsilonBatchNorm", 1e-5),
    ("batch norm with ε = 1e-4 added to the variance (PyTorch_YOLOv4)", "BatchNorm", 1e-4),
    ("batch norm with ε = 1e-3 added to the variance (Keras)", "BatchNorm", 1e-3),
    ("batch norm without ε", "BatchNorm", 0.0),
)


def list_trials(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Trial]:
    """Yield the outputs of a layer with each mistake that is known for its kind.

    Args:
        node: The layer.
        stage: Its modules.
        inputs: Its inputs.
    """
    modules = node.modules
    if node.inputs and node.inputs[0] < 0 and inputs[0].shape[1] == 3:
        yield "the image's channels in the order blue, green, red", lambda: stage(inputs[0].flip(1))
        yield "the image's values from 0 to 255 instead of 0 to 1", lambda: stage(inputs[0] * 255)
    for description, specs in _list_changes(modules):
        yield description, _make_runner(stage, specs, inputs)
    modules_before = modules[: len(modules) - len(node.layer.modules(node.context))]
    for deviation in node.layer.known_deviations(node.context):
        deviation_inputs = inputs if deviation.inputs is None else tuple(inputs[i] for i in deviation.inputs)
        yield deviation.description, _make_runner(stage, (*modules_before, *deviation.modules), deviation_inputs)


def _list_changes(specs: tuple[ModuleSpec, ...]) -> Iterator[tuple[str, tuple[ModuleSpec, ...]]]:
    """Yield a layer's modules with another batch norm or another activation."""
    for spec in specs:
        if spec.name == "norm" and "eps" in spec.kwargs:
            for description, target, eps in NORMS:
                changed = ModuleSpec("norm", f"{MODULES_PACKAGE}.{target}", {**spec.kwargs, "eps": eps})
                yield description, _replace_module(specs, spec, (changed,))
        if spec.name == "activation":
            for row in ACTIVATIONS.values():
                if row.mistaken:
                    yield row.mistaken, _replace_module(specs, spec, make_activation_modules(row.name))


def _replace_module(
    specs: tuple[ModuleSpec, ...], old: ModuleSpec, new: tuple[ModuleSpec, ...]
) -> tuple[ModuleSpec, ...]:
    index = specs.index(old)
    return (*specs[:index], *new, *specs[index + 1 :])


def _make_runner(stage: Stage, specs: tuple[ModuleSpec, ...], inputs: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        changed_stage = Stage(OrderedDict((spec.name, instantiate(spec)) for spec in specs)).eval()
        changed_stage.load_state_dict(stage.state_dict(), strict=False, assign=True)
        output: Tensor = changed_stage(*inputs)
        return output

    return run
