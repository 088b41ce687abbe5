"""Reading a network from YAML."""

from __future__ import annotations

import os
from pathlib import Path

from darkparse.diagnostics import Source
from darkparse.network.compiler import compile
from darkparse.network.network import Network
from darkparse.syntax.files import YAML_SUFFIXES
from darkparse.syntax.reader import load_source
from darkparse.syntax.yaml_reader import parse_yaml


def from_yaml(text: str | os.PathLike[str]) -> Network:
    """Compile a network from the YAML that `to_yaml` writes; `compile` takes it too.

    Inputs, shapes, parameters and multiply-adds are recomputed from the options, so an option can be edited alone.

    Args:
        text: YAML, or the path of a file.

    Returns:
        The compiled network.

    Raises:
        CfgError: The text is not the YAML of a network, or the network in it is wrong; the message shows the place.
        DarkparseError: The file cannot be read.

    >>> network = darkparse.compile("yolov3-tiny")
    >>> darkparse.from_yaml(darkparse.to_yaml(network)).cost == network.cost
    True
    """
    is_path = isinstance(text, os.PathLike) or ("\n" not in text and text.endswith(YAML_SUFFIXES))
    is_path = is_path or os.path.lexists(text)
    return compile(parse_yaml(load_source(Path(text)) if is_path else Source("<text>", str(text))))
