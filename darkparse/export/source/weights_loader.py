"""Weight loading in an emitted file: parameter names in Darknet's order, and a reader for `.weights` files."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from darkparse.export.source.calls import WIDTH
from darkparse.layers import TensorSpec
from darkparse.network import Network
from darkparse.weights import compute_layout

MATRIX = 2
"""Number of dimensions of a matrix."""

RENAMING = '''
def swap_names(model: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Hook: a state_dict has darkparse's keys, `layers.0.conv.weight`."""
    own = (name for name, part in model.named_modules() if isinstance(part, Layer))
    for name, number in zip(own, LAYERS.split(), strict=True):
        old, new = f"{prefix}{name}.", f"{prefix}layers.{number}."
        if any(key.startswith(new) for key in state):
            old, new = new, old
        for key in [key for key in state if key.startswith(old)]:
            state[new + key.removeprefix(old)] = state.pop(key)
'''

LOADING = '''
@torch.no_grad()
def load_darknet_weights(model: nn.Module, path: str) -> None:
    """Load a `.weights` file: a header, then the layers' tensors in Darknet's order."""
    data = bytearray(Path(path).read_bytes())
    if len(data) < 16:
        raise ValueError(f"{{path}}: got {{len(data)}} bytes; expected at least 16")
    major, minor = struct.unpack_from("<2i", data)
    header = {header}
    state = model.state_dict()
{stored}
    counts = [tensor.numel() for tensor in stored]
    need = header + 4 * sum(counts)
    if len(data) != need:
        raise ValueError(f"{{path}}: wrong size, got {{len(data)}} bytes; expected {{need}}")
    values = torch.frombuffer(data, dtype=torch.float32)[header // 4 :]
    for {names} in zip(stored, {values}, strict=True):
{copy}
'''

RULE = """
    names = [f"layers.{i}.{tail}" for i in LAYERS.split() for tail in ORDER.split()]
    stored = [state[name] for name in names if name in state]
"""

LISTED = """
    entries = [line.split() for line in STORED.split("\\n") if line.strip()]
    stored = [state[name][: int(rows)] for name, rows, _ in entries]
    turned = [files for _, _, files in entries]
"""


def format_loader(network: Network, *, is_flat: bool) -> str:
    """Return the code after the classes: Darknet's order, the renaming hook, and `load_darknet_weights`.

    Args:
        network: Network to load weights for.
        is_flat: Whether the file has one line per layer, so that no renaming is necessary.
    """
    nodes = [node for node in network.nodes if node.tensors]
    if not nodes:
        return ""
    order = find_file_order(network)
    constants = []
    if order is not None or not is_flat:
        constants.append(
            _format_constant(
                "LAYERS",
                [str(node.index) for node in nodes],
                "Darknet's numbers of the layers with parameters, and the order of a layer's tensors in a file.",
            )
        )
    if order is not None:
        constants.append(_format_constant("ORDER", order))
    else:
        rows = [
            f"{e.name} {e.tensor.rows or e.tensor.shape[0]} {_get_transposition(e.tensor)}"
            for e in compute_layout(network)
        ]
        comment = "Tensors of a `.weights` file: name, rows, and which files store the matrix transposed."
        constants.append("\n".join([f"# {comment}", 'STORED = """', *(f"    {row}" for row in rows), '"""']))
    load_function = LOADING.format(
        header=_format_header_size(network),
        stored=(LISTED if order is None else RULE).strip("\n"),
        **_format_copy(network, order is None),
    )
    functions = [load_function] if is_flat else [RENAMING, load_function]
    return "\n\n\n".join(["\n".join(constants), *(text.strip("\n") for text in functions)])


def _format_header_size(network: Network) -> str:
    limit = network.dialect.seen_limit
    return "20 if major * 10 + minor >= 2" + (f" and max(major, minor) < {limit}" if limit else "") + " else 16"


def _get_transposition(tensor: TensorSpec) -> str:
    """Return which files store the matrix transposed: `all`, `new` (after version 1000) or `-` (none)."""
    # parser.c, load_weights_upto: connected layers are stored as (inputs, outputs) after version 1000.
    if tensor.transposed:
        return "all"
    return "new" if tensor.transposable else "-"


def _format_copy(network: Network, is_listed: bool) -> dict[str, str]:
    """Return the parts of the loop that copies numbers to tensors."""
    lines = []
    if is_listed:
        lines += ['if files == "all" or (files == "new" and max(major, minor) > 1000):']
    elif any(tensor.transposable for node in network.nodes for tensor in node.tensors):
        lines += ["if tensor.dim() == 2 and max(major, minor) > 1000:"]
    if lines:
        lines += ["    part = part.view(-1, tensor.shape[0]).T"]
    lines += [f"tensor.copy_(part.{'reshape' if lines else 'view'}(tensor.shape))"]
    names = "tensor, part, files" if is_listed else "tensor, part"
    values = "values.split(counts), turned" if is_listed else "values.split(counts)"
    return {"names": names, "values": values, "copy": textwrap.indent("\n".join(lines), "        ")}


def _format_constant(name: str, items: Iterable[str], comment: str = "") -> str:
    """Format a constant with a space-separated list, on one line if it fits."""
    comment_lines = [f"# {comment}"] if comment else []
    text = " ".join(items)
    if len(f'{name} = "{text}"') <= WIDTH:
        return "\n".join([*comment_lines, f'{name} = "{text}"'])
    lines = textwrap.wrap(text, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([*comment_lines, f'{name} = """', *lines, '"""'])


def find_file_order(network: Network) -> tuple[str, ...] | None:
    """Return an order of tensor names that is valid for every layer; None if the file has no such order."""
    if (
        len({tensor.transposable for node in network.nodes for tensor in node.tensors if len(tensor.shape) == MATRIX})
        > 1
    ):
        return None  # The shape does not determine which matrices are transposed in new files.
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for node in network.nodes:
        tails = [tensor.path for tensor in node.tensors]
        if node.tensors and (
            node.layer.dontload or any(t.rows is not None or t.transposed or not t.stored for t in node.tensors)
        ):
            return None
        for position, tail in enumerate(tails):
            sorter.add(tail, *tails[:position])
    try:
        return tuple(sorter.static_order())
    except CycleError:
        return None
