"""Classes of an emitted file: blocks, convolutions and the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from darkparse.export.source import forward as bodies
from darkparse.export.source import naming
from darkparse.export.source.calls import WIDTH, Call, Named, Nested, Text, lines
from darkparse.export.source.expressions import ConvClass, Item, LayerExpressions
from darkparse.export.source.folding import BlockFolder, Template
from darkparse.layers.capabilities import Classifier
from darkparse.network import Network

BACKBONES = {
    ("Residual", (1, 2, 8, 8, 4)): "Darknet-53",
    ("CSP", (1, 2, 8, 8, 4)): "CSPDarknet-53",
    ("Bottleneck", (2, 3, 5, 2)): "ResNet-50",
    ("Bottleneck", (2, 3, 22, 2)): "ResNet-101",
    ("Bottleneck", (2, 7, 35, 2)): "ResNet-152",
}
"""Backbone names by type of block and number of blocks per stage."""


def iter_folded_classes(network: Network, layer_expressions: LayerExpressions, name: str) -> Iterator[str]:
    """Yield the source of the block classes, inner ones first, and of the network class."""
    outputs = [layer_expressions.sources[i] for i in network.outputs]
    items, templates = BlockFolder(layer_expressions.items(), frozenset(outputs)).fold()
    for template in templates:
        yield _format_block_class(template)
    yield _format_network_class(network, name, items, outputs, templates)


def _format_block_class(template: Template) -> str:
    parameters = template.parameters
    stream = iter(parameters.texts)
    texts = {item.first: [next(stream) for _ in item.slots] for item in template.items}

    def get_texts(item: Item) -> Iterator[str]:
        return iter(texts[item.first])

    head = _format_signature([f"{name}: {'float' if name.startswith('scale') else 'int'}" for name in parameters.names])
    if template.is_chain:
        module = bodies.make_sequential(template.items, (text for item in template.items for text in get_texts(item)))
        assert isinstance(module, Nested)
        call = Nested("super().__init__", module.parts)
        return "\n".join(
            [
                f"class {template.name}(nn.Sequential):",
                f'    """{_describe_block(template)}"""',
                "",
                head,
                *lines(call, 8),
            ]
        )
    outputs = frozenset({template.items[-1].last})
    parts = naming.name_paths(bodies.split_segments(template.items, outputs, lambda marks, before, item: False))
    style = bodies.Style(naming.name_block_variables)
    body = bodies.format_body(parts, template.entry, list(outputs), get_texts, style)
    text = [
        f"class {template.name}(nn.Module):",
        f'    """{_describe_block(template)}"""',
        "",
        head,
        "        super().__init__()",
        *body.init,
        "",
    ]
    return "\n".join([*text, "    def forward(self, x: Tensor) -> Tensor:", *body.forward])


def _format_network_class(
    network: Network, name: str, items: Sequence[Item], outputs: Sequence[int], templates: Sequence[Template]
) -> str:
    parts = naming.name_stages(bodies.split_segments(items, frozenset(outputs), naming.starts_stage))

    def get_texts(item: Item) -> Iterator[str]:
        return (repr(slot.value) for slot in item.slots)

    titles = naming.make_titles(parts, _find_backbone(items, templates))
    style = bodies.Style(
        naming.StageVariables(network), titles, _format_layer_range, lambda part: str(part.items[-1].out_shape)
    )
    body = bodies.format_body(parts, -1, outputs, get_texts, style)
    result = "Tensor" if len(outputs) == 1 else f"tuple[{', '.join(['Tensor'] * len(outputs))}]"
    hooks = [
        "        nn.Module.register_state_dict_post_hook(self, swap_names)",
        "        nn.Module.register_load_state_dict_pre_hook(self, swap_names)",
    ]
    has_parameters = any(node.tensors for node in network.nodes)
    lines = [
        f"class {name}(nn.Module):",
        f'    """{_summarize(network, items, templates)}"""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *body.init,
        *(hooks if has_parameters else []),
        "",
        f"    def forward(self, x: Tensor) -> {result}:",
        *body.forward,
    ]
    return "\n".join([*lines, *_format_reset_state(network)])


def _format_reset_state(network: Network) -> list[str]:
    if not any(node.layer.has_state for node in network.nodes):
        return []
    return [
        "",
        "    def reset_state(self) -> None:",
        '        """Reset the state of all recurrent layers."""',
        "        for module in self.modules():",
        "            if isinstance(module, StatefulModule):",
        "                module.reset_state()",
    ]


def _format_layer_range(part: bodies.Segment) -> str:
    first, last = part.items[0].first, part.last
    return f"L{first}" if first == last else f"L{first}–L{last}"


def _describe_block(template: Template) -> str:
    """Describe a block in one line."""
    kernels = [slot.value for item in template.items for slot in item.slots if slot.kind == "size"]
    sizes = [f"{k}×{k}" for k in kernels]
    description = DESCRIPTIONS.get(template.name.rstrip("0123456789"))
    return description or f"Convolutions {', '.join(sizes[:-1])} and {sizes[-1]}."


DESCRIPTIONS = {
    "WideningResidual": "Two convolutions; the input is added where it overlaps their output.",
    "WideningBottleneck": "1×1 down, k×k, 1×1 up; the input is added where it overlaps the output.",
    "Residual": "Two convolutions, added to their input.",
    "Bottleneck": "1×1 down, k×k, 1×1 back up, added to the input.",
    "ResidualMBConv": "1×1 up, depthwise k×k, 1×1 down, added to the input.",
    "MBConv": "1×1 up, depthwise k×k, 1×1 down.",
    "SqueezeExcite": "Each channel times a weight computed from the means of all channels.",
    "SpatialGate": "Each value times a weight between 0 and 1.",
    "SPP": "The map and its maxima over windows of several sizes, concatenated.",
    "SPPCSPC": "A path through spatial pyramid pooling and one around it, concatenated.",
    "CSP": "A path through the blocks and one around them, concatenated.",
    "Dense": "The input and new channels, concatenated.",
    "ELAN": "The maps of several convolutions along one path, concatenated.",
    "Split": "Two paths, concatenated.",
    "Stage": "Halve the size, then apply a number of blocks.",
    "Head": "One more convolution, the projection to the predictions, and their activation.",
}


def _summarize(network: Network, items: Sequence[Item], templates: Sequence[Template]) -> str:
    """Describe the network in one line."""
    heads = len(network.heads)
    plural = "s" if heads > 1 else ""
    tail = f" and {heads} detection head{plural}" if heads else ""
    default = "A backbone" if heads else "Features"
    if isinstance(network.nodes[network.outputs[0]].layer, Classifier):
        default = "A classifier"
    convs = sum(node.layer.role == "conv" for node in network.nodes)
    return f"{_find_backbone(items, templates) or default}{tail}: {convs} convolutions, input {network.input_shape}."


def _find_backbone(items: Sequence[Item], templates: Sequence[Template]) -> str | None:
    """Return the name of a well-known backbone, identified by the number of blocks in its stages."""
    inner_names = {
        t.name: next(_iter_call_names(item.call))
        for t in templates
        if t.name == "Stage"
        for item in t.items[-1:]
        if item.call is not None
    }
    blocks = [(item.call, item.slots) for item in items if item.call is not None and "block" in item.tags]
    stacks = [(call, slot.value) for call, slots in blocks for slot in slots if slot.kind == "count"]
    kinds = {inner_names.get(name, name) for call, _ in stacks for name in list(_iter_call_names(call))[:1]}
    counts = tuple(int(count) for _, count in stacks)
    return BACKBONES.get((kinds.pop() if len(kinds) == 1 else "", counts))


def _iter_call_names(call: Call) -> Iterator[str]:
    """Yield the names of a call and of the calls in its arguments, except `repeat`."""
    if call.name != "repeat":
        yield call.name
    for arg in call.args:
        if isinstance(arg.value, Call):
            yield from _iter_call_names(arg.value)


def format_layer_class(*, has_multiple_inputs: bool) -> str:
    """Return the source of the base class of layers with parameters.

    Args:
        has_multiple_inputs: Whether some of the layers take more than one input.
    """
    lines = [
        "class Layer(nn.Sequential):",
        '    """A Darknet layer with parameters: its modules by name, one after the other."""',
        "",
        "    def __init__(self, **modules: nn.Module) -> None:",
        "        super().__init__(OrderedDict(modules))",
    ]
    if has_multiple_inputs:
        lines += [
            "",
            "    def forward(self, *inputs: Any) -> Tensor:",
            "        first, *others = self",
            "        x: Tensor = first(*inputs)",
            "        for module in others:",
            "            x = module(x)",
            "        return x",
        ]
    return "\n".join(lines)


def format_conv_class(conv: ConvClass) -> str:
    """Return the source of the class for convolutions with the same batch norm and activation."""
    word_list = [
        "Convolution",
        *(["batch norm"] if conv.norm else []),
        *([_get_activation_word(conv.activation)] if conv.activation else []),
    ]
    description = f"{', '.join(word_list[:-1])} and {word_list[-1]}" if len(word_list) > 1 else word_list[0]
    parameters = [
        "c_in: int",
        "c_out: int",
        "size: int",
        *(["stride: int = 1"] if conv.strided or conv.grouped else []),
        *(["groups: int = 1"] if conv.grouped else []),
    ]
    arguments = ["c_in", "c_out", "size", "stride" if conv.strided or conv.grouped else "1", "size // 2"]
    arguments += [*(["groups=groups"] if conv.grouped else []), *(["bias=False"] if conv.norm else [])]
    modules: list[Text] = [Named("conv", Nested("nn.Conv2d", tuple(arguments)))]
    modules += [Named("norm", conv.norm)] if conv.norm else []
    modules += [Named("activation", conv.activation)] if conv.activation else []
    call = Nested("super().__init__", tuple(modules))
    return "\n".join(
        [f"class {conv.name}(Layer):", f'    """{description}."""', "", _format_signature(parameters), *lines(call, 8)]
    )


def _format_signature(parameters: Sequence[str]) -> str:
    """Return the signature of `__init__`, with one parameter per line if it is too long for one line."""
    parameter_list = ["self", *parameters]
    line = f"    def __init__({', '.join(parameter_list)}) -> None:"
    return (
        line
        if len(line) <= WIDTH
        else "\n".join(["    def __init__(", *(f"        {p}," for p in parameter_list), "    ) -> None:"])
    )


def _get_activation_word(text: str) -> str:
    name = text.removeprefix("nn.").partition("(")[0]
    return {"LeakyReLU": "leaky ReLU", "SiLU": "swish", "Sigmoid": "logistic", "DarknetActivation": "activation"}.get(
        name, name
    )
