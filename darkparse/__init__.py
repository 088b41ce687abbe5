"""darkparse: a compiler for original Darknet `.cfg` files.

>>> import darkparse
>>> network = darkparse.compile("yolov3-tiny")
>>> network.nodes[0].out_shape
Shape(c=16, h=416, w=416)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkparse._version import __version__
from darkparse.lazy import lazy

if TYPE_CHECKING:
    from darkparse.detect import Detection, Detector
    from darkparse.export import to_compiled, to_onnx, to_program, to_source, to_torchscript
    from darkparse.model import Darknet, build, fuse, load, load_weights, save, save_weights
    from darkparse.network import Network, Node, compile, edit, from_yaml, to_cfg, to_yaml
    from darkparse.syntax import CfgError, Config, DarkparseError, Diagnostic, read
    from darkparse.views import Diagram, draw, explain
    from darkparse.weights import WeightsError, diff_weights, inspect_weights

__all__ = [
    "CfgError",
    "Config",
    "Darknet",
    "DarkparseError",
    "Detection",
    "Detector",
    "Diagnostic",
    "Diagram",
    "Network",
    "Node",
    "WeightsError",
    "__version__",
    "build",
    "compile",
    "diff_weights",
    "draw",
    "edit",
    "explain",
    "from_yaml",
    "fuse",
    "inspect_weights",
    "load",
    "load_weights",
    "read",
    "save",
    "save_weights",
    "to_cfg",
    "to_compiled",
    "to_onnx",
    "to_program",
    "to_source",
    "to_torchscript",
    "to_yaml",
]


__getattr__ = lazy(
    __name__,
    {
        "syntax": ("CfgError", "Config", "DarkparseError", "Diagnostic", "read"),
        "network": ("Network", "Node", "compile", "edit", "from_yaml", "to_cfg", "to_yaml"),
        "views": ("Diagram", "draw", "explain"),
        "weights": ("WeightsError", "diff_weights", "inspect_weights"),
        "detect": ("Detection", "Detector"),
        "export": ("to_compiled", "to_onnx", "to_program", "to_source", "to_torchscript"),
        "losses": (),
        "train": (),
        "model": ("Darknet", "build", "fuse", "load", "load_weights", "save", "save_weights"),
    },
)


def __dir__() -> list[str]:
    return __all__
