"""A network as PyTorch source: one file that imports torch alone and reads as a person would write it."""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
from collections.abc import Iterator

from darkparse import __version__
from darkparse.export.source.classes import DESCRIPTIONS, conv_class, folded_classes, layer_class
from darkparse.export.source.definitions import definitions, is_defined
from darkparse.export.source.expressions import LayerExpressions, takes_several
from darkparse.export.source.flat import flat_class
from darkparse.export.source.weights_loader import loader
from darkparse.network import Network


def to_source(network: Network, *, flat: bool = False) -> str:
    """The network as the source of one Python file that imports only torch.

    The class in it takes no arguments, computes what `build(network)` computes to the last bit, and its `state_dict`
    has the same keys. The file holds a `load_darknet_weights` of its own.

    Args:
        network: what `compile` made.
        flat: one line a layer, instead of blocks and stages. A network in which layers share weights is flat always.

    Returns:
        The text of the file.

    Raises:
        DarkparseError: a layer cannot be said in source.

    >>> source = darkparse.to_source(darkparse.compile("yolov3-tiny"))
    >>> [line for line in source.splitlines() if line.startswith("class YOLO")]
    ['class YOLOv3Tiny(nn.Module):']
    """
    leaves = LayerExpressions(network)
    name = class_name(network.name)
    is_flat = flat or any(node.shared_with is not None for node in network.nodes)
    classes = [flat_class(network, leaves, name)] if is_flat else [*folded_classes(network, leaves, name)]
    text = "\n\n\n".join(classes)
    base = layer_class(
        several=any((n.tensors and len(n.inputs) > 1) or (is_flat and takes_several(n)) for n in network.nodes)
    )
    convs = [conv_class(conv) for conv in leaves.convs.values() if f"{conv.name}(" in text]
    own = "\n\n\n".join([base, *convs, text])
    targets = (s.target for n in network.nodes for s in n.modules if not s.target.startswith("torch."))
    copied = definitions(own, targets, _activations(network))
    if copied:
        copied = f"# fmt: off\n{copied}\n# fmt: on"
    code = "\n\n\n".join(part for part in (copied, own, loader(network, is_flat=is_flat)) if part)
    return f"{_docstring(network, name)}\n\n{_imports(code)}\n\n\n{code}\n"


def class_name(name: str) -> str:
    """A class name from a cfg's: `YOLOv3Tiny` from yolov3-tiny."""
    words = [word for word in re.split(r"[^0-9A-Za-z]+", name) if word]
    text = "".join(_PROPER.get(word.lower(), word[:1].upper() + word[1:]) for word in words)
    for plain, proper in _PREFIXES.items():
        text = re.sub(rf"^{plain}", proper, text, flags=re.IGNORECASE)
    text = text[:MAX_NAME]
    if not text[:1].isalpha():
        return f"Network{text}"
    is_taken = is_defined(text) or text.rstrip("0123456789") in _TAKEN or text.endswith("Conv")
    return f"{text}Network" if is_taken else text


MAX_NAME = 60
"""Characters of a cfg's name that are taken over: a file system allows more than a line has."""
_ABSTRACT = ("Callable", "Iterator", "Mapping", "Sequence")
_TAKEN = frozenset(
    {
        *(*dir(builtins), *keyword.kwlist),
        *(*_ABSTRACT, "Any", "F", "OrderedDict", "Path", "Tensor"),
        *("LAYERS", "ORDER", "SHARES", "STORED"),
        *(*DESCRIPTIONS, "ConvPair", "ConvTriple", "ConvSet", "Layer"),
    }
)
"""Names that Python has and that a file may import or define;
blocks have a number behind theirs where there are several."""


_PROPER = {"spp": "SPP", "prn": "PRN", "csp": "CSP", "panet": "PANet", "yolo": "YOLO", "voc": "VOC", "vgg": "VGG"}
_PREFIXES = {
    "yolo": "YOLO",
    "resnet": "ResNet",
    "resnext": "ResNeXt",
    "densenet": "DenseNet",
    "efficientnet": "EfficientNet",
    "alexnet": "AlexNet",
    "csresnext": "CSResNeXt",
}


def _docstring(network: Network, name: str) -> str:
    """Where the file comes from and how to use it; nothing of the cfg is taken over but its name, made harmless."""
    origin = re.sub(r"[^0-9A-Za-z._+ -]", "?", network.name[:MAX_NAME])
    shape = network.input_shape
    size = f"1, {shape.c}, {shape.h}, {shape.w}" if shape.is_map else f"1, {shape.size}"
    cost = network.cost
    result = ", ".join(f"y{i + 1}" for i in range(len(network.outputs))) if len(network.outputs) > 1 else "y"
    takes = f"(N, {shape.c}, H, W), values 0…1" if shape.is_map else f"(N, {shape.size})"
    loading = (
        [f'    load_darknet_weights(model, "{origin}.weights")'] if any(node.tensors for node in network.nodes) else []
    )
    title = f'"""{name}, written by darkparse {__version__} from {origin}.cfg (dialect {network.dialect.name}).'
    return "\n".join(
        [
            *textwrap.wrap(title, 120),
            "",
            f"{len(network.nodes)} Darknet layers, {cost.params:,} parameters, {cost.flops / 1e9:,.1f} GFLOPs.",
            f"Takes {takes}; maps are written height×width×channels.",
            *_heads(network),
            "",
            f"    model = {name}().eval()",
            *loading,
            f"    {result} = model(torch.rand({size}))",
            '"""',
        ]
    )


def _heads(network: Network) -> Iterator[str]:
    """What each head gives, with its anchors."""
    for k, index in enumerate(network.heads, start=1):
        node = network.nodes[index]
        boxes = getattr(node.layer, "boxes", ())
        anchors = ", ".join(f"{w:g}×{h:g}" for w, h in boxes[:6])
        more = f"; anchors {anchors}" if anchors else ""
        label = f"y{k}" if len(network.heads) > 1 else "y"
        line = f"{label}: {node.out_shape} = {node.layer.formula}{more}."  # type: ignore[attr-defined]
        yield from textwrap.wrap(line, 120)


def _imports(code: str) -> str:
    standard = [
        *(["import struct"] if "struct." in code else []),
        *(["from collections import OrderedDict"] if "OrderedDict(" in code else []),
        *([f"from collections.abc import {', '.join(_abstract(code))}"] if _abstract(code) else []),
        *(["from pathlib import Path"] if re.search(r"\bPath\(", code) else []),
        *(["from typing import Any"] if re.search(r"\bAny\b", code) else []),
    ]
    names = [name for name in ("Tensor", "nn") if re.search(rf"\b{name}\b", code)]
    third = [
        *(["import torch"] if "torch." in code else []),
        f"from torch import {', '.join(names)}",
        *(["from torch.nn import functional as F"] if re.search(r"\bF\.", code) else []),
    ]
    # torch has methods without annotations.
    return "\n".join(["# mypy: allow-untyped-calls", *standard, *([""] if standard else []), *third])


def _abstract(code: str) -> list[str]:
    return [name for name in _ABSTRACT if re.search(rf"\b{name}\b", code)]


def _activations(network: Network) -> tuple[str, ...]:
    """Darknet's names of the activations that modules look up when they run."""
    found: dict[str, None] = {}
    for node in network.nodes:
        for spec in node.modules:
            words = [value for key, value in spec.kwargs.items() if key == "name" or key.endswith("activation")]
            found |= dict.fromkeys(words)
            if spec.name == "cell":  # The matrices of a cell are linear.
                found["linear"] = None
    return tuple(found)
