"""Config to Network, and what can be asked of a Network."""

from darkparse.network.analysis.bottleneck import Bottleneck
from darkparse.network.analysis.reduction import Reduction, Reductions
from darkparse.network.compiler import compile
from darkparse.network.network import Network
from darkparse.network.node import Cost, Node
from darkparse.network.writing.cfg import to_cfg
from darkparse.network.writing.editing import edit
from darkparse.network.writing.yaml import from_yaml, to_yaml

__all__ = [
    "Bottleneck",
    "Cost",
    "Network",
    "Node",
    "Reduction",
    "Reductions",
    "compile",
    "edit",
    "from_yaml",
    "to_cfg",
    "to_yaml",
]
