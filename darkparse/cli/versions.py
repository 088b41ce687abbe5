"""Versions of installed packages, without importing them."""

from __future__ import annotations

import platform
from importlib import metadata

from darkparse._version import __version__

PACKAGES = (
    "torch",
    "lark",
    "numpy",
    "pyyaml",
    "click",
    "rich",
    "graphviz",
    "pillow",
    "onnx",
    "onnxruntime",
    "safetensors",
    "resvg-py",
    "typst",
)


def versions() -> str:
    """Return the versions of darkparse and its dependencies, one per line."""
    lines = [
        f"darkparse {__version__}",
        f"python {platform.python_version()} ({platform.system()} {platform.machine()})",
    ]
    for name in PACKAGES:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)
