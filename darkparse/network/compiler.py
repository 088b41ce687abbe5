"""Config to Network: bind options, wire inputs, infer shapes, verify."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import lcm

from darkparse.layers import Dialect, Layer, LayerError, Layout, Shape
from darkparse.layers.net import Net
from darkparse.network.analysis.receptive import fields_of
from darkparse.network.binding import Binder
from darkparse.network.dialect_choice import DialectChoice, choose_dialect
from darkparse.network.limits import LIMITS, Limits, beyond
from darkparse.network.network import Network
from darkparse.network.node import Node
from darkparse.network.verify import verify
from darkparse.syntax import CfgError, Config, DarkparseError, Diagnostic, Note, Section, read
from darkparse.syntax.diagnostics import error
from darkparse.syntax.source import Span

Size = int | tuple[int, int]


def compile(
    cfg: str | os.PathLike[str] | Config | Network,
    *,
    size: Size | None = None,
    dialect: str | None = None,
    strict: bool = False,
    version: tuple[int, int, int] | None = None,
    reorg: str | None = None,
    limits: Limits | None = LIMITS,
) -> Network:
    """Compile a cfg to the intermediate representation, in which every shape is known.

    Args:
        cfg: a path, the name of a cfg that ships with darkparse, the text of a cfg, or a parsed Config; a Network is
            returned as it is.
        size: input size instead of the cfg's: n for n×n, or (height, width), in pixels.
        dialect: a Darknet's name, as `"pjreddie"`, or None (or `"auto"`) to choose by evidence.
        strict: turn warnings into errors.
        version: the version in the header of the weights, evidence for the dialect where the cfg holds none.
        reorg: `"reorg3d"` to read `[reorg]` as that: AlexeyAB's fork did so in early 2018 (AlexeyAB/darknet#489).
        limits: how large a network may be; None for any size.

    Returns:
        The network; warnings are in its `diagnostics`.

    Raises:
        CfgError: the cfg is wrong; the message shows every place.
        DarkparseError: the file cannot be read, or an argument is wrong.

    >>> network = darkparse.compile("yolov3-tiny", size=(320, 640))
    >>> network.nodes[16].out_shape
    Shape(c=255, h=10, w=20)
    """
    if isinstance(cfg, Network):
        if size is not None or reorg is not None or dialect not in (None, "auto", cfg.dialect.name):
            raise DarkparseError(
                f"{cfg.name} is compiled already; size=, dialect= and reorg= go with its cfg, network.config"
            )
        return cfg
    config = read(cfg)
    try:
        choice = choose_dialect(config, dialect, version=version)
    except ValueError as problem:
        raise DarkparseError(str(problem)) from None
    bound = _bind(config, choice, limits)
    if reorg is not None:
        bound = _with_reorg(bound, reorg)
    draft = _sized(bound, size)
    try:
        nodes = _infer(draft)
    except CfgError as problem:
        if size is None:
            raise
        raise _told_a_size(problem, bound, draft.net) from None
    found = (*draft.diagnostics, *(d for node in nodes for d in _remarks(node)))
    if strict and found:
        raise CfgError(tuple(replace(d, severity="error") for d in found))
    network = Network(config, choice.dialect, choice.reason, draft.net, nodes, found)
    verify(network)
    return network


@dataclass(frozen=True, slots=True)
class _Draft:
    config: Config
    dialect: Dialect
    net: Net
    layers: tuple[Layer, ...]
    diagnostics: tuple[Diagnostic, ...]
    limits: Limits | None


def _bind(config: Config, choice: DialectChoice, limits: Limits | None) -> _Draft:
    if limits is not None and len(config.sections) > limits.layers:
        raise error("limit", beyond("layers", len(config.sections), limits.layers), config.sections[limits.layers].span)
    binder = Binder(config.source, choice.dialect, limits)
    net = binder.bind(config.net, Net)
    layers = [binder.layer(section) for section in config.sections]
    found = tuple(binder.diagnostics)
    if any(d.severity == "error" for d in found) or net is None:
        raise CfgError(found)
    bound = tuple(layer for layer in layers if layer is not None)
    return _Draft(config, choice.dialect, net, bound, found, limits)


def _with_reorg(draft: _Draft, name: str) -> _Draft:
    """`[reorg]` taken for `[reorg3d]`."""
    if name not in ("reorg", "reorg3d"):
        raise DarkparseError(f"reorg must be 'reorg' or 'reorg3d', not {name!r}")
    if name == "reorg":
        return draft
    return replace(draft, layers=tuple(layer.read_as(name) for layer in draft.layers))


def _sized(draft: _Draft, size: Size | None) -> _Draft:
    return replace(draft, net=resized(draft.net, size, draft.config.net))


def resized(net: Net, size: Size | None, section: Section) -> Net:
    """`[net]` with another input size; None keeps its own, which must be there."""
    for key, value in (
        ("height", net.height),
        ("width", net.width),
        ("channels", net.channels),
        ("inputs", net.inputs),
    ):
        if value < 0:
            option = section.find(key)
            raise error("input-size", f"{key} must not be negative", option.value_span if option else section.span)
    if size is None:
        if not net.inputs:
            raise error(
                "input-size",
                "[net] gives no input size: width=, height= and channels= are needed, or inputs=",
                section.span,
            )
        return net
    if not net.has_image:
        raise DarkparseError("this network takes a vector, not an image: it has no input size to change")
    height, width = _pair(size)
    if min(height, width) < 1:
        raise DarkparseError(f"an input size must be at least 1×1, this is {height}×{width}")
    return replace(net, height=height, width=width, inputs=height * width * net.channels)


def _pair(size: Size) -> tuple[int, int]:
    match size:
        case int():
            return size, size
        case (int(height), int(width)):
            return height, width
    raise DarkparseError(f"a size is n or (height, width), in pixels, not {size!r}")


def _infer(draft: _Draft) -> tuple[Node, ...]:
    """Wire every layer to its inputs and find its output's shape, in order; the first fault ends it."""
    _check_input(draft)
    nodes: list[Node] = []
    for index, (layer, section) in enumerate(zip(draft.layers, draft.config.sections, strict=True)):
        nodes.append(_node(draft, nodes, index, layer, section))
    whole = {source for node in nodes for source in node.layer.reads_whole(node.index)}
    return tuple(replace(node, read_whole=True) if node.index in whole else node for node in nodes)


