"""Generation of a readable PyTorch source file that depends only on torch."""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
from collections.abc import Iterator

from darkparse import __version__
from darkparse.export.source.classes import DESCRIPTIONS, format_conv_class, format_layer_class, iter_folded_classes
from darkparse.export.source.definitions import collect_definitions, is_defined
from darkparse.export.source.expressions import LayerExpressions, takes_several
from darkparse.export.source.flat import format_flat_class
from darkparse.export.source.weights_loader import format_loader
from darkparse.network import Network


def to_source(network: Network, *, flat: bool = False) -> str:
    """Generate the source of a Python file that defines the network and imports only torch.

    The class takes no arguments, computes bitwise the same outputs as `build(network)`, and has the same `state_dict`
    keys. The file also defines `load_darknet_weights`.

    Args:
        network: Compiled network.
        flat: Write one line per layer instead of blocks and stages. Networks with shared weights are always flat.

    Returns:
        The source of the file.

    Raises:
        DarkparseError: A layer cannot be expressed as source.

    >>> source = darkparse.to_source(darkparse.compile("yolov3-tiny"))
    >>> [line for line in source.splitlines() if line.startswith("class YOLO")]
    ['class YOLOv3Tiny(nn.Module):']
    """
    layer_expressions = LayerExpressions(network)
    name = make_class_name(network.name)
    is_flat = flat or any(node.shared_with is not None for node in network.nodes)
    classes = (
        [format_flat_class(network, layer_expressions, name)]
        if is_flat
        else [*iter_folded_classes(network, layer_expressions, name)]
    )
    text = "\n\n\n".join(classes)
    base = format_layer_class(
        has_multiple_inputs=any(
            (n.tensors and len(n.inputs) > 1) or (is_flat and takes_several(n)) for n in network.nodes
        )
    )
    convs = [format_conv_class(conv) for conv in layer_expressions.convs.values() if f"{conv.name}(" in text]
    own_code = "\n\n\n".join([base, *convs, text])
    targets = (s.target for n in network.nodes for s in n.modules if not s.target.startswith("torch."))
    copied_code = collect_definitions(own_code, targets, _collect_activations(network))
    if copied_code:
        copied_code = f"# fmt: off\n{copied_code}\n# fmt: on"
    code = "\n\n\n".join(part for part in (copied_code, own_code, format_loader(network, is_flat=is_flat)) if part)
    return f"{_format_docstring(network, name)}\n\n{_format_imports(code)}\n\n\n{code}\n"


def make_class_name(name: str) -> str:
    """Convert the name of a cfg to a class name: `YOLOv3Tiny` for yolov3-tiny."""
    words = [word for word in re.split(r"[^0-9A-Za-z]+", name) if word]
    text = "".join(_PROPER_WORDS.get(word.lower(), word[:1].upper() + word[1:]) for word in words)
    for prefix, proper_prefix in _PREFIXES.items():
        text = re.sub(rf"^{prefix}", proper_prefix, text, flags=re.IGNORECASE)
    text = text[:MAX_NAME]
    if not text[:1].isalpha():
        return f"Network{text}"
    is_reserved = is_defined(text) or text.rstrip("0123456789") in _RESERVED_NAMES or text.endswith("Conv")
    return f"{text}Network" if is_reserved else text


MAX_NAME = 60
"""Maximum number of characters of a cfg name to use; file names can be longer than a line."""
_ABSTRACT = ("Callable", "Iterator", "Mapping", "Sequence")
_RESERVED_NAMES = frozenset(
    {
        *(*dir(builtins), *keyword.kwlist),
        *(*_ABSTRACT, "Any", "F", "OrderedDict", "Path", "Tensor"),
        *("LAYERS", "ORDER", "SHARES", "STORED"),
        *(*DESCRIPTIONS, "ConvPair", "ConvTriple", "ConvSet", "Layer"),
    }
)
"""Names of Python and names that the file may import or define; block names may have a number appended."""


