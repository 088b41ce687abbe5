"""Why a layer differs: the known mistakes, tried out on the layer at fault."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkparse.layers import ModuleSpec
from darkparse.model.darknet import Stage, instantiate
from darkparse.model.modules import Reorg3d
from darkparse.network import Node

Try = tuple[str, Callable[[], Tensor]]
"""A cause in words, and the layer's output with it."""

MODULES = "darkparse.model.modules"

# Where epsilon stands and how large it is: the dialects, and other tools' choices.
NORMS = (
    ("batch norm as in pjreddie's Darknet, ε = 1e-6 added to the root of the variance", "RootEpsilonBatchNorm", 1e-6),
    ("batch norm as in AlexeyAB's Darknet, ε = 1e-5 added to the variance", "BatchNorm", 1e-5),
    ("batch norm with ε = 1e-6 added to the variance (OpenCV)", "BatchNorm", 1e-6),
    ("batch norm with ε = 1e-5 added to the root of the variance (darkflow)", "RootEpsilonBatchNorm", 1e-5),
    ("batch norm with ε = 1e-4 added to the variance (PyTorch_YOLOv4)", "BatchNorm", 1e-4),
    ("batch norm with ε = 1e-3 added to the variance (Keras)", "BatchNorm", 1e-3),
    ("batch norm without ε", "BatchNorm", 0.0),
)

ACTIVATIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("no activation", "torch.nn.Identity", {}),
    ("ReLU as activation", "torch.nn.ReLU", {}),
    (
        "leaky ReLU with slope 0.01, PyTorch's default, where Darknet has 0.1",
        "torch.nn.LeakyReLU",
        {"negative_slope": 0.01},
    ),
    ("leaky ReLU with slope 0.1", "torch.nn.LeakyReLU", {"negative_slope": 0.1}),
    ("swish as activation", "torch.nn.SiLU", {}),
    ("the logistic function as activation", "torch.nn.Sigmoid", {}),
)