def _check_input(draft: _Draft) -> None:
    limits, net, section = draft.limits, draft.net, draft.config.net
    if limits is None:
        return
    for what, count, most in (
        ("pixels of height", net.height, limits.side),
        ("pixels of width", net.width, limits.side),
        ("values in the input", net.input_shape.size, limits.map),
    ):
        if count > most:
            option = section.find(what.rpartition(" ")[2])
            raise error("limit", beyond(what, count, most), option.value_span if option else section.span)


def _told_a_size(problem: CfgError, draft: _Draft, asked: Net) -> CfgError:
    """The error about an input size that was asked for, with one that fits;
    as it is where the cfg's own does not fit either."""
    own = _fitting(draft, None)
    if own is None:
        return problem
    axes = [axis for field in fields_of(own, draft.net.input_shape) for axis in field]
    step = lcm(*(axis.jump.numerator for axis in axes if axis.jump))
    below = (max(1, asked.height // step) * step, max(1, asked.width // step) * step)
    above = (-(-asked.height // step) * step, -(-asked.width // step) * step)
    near = next((size for size in (below, above) if _fitting(draft, size) is not None), None)
    hint = f"the cfg's own {draft.net.height}×{draft.net.width} does"
    if near is not None:
        hint = f"multiples of {step} do, such as {near[0]}×{near[1]}"
    said = f"an input of {asked.height}×{asked.width} does not fit; {hint}"
    first, *rest = problem.diagnostics
    return CfgError((replace(first, notes=(Note(said), *first.notes)), *rest))


def _fitting(draft: _Draft, size: Size | None) -> tuple[Node, ...] | None:
    """The layers for an input size; None where they do not fit together."""
    try:
        return _infer(_sized(draft, size))
    except CfgError:
        return None


def _node(draft: _Draft, nodes: list[Node], index: int, layer: Layer, section: Section) -> Node:
    sources, shares = layer.sources(index), layer.shares(index)
    for source in sources:
        if not (0 <= source < index or source == -1 == index - 1):
            raise _no_layer(section, index, source)
    if shares is not None and not 0 <= shares < index:
        raise _no_layer(section, index, shares)
    shapes = tuple(nodes[i].out_shape if i >= 0 else draft.net.input_shape for i in sources)
    try:
        out = layer.infer(_taken(layer, section, shapes), draft.dialect)
        if min(out) < 1:
            read = f", from an input of {shapes[0]}" if shapes else ""
            raise LayerError(f"nothing is left: the output would be {out.h}×{out.w}×{out.c}{read}", input=0)
        node = Node(index, layer, sources, shapes, out, section, draft.dialect, shares)
        if draft.limits is not None and (said := draft.limits.exceeded(node)) is not None:
            raise LayerError(said)
        if shares is not None:
            _check_shared(node, nodes[shares])
    except LayerError as problem:
        raise _located(problem, section, nodes, sources, shapes) from None
    return node


def _taken(layer: Layer, section: Section, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """What a layer takes its inputs for: a vector passes for a map of one position where it needs a map."""
    for position, shape in enumerate(shapes):
        if layer.needs_map and shape.layout is Layout.FLAT:
            raise LayerError(
                f"[{section.kind}] needs a map, and a vector of {shape.size} values comes in", input=position
            )
        if len(shapes) > 1 and shape.layout is Layout.CELLS:
            raise LayerError("this output lies cell by cell, and is joined with no other", input=position)
    return tuple(replace(shape, layout=Layout.MAP) if layer.needs_map else shape.as_read for shape in shapes)


def _remarks(node: Node) -> list[Diagnostic]:
    found = []
    for remark in node.layer.remarks(node.site):
        option = node.section.find(remark.option) if remark.option else None
        found.append(Diagnostic("warning", "remark", str(remark), option.value_span if option else node.section.span))
    return found


def _check_shared(node: Node, owner: Node) -> None:
    """convolutional_layer.c:545: size, channels and filters must match those of the layer shared with."""
    if owner.kind != node.kind or owner.shares is not None:
        raise LayerError(
            f"share_index names layer {owner.index}, [{owner.kind}], which has no convolution weights of its own",
            option="share_index",
        )
    mine, its = (n.layer.weight_shape(n.in_shapes[0]) for n in (node, owner))  # type: ignore[attr-defined]
    if mine != its or node.layer.normalized != owner.layer.normalized:  # type: ignore[attr-defined]
        raise LayerError(
            f"layer {owner.index} has weights {_times(its)}, this one needs {_times(mine)}", option="share_index"
        )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _no_layer(section: Section, index: int, wanted: int) -> CfgError:
    option = next((o for key in ("layers", "from", "share_index") if (o := section.find(key))), None)
    if option is None and wanted == -1:
        return error("no-layer", f"[{section.kind}] needs a layer before it", section.span)
    where = option.value_span if option else section.span
    if wanted >= index:
        said = "itself" if wanted == index else f"layer {wanted}, which comes later"
    else:
        said = f"a layer {-wanted} before the first" if wanted < 0 else f"layer {wanted}"
    return error(
        "no-layer",
        f"layer {index} [{section.kind}] refers to {said}; there are layers 0 to {index - 1} before it",
        where,
    )


def _located(
    problem: LayerError, section: Section, nodes: list[Node], sources: tuple[int, ...], shapes: tuple[Shape, ...]
) -> CfgError:
    option = section.find(problem.option) if problem.option else None
    span: Span = option.value_span if option else section.span
    notes = []
    if problem.input is not None and sources:
        source, shape = sources[problem.input], shapes[problem.input]
        if source < 0:
            notes.append(Note(f"the network's input is {shape}"))
        else:
            notes.append(
                Note(f"layer {source} [{nodes[source].section.kind}] gives {shape} here", nodes[source].section.span)
            )
    return error("shape", str(problem), span, *notes)
