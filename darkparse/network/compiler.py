"""Compiler from a cfg to the intermediate representation, as a list of passes over one draft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from darkparse.diagnostics.diagnostic import sort_diagnostics
from darkparse.errors import CfgError, DarkparseError
from darkparse.network.compile_options import CfgLike, CompileOptions, Size
from darkparse.network.detect_dialect import choose_dialect
from darkparse.network.limits import LIMITS, active_limits
from darkparse.network.network import Network
from darkparse.network.passes.binding import bind_values, replace_reorg
from darkparse.network.passes.checks import check_nodes, raise_errors
from darkparse.network.passes.draft import Draft
from darkparse.network.passes.inference import infer_shapes
from darkparse.network.passes.input_size import set_input_size
from darkparse.network.passes.options import select_options
from darkparse.network.passes.size_search import suggest_sizes
from darkparse.network.passes.slip_repair import blame_slips
from darkparse.network.passes.slips import warn_about_slips
from darkparse.network.passes.strict_rules import apply_strict_rules
from darkparse.network.passes.wiring import wire_layers
from darkparse.network.verify import verify
from darkparse.syntax import read

PASSES: tuple[Callable[[Draft], None], ...] = (
    select_options,  # class of each section, and the option that counts for each key
    warn_about_slips,  # lines that a lenient parser ignores
    apply_strict_rules,  # places where a strict parser exits
    bind_values,  # options to typed layers; raises all errors of the file up to here
    replace_reorg,
    set_input_size,
    wire_layers,  # references to indices
    infer_shapes,  # layers to nodes; the first error in wiring or shapes ends the pass
    check_nodes,  # warnings about nodes
    blame_slips,  # slips in the text that explain an error
    suggest_sizes,  # hints for an error about shapes
    raise_errors,
)


def compile(
    cfg: CfgLike,
    options: CompileOptions = CompileOptions(),
    *,
    size: Size | None = None,
    dialect: str | None = None,
    version: tuple[int, int, int] | None = None,
) -> Network:
    """Compile a cfg to the intermediate representation with all shapes.

    Args:
        cfg: Path, name of a cfg that ships with darkparse, text of a cfg, or parsed Config; a Network is returned
            unchanged.
        options: Options for compiling.
        size: Overrides `options.size`: n for n×n, or (height, width), in pixels.
        dialect: Overrides `options.dialect`, the name of a Darknet fork.
        version: Version in the weights header, which selects the dialect if the cfg has no evidence.

    Returns:
        The network; `diagnostics` contains the warnings.

    Raises:
        CfgError: The cfg is invalid; the message shows all locations.
        DarkparseError: The file cannot be read, or an argument is invalid.

    >>> network = darkparse.compile("yolov3-tiny", size=(320, 640))
    >>> network.nodes[16].out_shape
    Shape(c=255, h=10, w=20)
    """
    options = options.override(size=size, dialect=dialect)
    if isinstance(cfg, Network):
        if options.size is not None or options.reorg is not None or not _is_dialect_of(cfg, options.dialect):
            raise DarkparseError(
                f"{cfg.name} is already compiled; pass its cfg (network.config) to use size=, dialect= or reorg="
            )
        return cfg
    config = read(cfg)
    limits = active_limits.get() if options.limits is LIMITS else options.limits
    try:
        choice = choose_dialect(config, options.dialect, version=version)
    except ValueError as problem:
        raise DarkparseError(str(problem)) from None
    draft = Draft(config, choice.dialect, limits, options.size, options.reorg)
    for run in PASSES:
        run(draft)
    diagnostics = sort_diagnostics(draft.diagnostics)
    if options.strict and diagnostics:
        raise CfgError(tuple(replace(d, severity="error") for d in diagnostics))
    network = Network(config, choice.dialect, choice.reason, draft.net, tuple(draft.nodes), diagnostics)
    verify(network)
    return network


def _is_dialect_of(network: Network, dialect: str | None) -> bool:
    return dialect in (None, "auto", network.dialect.name)