def tries(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    """Everything that is known to go wrong with a layer of this kind.

    Args:
        node: the layer.
        stage: its modules.
        inputs: what came into it.
    """
    specs = {spec.name: spec for spec in node.modules}
    if node.inputs and node.inputs[0] < 0 and inputs[0].shape[1] == 3:
        yield "the picture's channels in the order blue, green, red", lambda: stage(inputs[0].flip(1))
        yield "the picture's values from 0 to 255 instead of 0 to 1", lambda: stage(inputs[0] * 255)
    for words, changed in _changes(specs):
        yield words, _runner(stage, changed, inputs)
    yield from _OF_KIND.get(node.kind, lambda *_: ())(node, stage, inputs)


def _changes(specs: Mapping[str, ModuleSpec]) -> Iterator[tuple[str, list[ModuleSpec]]]:
    """A layer's modules with one of them changed."""
    if "norm" in specs and "eps" in specs["norm"].kwargs:
        norm = specs["norm"]
        for words, target, eps in NORMS:
            changed = ModuleSpec("norm", f"{MODULES}.{target}", {**norm.kwargs, "eps": eps})
            if changed != norm:
                yield words, _with(specs, changed)
    if "activation" in specs:
        for words, path, kwargs in ACTIVATIONS:
            yield words, _with(specs, ModuleSpec("activation", path, kwargs))
    conv = specs.get("conv")
    if conv is not None and "padding" in conv.kwargs:
        for padding in {0, int(conv.kwargs.get("kernel_size", 1)) // 2} - {conv.kwargs["padding"]}:
            yield f"padding {padding} instead of {conv.kwargs['padding']}", _with(specs, _given(conv, padding=padding))


def _with(specs: Mapping[str, ModuleSpec], changed: ModuleSpec) -> list[ModuleSpec]:
    return [changed if name == changed.name else spec for name, spec in specs.items()]


def _given(spec: ModuleSpec, **kwargs: Any) -> ModuleSpec:
    return replace(spec, kwargs={**spec.kwargs, **kwargs})


def _runner(stage: Stage, specs: list[ModuleSpec], inputs: tuple[Tensor, ...]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        changed = Stage(OrderedDict((spec.name, instantiate(spec)) for spec in specs)).eval()
        changed.load_state_dict(stage.state_dict(), strict=False, assign=True)
        out: Tensor = changed(*inputs)
        return out

    return run


def _convolution(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    conv = stage[0]
    if isinstance(conv, nn.Conv2d) and conv.kernel_size[0] > 1:
        behind = conv.kernel_size[0] - max(conv.stride)

        def same() -> Tensor:
            x = F.pad(inputs[0], (behind // 2, behind - behind // 2) * 2)
            x = F.conv2d(x, conv.weight, conv.bias, conv.stride, 0, conv.dilation, conv.groups)
            for module in list(stage)[1:]:
                x = module(x)
            return x

        yield "padding as in TensorFlow's SAME, more behind the map than before it", same


def _maxpool(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    pool: Any = stage[0]
    size, stride, padding = pool.size, pool.stride, pool.padding
    before = padding // 2

    def padded(before: int, value: float) -> Callable[[], Tensor]:
        sides = (before, padding - before) * 2
        return lambda: F.max_pool2d(F.pad(inputs[0], sides, value=value), size, stride)

    yield "max-pool padded with zeros", padded(before, 0.0)
    yield (
        "max-pool padded with more before the map than behind it",
        padded(padding - before, torch.finfo(torch.float32).min),
    )
    yield "max-pool without padding", lambda: F.max_pool2d(inputs[0], size, stride)
    yield "max-pool padded on both sides, size // 2", lambda: F.max_pool2d(inputs[0], size, stride, size // 2)


def _reorg(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    stride = node.layer.stride  # type: ignore[attr-defined]
    other = Reorg3d(stride=stride, reverse=False)
    yield "[reorg] in the order of AlexeyAB's [reorg3d] (marvis, PyTorch-YOLOv4)", lambda: other(inputs[0])
    yield "[reorg] as pixel_unshuffle", lambda: F.pixel_unshuffle(inputs[0], stride)


def _upsample(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    scale = node.out_shape.h / node.in_shapes[0].h
    for corners in (False, True):
        words = f"bilinear upsampling{', corners aligned' if corners else ''}"
        yield words, partial(F.interpolate, inputs[0], scale_factor=scale, mode="bilinear", align_corners=corners)


def _route(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    if len(inputs) > 1:
        yield "the joined maps in reversed order", lambda: stage(*reversed(inputs))
    groups, own = getattr(node.layer, "groups", 1), getattr(node.layer, "group_id", 0)
    if groups > 1:
        for group in set(range(groups)) - {own}:
            yield f"group {group} of the channels", partial(_group, inputs, groups, group)
        yield "the maps joined first and the group taken then", lambda: torch.cat(inputs, 1).chunk(groups, 1)[own]


def _group(inputs: tuple[Tensor, ...], groups: int, group: int) -> Tensor:
    return torch.cat([x.chunk(groups, 1)[group] for x in inputs], 1)


def _shortcut(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    yield "the shortcut left out", lambda: inputs[0]


def _yolo(node: Node, stage: Stage, inputs: tuple[Tensor, ...]) -> Iterator[Try]:
    (spec,) = [spec for spec in node.modules if spec.name == "head"]
    if spec.kwargs.get("scale_x_y", 1) != 1:
        yield "scale_x_y left out", _runner(stage, [_given(spec, scale_x_y=1.0)], inputs)
    if "logistic" in spec.kwargs:
        words = (
            "no logistic function in the head"
            if spec.kwargs["logistic"]
            else "a logistic function in a head with new_coords"
        )
        yield words, _runner(stage, [_given(spec, logistic=not spec.kwargs["logistic"])], inputs)
    yield "the head left out: its input", lambda: inputs[0]


_OF_KIND: dict[str, Callable[[Node, Stage, tuple[Tensor, ...]], Iterator[Try]]] = {
    "convolutional": _convolution,
    "maxpool": _maxpool,
    "reorg": _reorg,
    "upsample": _upsample,
    "route": _route,
    "shortcut": _shortcut,
    "yolo": _yolo,
    "Gaussian_yolo": _yolo,
}
