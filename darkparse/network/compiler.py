"""Config to Network: bind options, wire inputs, infer shapes, verify."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from darkparse._utils.text import join_with_and
from darkparse.diagnostics import Diagnostic, Note
from darkparse.diagnostics.diagnostic import sort_diagnostics
from darkparse.diagnostics.source import Span
from darkparse.errors import CfgError, DarkparseError, cfg_error
from darkparse.layers import Dialect, Layer, LayerError, Layout, Shape
from darkparse.layers.net import Net
from darkparse.network.analysis.receptive import compute_receptive_fields
from darkparse.network.binding import Binder
from darkparse.network.compile_options import CfgLike, CompileOptions, Size
from darkparse.network.detect_dialect import DialectChoice, choose_dialect
from darkparse.network.heads import check_heads
from darkparse.network.limits import LIMITS, Limits, active_limits, format_excess
from darkparse.network.network import Network
from darkparse.network.node import Node
from darkparse.network.strict_rules import check_size_step, find_refusals
from darkparse.network.verify import verify
from darkparse.syntax import Config, Section, read


def compile(
    cfg: CfgLike,
    options: CompileOptions = CompileOptions(),
    *,
    size: Size | None = None,
    dialect: str | None = None,
    version: tuple[int, int, int] | None = None,
) -> Network:
    """Compile a cfg to the intermediate representation, in which every shape is known.

    Args:
        cfg: a path, the name of a cfg that ships with darkparse, the text of a cfg, or a parsed Config; a Network is
            returned as it is.
        options: how to compile it.
        size: overrides `options.size`: n for n×n, or (height, width), in pixels.
        dialect: overrides `options.dialect`, the name of a Darknet fork.
        version: the version in the header of the weights, evidence for the dialect where the cfg holds none.

    Returns:
        The network; warnings are in its `diagnostics`.

    Raises:
        CfgError: the cfg is wrong; the message shows every place.
        DarkparseError: the file cannot be read, or an argument is wrong.

    >>> network = darkparse.compile("yolov3-tiny", size=(320, 640))
    >>> network.nodes[16].out_shape
    Shape(c=255, h=10, w=20)
    """
    options = options.override(size=size, dialect=dialect)
    if isinstance(cfg, Network):
        if options.size is not None or options.reorg is not None or not _is_dialect_of(cfg, options.dialect):
            raise DarkparseError(
                f"{cfg.name} is compiled already; size=, dialect= and reorg= go with its cfg, network.config"
            )
        return cfg
    config = read(cfg)
    limits = active_limits.get() if options.limits is LIMITS else options.limits
    try:
        choice = choose_dialect(config, options.dialect, version=version)
    except ValueError as problem:
        raise DarkparseError(str(problem)) from None
    bound = _bind(config, choice, limits)
    if options.reorg is not None:
        bound = _replace_reorg(bound, options.reorg)
    try:
        draft = _resize_draft(bound, options.size)
    except CfgError as problem:
        raise CfgError((*bound.diagnostics, *problem.diagnostics)) from None
    nodes, fault = _infer_nodes(draft)
    valid_nodes = [node for node in nodes if fault is None or node.section.span != fault.diagnostics[0].span]
    diagnostics = sort_diagnostics(
        (*draft.diagnostics, *(d for node in valid_nodes for d in _collect_remarks(node)), *check_heads(valid_nodes))
    )
    if fault is not None:
        raise CfgError((*diagnostics, *_suggest_sizes(fault, bound, draft.net, nodes).diagnostics))
    diagnostics = sort_diagnostics((*diagnostics, *check_size_step(draft.net, config, nodes[-1].kind, choice.dialect)))
    if any(d.severity == "error" for d in diagnostics):
        raise CfgError(diagnostics)
    if options.strict and diagnostics:
        raise CfgError(tuple(replace(d, severity="error") for d in diagnostics))
    network = Network(config, choice.dialect, choice.reason, draft.net, nodes, diagnostics)
    verify(network)
    return network


def _is_dialect_of(network: Network, dialect: str | None) -> bool:
    return dialect in (None, "auto", network.dialect.name)


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
        raise cfg_error(
            "limit", format_excess("layers", len(config.sections), limits.layers), config.sections[limits.layers].span
        )
    binder = Binder(config.source, choice.dialect, limits)
    net = binder.bind(config.net, Net)
    layers = [binder.bind_layer(section) for section in config.sections]
    refusals = find_refusals(config, choice.dialect) if choice.dialect.strict_parser else ()
    diagnostics = (*binder.diagnostics, *refusals)
    if config.source.encoding != "utf-8":
        message = f"the text is {config.source.encoding.upper()}, which no Darknet reads: save it as UTF-8"
        diagnostics = (Diagnostic("warning", "encoding", message, config.net.span), *diagnostics)
    bound_layers = tuple(layer for layer in layers if layer is not None)
    if net is None or len(bound_layers) != len(layers):
        raise CfgError(diagnostics)
    return _Draft(config, choice.dialect, net, bound_layers, diagnostics, limits)


def _replace_reorg(draft: _Draft, name: str) -> _Draft:
    """`[reorg]` taken for `[reorg3d]`."""
    if name not in ("reorg", "reorg3d"):
        raise DarkparseError(f"reorg must be 'reorg' or 'reorg3d', not {name!r}")
    if name == "reorg":
        return draft
    return replace(draft, layers=tuple(layer.read_as(name) for layer in draft.layers))


def _resize_draft(draft: _Draft, size: Size | None) -> _Draft:
    return replace(draft, net=resize_net(draft.net, size, draft.config.net))


def resize_net(net: Net, size: Size | None, section: Section) -> Net:
    """`[net]` with another input size; None keeps its own, which must be there."""
    for key, value in (
        ("height", net.height),
        ("width", net.width),
        ("channels", net.channels),
        ("inputs", net.inputs),
    ):
        if value < 0:
            option = section.find(key)
            raise cfg_error("input-size", f"{key} must not be negative", option.value_span if option else section.span)
    if size is None:
        if not net.inputs:
            missing_keys = [f"{key}=" for key in ("width", "height", "channels") if not getattr(net, key)]
            description = f"{join_with_and(missing_keys)} {'is' if len(missing_keys) == 1 else 'are'} missing"
            raise cfg_error(
                "input-size", f"[net] gives no input size: {description} (or inputs=, for a vector)", section.span
            )
        return net
    if not net.has_image:
        raise DarkparseError("this network takes a vector, not an image: it has no input size to change")
    height, width = _to_pair(size)
    if min(height, width) < 1:
        raise DarkparseError(f"an input size must be at least 1×1, this is {height}×{width}")
    return replace(net, height=height, width=width, inputs=height * width * net.channels)


def _to_pair(size: Size) -> tuple[int, int]:
    match size:
        case int():
            return size, size
        case (int(height), int(width)):
            return height, width
    raise DarkparseError(f"a size is n or (height, width), in pixels, not {size!r}")


def _infer_nodes(draft: _Draft) -> tuple[tuple[Node, ...], CfgError | None]:
    """Wire every layer to its inputs and find its output's shape, in order; the first fault ends it."""
    nodes: list[Node] = []
    parameters = 0
    fault = _check_limits(draft)
    if fault is not None:
        return (), fault
    for index, (layer, section) in enumerate(zip(draft.layers, draft.config.sections, strict=True)):
        try:
            node = _make_node(draft, nodes, index, layer, section)
            if draft.limits is not None:
                parameters = _count_parameters(draft.limits, node, parameters)
        except CfgError as problem:
            fault = problem
            break
        nodes.append(node)
    read_whole = {source for node in nodes for source in node.layer.reads_whole(node.index)}
    return tuple(replace(node, read_whole=True) if node.index in read_whole else node for node in nodes), fault


