"""All non-public APIs of darkparse that the snapshots use, so that renames affect only this file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

import darkparse
from darkparse.layers import DIALECTS
from darkparse.network.dynamic_axes import DynamicAxes
from darkparse.network.suppression import get_suppression
from darkparse.onnx.model import NetworkGraph
from darkparse.onnx.parameters import get_module_arrays
from darkparse.views.text.table import table

DIALECT_NAMES = tuple(DIALECTS)
LARGE_TENSOR = 4096
"""Size in bytes above which the values of an initializer are ignored."""


def table_json(network: darkparse.Network) -> str:
    """Return the rows of `darkparse show` as JSON."""
    return json.dumps([asdict(row) for row in table(network)])


def is_stateful(network: darkparse.Network) -> bool:
    """Return whether an output depends on previous inputs."""
    return any(node.layer.has_state for node in network.nodes)


def onnx_parts(model: darkparse.Darknet, heads: str) -> Iterator[bytes]:
    """Yield the operators, ports and initializers of a module's ONNX graph, without writing a file."""
    settings = darkparse.DetectionSettings()
    made = NetworkGraph(model.network, get_module_arrays(model), dynamic_axes=DynamicAxes(batch=True, size=False))
    if heads == "raw":
        made.add_raw_outputs()
    elif heads == "decoded":
        made.add_decoded_output(settings.hierarchy)
    else:
        made.add_nms_output(
            settings.hierarchy, settings.threshold, settings.nms, get_suppression(model.network).exponent
        )
    yield made.graph.encode()
    for initializer in made.graph.initializers.values():
        yield initializer.encode_header()
        if initializer.nbytes <= LARGE_TENSOR:
            yield from (np.asarray(piece).tobytes() for piece in initializer.iter_chunks())
