"""State that the compiler's passes work on."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from darkparse.diagnostics import Diagnostic, Span
from darkparse.errors import CfgError
from darkparse.layers import Dialect, Layer
from darkparse.layers.net import Net
from darkparse.network.compile_options import Size
from darkparse.network.limits import Limits
from darkparse.network.node import Node
from darkparse.syntax import Config

if TYPE_CHECKING:
    from darkparse.network.passes.options import Selection


@dataclass(slots=True)
class Draft:
    """Network during compilation; each pass reads the results of earlier passes and adds its own."""

    config: Config
    dialect: Dialect
    limits: Limits | None = None
    size: Size | None = None
    reorg: str | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    """Errors and warnings of all passes."""
    selections: list[Selection | None] = field(default_factory=list)
    """Selections of `[net]` and each section; None for a section of an unknown kind."""
    cfg_net: Net = field(init=False)
    """`[net]` with the cfg's input size."""
    net: Net = field(init=False)
    """`[net]` with the requested input size."""
    layers: list[Layer] = field(default_factory=list)
    wiring: list[Wiring] = field(default_factory=list)
    """References of each layer, up to the first one that refers to a missing layer."""
    nodes: list[Node] = field(default_factory=list)
    """Node of each layer, up to the first error."""
    fault: CfgError | None = None
    """Error that stopped wiring or inference."""

    def add(self, severity: str, code: str, message: str, span: Span) -> None:
        """Add an error or a warning."""
        self.diagnostics.append(Diagnostic(severity, code, message, span))  # type: ignore[arg-type]

    def make_error(self, *more: Diagnostic) -> CfgError:
        """Return the exception with all diagnostics of the draft."""
        return CfgError((*self.diagnostics, *more))

    def with_net(self, net: Net) -> Draft:
        """Return a copy with another `[net]`, to be wired again."""
        draft = copy(self)
        draft.net, draft.wiring, draft.nodes, draft.fault = net, [], [], None
        return draft


@dataclass(frozen=True, slots=True)
class Wiring:
    """Absolute indices of the layers that a layer refers to; -1 is the network's input."""

    inputs: tuple[int, ...]
    shared_with: int | None
    """Layer whose tensors are shared; None without sharing."""