_PROPER_WORDS = {"spp": "SPP", "prn": "PRN", "csp": "CSP", "panet": "PANet", "yolo": "YOLO", "voc": "VOC", "vgg": "VGG"}
_PREFIXES = {
    "yolo": "YOLO",
    "resnet": "ResNet",
    "resnext": "ResNeXt",
    "densenet": "DenseNet",
    "efficientnet": "EfficientNet",
    "alexnet": "AlexNet",
    "csresnext": "CSResNeXt",
}


def _format_docstring(network: Network, name: str) -> str:
    """Return the file's docstring with origin and usage; the name of the cfg is sanitized because it is untrusted."""
    origin = re.sub(r"[^0-9A-Za-z._+ -]", "?", network.name[:MAX_NAME])
    shape = network.input_shape
    size = f"1, {shape.c}, {shape.h}, {shape.w}" if shape.is_map else f"1, {shape.size}"
    cost = network.cost
    result = ", ".join(f"y{i + 1}" for i in range(len(network.outputs))) if len(network.outputs) > 1 else "y"
    input_text = f"(N, {shape.c}, H, W), values 0…1" if shape.is_map else f"(N, {shape.size})"
    loading = (
        [f'    load_darknet_weights(model, "{origin}.weights")'] if any(node.tensors for node in network.nodes) else []
    )
    source = f"Written by darkparse {__version__} from {origin}.cfg (dialect {network.dialect.name})."
    return "\n".join(
        [
            f'"""{name} in PyTorch.',
            "",
            *textwrap.wrap(source, 120),
            f"{len(network.nodes)} Darknet layers, {cost.params:,} parameters, {cost.flops / 1e9:,.1f} GFLOPs.",
            f"Takes {input_text}; maps are written height×width×channels.",
            *_describe_heads(network),
            "",
            f"    model = {name}().eval()",
            *loading,
            f"    {result} = model(torch.rand({size}))",
            '"""',
        ]
    )


def _describe_heads(network: Network) -> Iterator[str]:
    """Yield the output shape and anchors of each head."""
    for k, index in enumerate(network.heads, start=1):
        node = network.nodes[index]
        boxes = getattr(node.layer, "boxes", ())
        anchors = ", ".join(f"{w:g}×{h:g}" for w, h in boxes[:6])
        anchor_text = f"; anchors {anchors}" if anchors else ""
        label = f"y{k}" if len(network.heads) > 1 else "y"
        line = f"{label}: {node.out_shape} = {node.layer.formula}{anchor_text}."  # type: ignore[attr-defined]
        yield from textwrap.wrap(line, 120)


def _format_imports(code: str) -> str:
    standard = [
        *(["import struct"] if "struct." in code else []),
        *(["from collections import OrderedDict"] if "OrderedDict(" in code else []),
        *(
            [f"from collections.abc import {', '.join(_find_abstract_names(code))}"]
            if _find_abstract_names(code)
            else []
        ),
        *(["from pathlib import Path"] if re.search(r"\bPath\(", code) else []),
        *(["from typing import Any"] if re.search(r"\bAny\b", code) else []),
    ]
    names = [name for name in ("Tensor", "nn") if re.search(rf"\b{name}\b", code)]
    third_party = [
        *(["import torch"] if "torch." in code else []),
        f"from torch import {', '.join(names)}",
        *(["from torch.nn import functional as F"] if re.search(r"\bF\.", code) else []),
    ]
    # Some torch methods have no annotations.
    return "\n".join(["# mypy: allow-untyped-calls", *standard, *([""] if standard else []), *third_party])


def _find_abstract_names(code: str) -> list[str]:
    return [name for name in _ABSTRACT if re.search(rf"\b{name}\b", code)]


def _collect_activations(network: Network) -> tuple[str, ...]:
    """Return the Darknet names of the activations that modules look up at run time."""
    names: dict[str, None] = {}
    for node in network.nodes:
        for spec in node.modules:
            activation_names = [
                value for key, value in spec.kwargs.items() if key == "name" or key.endswith("activation")
            ]
            names |= dict.fromkeys(activation_names)
            if spec.name == "cell":  # The matrix products of a cell look up `linear`.
                names["linear"] = None
    return tuple(names)