def _check_limits(draft: _Draft) -> CfgError | None:
    limits, net, section = draft.limits, draft.net, draft.config.net
    if limits is None:
        return None
    for label, count, limit in (
        ("pixels of height", net.height, limits.side),
        ("pixels of width", net.width, limits.side),
        ("values in the input", net.input_shape.size, limits.map),
    ):
        if count > limit:
            option = section.find(label.rpartition(" ")[2])
            return cfg_error("limit", format_excess(label, count, limit), option.value_span if option else section.span)
    return None


def _count_parameters(limits: Limits, node: Node, before: int) -> int:
    """The parameters up to a layer. Raises CfgError beyond a limit."""
    num_elements = node.num_elements
    message = limits.check_node(node, num_elements, before + num_elements)
    if message is not None:
        raise cfg_error("limit", message, node.section.span)
    return before + num_elements


def _suggest_sizes(fault: CfgError, draft: _Draft, requested: Net, nodes: tuple[Node, ...]) -> CfgError:
    """An error about the layers' shapes with the input sizes that cure it, if there are any."""
    first, *rest = fault.diagnostics
    if first.code not in ("shape", "sizes") or not requested.has_image:
        return fault
    is_own = requested == draft.net
    own_nodes, own_fault = (nodes, fault) if is_own else _infer_nodes(draft)
    message = f"an input of {requested.height}×{requested.width} does not fit"
    step, fitting = _find_fitting_sizes(draft, requested, nodes if own_fault else own_nodes)
    if is_own and fitting:
        sizes = " or ".join(f"{width}×{height}" for height, width in fitting)
        hint = f"multiples of {step} fit as input size: {sizes} (width×height)"
    elif fitting:
        height, width = fitting[0]
        hint = f"{message}; multiples of {step} do, such as {height}×{width}"
    elif own_fault is None:
        hint = f"{message}; the cfg's own {draft.net.height}×{draft.net.width} does"
    else:
        return fault
    return CfgError((replace(first, notes=(Note(hint), *first.notes)), *rest))


