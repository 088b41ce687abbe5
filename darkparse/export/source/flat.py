"""Source code of a network with one line per layer."""

from __future__ import annotations

from darkparse.export.source import calls
from darkparse.export.source.expressions import LayerExpressions
from darkparse.network import Network

RUNNING = '''
    def add(self, layer: nn.Module, *reads: int) -> None:
        """Append a layer that reads the previous layer, or layers given by number; -1 is the input."""
        self.layers.append(layer)
        self.reads.append(reads or (len(self.layers) - 2,))

    def forward(self, x: Tensor) -> {result}:
        values = {{-1: x}}
        last = {{i: n for n, reads in enumerate(self.reads) for i in reads}}
        for number, layer in enumerate(self.layers):
            reads = self.reads[number]
            values[number] = layer(*(values[i] for i in reads){owner})
            for i in set(reads) - {outputs}:
                if last[i] == number:
                    del values[i]
        return {returned}
'''

SHARING = '''
    def owner(self, number: int) -> tuple[nn.Module, ...]:
        """The layer whose weights a layer uses instead of its own."""
        return (self.layers[SHARES[number]],) if number in SHARES else ()
'''


def format_flat_class(network: Network, layer_expressions: LayerExpressions, name: str) -> str:
    """Return the source of the network class, whose layers have Darknet's indices."""
    shares = {node.index: node.shared_with for node in network.nodes if node.shared_with is not None}
    lines = [
        f"class {name}(nn.Module):",
        f'    """{len(network.nodes)} layers as Darknet numbers them, input {network.input_shape}."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        "        self.layers = nn.ModuleList()",
        "        self.reads: list[tuple[int, ...]] = []",
    ]
    for node in network.nodes:
        call = layer_expressions.module(node)
        reads = node.inputs or (-1,)
        parts = [calls.expressions(call, (repr(slot.value) for slot in call.slots()))]
        parts += [] if reads == (node.index - 1,) else map(str, reads)
        add = calls.lines(calls.Nested("self.add", tuple(parts)), 8)
        comment = f"  # {node.index}: {node.out_shape}"
        lines += [add[0] + comment] if len(add) == 1 and len(add[0] + comment) <= calls.WIDTH else add
    outputs = list(network.outputs)
    result = "Tensor" if len(outputs) == 1 else f"tuple[{', '.join(['Tensor'] * len(outputs))}]"
    running_text = RUNNING.format(
        result=result,
        owner=", *self.owner(number)" if shares else "",
        outputs=f"{{{', '.join(map(str, outputs))}}}",
        returned=", ".join(f"values[{i}]" for i in outputs),
    )
    text = "\n".join([*lines, running_text.rstrip("\n")])
    if not shares:
        return text
    table = ", ".join(f"{index}: {owner}" for index, owner in shares.items())
    return f"SHARES = {{{table}}}\n\n\n{text}\n{SHARING.rstrip(chr(10))}"