def _find_fitting_sizes(draft: _Draft, requested: Net, nodes: tuple[Node, ...]) -> tuple[int, list[tuple[int, int]]]:
    """A step whose multiples fit as input size, with the nearest below and above; of layers that go furthest."""
    step = 0
    while (next_step := _compute_step(nodes, draft.net.input_shape)) > step:
        step = next_step
        below = (max(1, requested.height // step) * step, max(1, requested.width // step) * step)
        above = (-(-requested.height // step) * step, -(-requested.width // step) * step)
        results = {size: _infer_nodes(_resize_draft(draft, size)) for size in (below, above)}
        fitting = [size for size, (_, fault) in results.items() if fault is None]
        if fitting:
            return step, fitting
        nodes = max((nodes for nodes, _ in results.values()), key=len)
    return step, []


def _compute_step(nodes: tuple[Node, ...], image: Shape) -> int:
    """Pixels of the input that every layer's stride divides."""
    axes = [axis for field in compute_receptive_fields(nodes, image) for axis in field]
    return lcm(*(axis.jump.numerator for axis in axes if axis.jump))


def _make_node(draft: _Draft, nodes: list[Node], index: int, layer: Layer, section: Section) -> Node:
    sources, shared_with = layer.inputs(index), layer.shared_with(index)
    for source in sources:
        if not (0 <= source < index or source == -1 == index - 1):
            raise _make_reference_error(section, index, source)
    if shared_with is not None and not 0 <= shared_with < index:
        raise _make_reference_error(section, index, shared_with)
    shapes = tuple(nodes[i].out_shape if i >= 0 else draft.net.input_shape for i in sources)
    _check_joined_maps(nodes, index, layer, section, sources)
    try:
        out = layer.infer_shape(_convert_inputs(layer, section, shapes), draft.dialect)
        if min(out) < 1:
            read = f", from an input of {shapes[0]}" if shapes else ""
            raise LayerError(f"nothing is left: the output would be {out.h}×{out.w}×{out.c}{read}", input=0)
        node = Node(index, layer, sources, shapes, out, section, draft.dialect, shared_with)
        if shared_with is not None:
            _check_shared(node, nodes[shared_with])
    except LayerError as problem:
        raise _locate_error(problem, section, nodes, sources, shapes) from None
    return node


def _check_joined_maps(nodes: list[Node], index: int, layer: Layer, section: Section, sources: tuple[int, ...]) -> None:
    """A layer of maps behind a join of maps of two sizes, of which Darknet keeps the length: the join is at fault."""
    position = sources[layer.main_input] if layer.needs_map and sources else -1
    while position >= 0 and nodes[position].out_shape.layout is Layout.FLAT:
        node = nodes[position]
        if len({(shape.h, shape.w) for shape in node.in_shapes if shape.is_map}) > 1:
            message = f"maps of two sizes are joined, of which no map is left for layer {index} [{section.kind}]"
            problem = LayerError(message, code="sizes")
            raise _locate_error(problem, node.section, nodes, node.inputs, node.in_shapes)
        position = node.inputs[0] if node.inputs else -1


def _convert_inputs(layer: Layer, section: Section, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """What a layer takes its inputs for: a vector passes for a map of one position where it needs a map."""
    for position, shape in enumerate(shapes):
        if layer.needs_map and shape.layout is Layout.FLAT:
            raise LayerError(
                f"[{section.kind}] needs a map, and a vector of {shape.size} values comes in", input=position
            )
        if len(shapes) > 1 and shape.layout is Layout.CELLS:
            raise LayerError("this output lies cell by cell, and is joined with no other", input=position)
    return tuple(shape.as_map if layer.needs_map else shape.as_read for shape in shapes)


def _collect_remarks(node: Node) -> list[Diagnostic]:
    diagnostics = []
    for remark in node.layer.remarks(node.context):
        option = node.section.find(remark.option) if remark.option else None
        span = option.value_span if option else node.section.span
        cause = f"{node.kind} {remark.code}" if remark.code else ""
        diagnostics.append(Diagnostic("warning", remark.code or "remark", str(remark), span, cause=cause))
    return diagnostics


def _check_shared(node: Node, owner: Node) -> None:
    """convolutional_layer.c:545: size, channels and filters must match those of the layer shared with."""
    if owner.kind != node.kind or owner.shared_with is not None:
        raise LayerError(
            f"share_index names layer {owner.index}, [{owner.kind}], which has no convolution weights of its own",
            option="share_index",
        )
    own_shape, owner_shape = (n.layer.weight_shape(n.in_shapes[0]) for n in (node, owner))  # type: ignore[attr-defined]
    if own_shape != owner_shape or node.layer.normalized != owner.layer.normalized:  # type: ignore[attr-defined]
        raise LayerError(
            f"layer {owner.index} has weights {_format_shape(owner_shape)}, this one needs {_format_shape(own_shape)}",
            option="share_index",
        )


def _format_shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _make_reference_error(section: Section, index: int, target: int) -> CfgError:
    option = next((o for key in ("layers", "from", "share_index") if (o := section.find(key))), None)
    if option is None and target == -1:
        return cfg_error("no-layer", f"[{section.kind}] needs a layer before it", section.span)
    where = option.value_span if option else section.span
    if target >= index:
        description = "itself" if target == index else f"layer {target}, which comes later"
    else:
        description = f"a layer {-target} before the first" if target < 0 else f"layer {target}"
    return cfg_error(
        "no-layer",
        f"layer {index} [{section.kind}] refers to {description}; there are layers 0 to {index - 1} before it",
        where,
    )


def _locate_error(
    problem: LayerError, section: Section, nodes: list[Node], sources: tuple[int, ...], shapes: tuple[Shape, ...]
) -> CfgError:
    option = section.find(problem.option) if problem.option else None
    span: Span = option.value_span if option else section.span
    code, message = problem.code or "shape", str(problem)
    at_fault = [problem.input] if problem.input is not None else []
    if code == "sizes":
        at_fault = list(range(len(sources)))
        message += f": {join_with_and([f'layer {i} gives {x}' for i, x in zip(sources, shapes, strict=True)])}"
    notes = [_make_shape_note(nodes, sources[i], shapes[i], code) for i in at_fault if i < len(sources)]
    return cfg_error(code, message, span, *notes)


def _make_shape_note(nodes: list[Node], source: int, shape: Shape, code: str) -> Note:
    """The place that a shape comes from; the line of its channels where a head asks for others."""
    if source < 0:
        return Note(f"the network's input is {shape}")
    section = nodes[source].section
    option = (section.find("filters") or section.find("output")) if code == "head" else None
    message = f"layer {source} [{section.kind}] gives {shape} here"
    return Note(message, option.value_span if option else section.span)
