"""Pass 7: output shapes and nodes."""

from __future__ import annotations

from dataclasses import replace

from darkparse._utils.text import join_with_and
from darkparse.diagnostics import Note
from darkparse.errors import CfgError, cfg_error
from darkparse.layers import Dialect, Layer, LayerError, Layout, Shape
from darkparse.layers.capabilities import Joining
from darkparse.network.limits import Limits, format_excess
from darkparse.network.node import Node
from darkparse.network.passes.draft import Draft
from darkparse.syntax import Section


def infer_shapes(draft: Draft) -> None:
    """Create the node of each wired layer; the first error ends the pass."""
    try:
        if draft.limits is not None:
            _check_input(draft, draft.limits)
        parameters = 0
        for index in range(len(draft.wiring)):
            node = _make_node(draft, index)
            if draft.limits is not None:
                parameters = _count_parameters(draft.limits, node, parameters)
            draft.nodes.append(node)
    except CfgError as fault:
        draft.fault = fault
    joins = ((node.index, node.layer) for node in draft.nodes if isinstance(node.layer, Joining))
    read_whole = {source for index, layer in joins for source in layer.reads_whole(index)}
    draft.nodes = [replace(node, read_whole=True) if node.index in read_whole else node for node in draft.nodes]


def _check_input(draft: Draft, limits: Limits) -> None:
    net, section = draft.net, draft.config.net
    for label, key, count, limit in (
        ("pixels of height", "height", net.height, limits.side),
        ("pixels of width", "width", net.width, limits.side),
        ("values in the input", None, net.input_shape.size, limits.map),
    ):
        if count > limit:
            raise cfg_error("limit", format_excess(label, count, limit), section.locate(key))


def _count_parameters(limits: Limits, node: Node, before: int) -> int:
    """Return the number of parameters up to a layer. Raises CfgError if it exceeds a limit."""
    num_elements = node.num_elements
    message = limits.check_node(node, num_elements, before + num_elements)
    if message is not None:
        raise cfg_error("limit", message, node.section.span)
    return before + num_elements


def _make_node(draft: Draft, index: int) -> Node:
    layer, section, wiring = draft.layers[index], draft.config.sections[index], draft.wiring[index]
    shapes = tuple(draft.nodes[i].out_shape if i >= 0 else draft.net.input_shape for i in wiring.inputs)
    if layer.needs_map and wiring.inputs:
        _check_joined_maps(draft, index, wiring.inputs[layer.main_input])
    try:
        shape = _infer_shape(layer, section, shapes, draft.dialect)
        node = Node(index, layer, wiring.inputs, shapes, shape, section, draft.dialect, wiring.shared_with)
        if wiring.shared_with is not None:
            _check_shared(node, draft.nodes[wiring.shared_with])
    except LayerError as problem:
        inputs = tuple(zip(wiring.inputs, shapes, strict=True))
        raise _locate_error(problem, section, inputs, draft.nodes) from None
    return node


def _infer_shape(layer: Layer, section: Section, shapes: tuple[Shape, ...], dialect: Dialect) -> Shape:
    shape = layer.infer_shape(_convert_inputs(layer, section, shapes), dialect)
    if min(shape) < 1:
        source = f", from an input of {shapes[0]}" if shapes else ""
        raise LayerError(f"output would be empty ({shape.h}×{shape.w}×{shape.c}){source}", input=0)
    return shape


def _convert_inputs(layer: Layer, section: Section, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Return the inputs as the layer reads them: a vector counts as a 1×1 map if the layer needs a map."""
    for position, shape in enumerate(shapes):
        if layer.needs_map and shape.layout is Layout.FLAT:
            message = f"[{section.kind}] requires a map, got a vector of {shape.size} values"
            raise LayerError(message, input=position)
        if len(shapes) > 1 and shape.layout is Layout.CELLS:
            raise LayerError("the output of this head is ordered cell by cell and cannot be joined", input=position)
    return tuple(shape.as_map if layer.needs_map else shape.as_read for shape in shapes)


def _check_joined_maps(draft: Draft, index: int, source: int) -> None:
    """Report the join if a layer needs a map but reads a join that Darknet reduces to a vector."""
    while source >= 0 and draft.nodes[source].out_shape.layout is Layout.FLAT:
        join, kind = draft.nodes[source], draft.config.sections[index].kind
        inputs = tuple(zip(join.inputs, join.in_shapes, strict=True))
        lost = f"layer {index} [{kind}] requires a map"
        if len({(shape.h, shape.w) for shape in join.in_shapes if shape.is_map}) > 1:
            message = f"maps of different sizes are joined into a vector, but {lost}"
            raise _locate_error(LayerError(message, code="sizes"), join.section, inputs, draft.nodes)
        if len({shape.is_map for shape in join.in_shapes}) > 1:
            message = f"a map and a vector are joined into a vector, but {lost}: {_describe_inputs(inputs)}"
            notes = [_make_shape_note(draft.nodes, *joined, "shape") for joined in inputs]
            raise cfg_error("shape", message, join.section.span, *notes)
        source = join.inputs[0] if join.inputs else -1


def _check_shared(node: Node, owner: Node) -> None:
    """Check that size, channels and filters match the layer whose weights are shared (convolutional_layer.c:545)."""
    if owner.kind != node.kind or owner.shared_with is not None:
        raise LayerError(
            f"share_index refers to layer {owner.index} [{owner.kind}], which does not have its own convolution "
            f"weights",
            option="share_index",
        )
    own_shape, owner_shape = (n.layer.weight_shape(n.in_shapes[0]) for n in (node, owner))  # type: ignore[attr-defined]
    if own_shape != owner_shape or node.layer.normalized != owner.layer.normalized:  # type: ignore[attr-defined]
        raise LayerError(
            f"shared weights of layer {owner.index} do not fit, got {_format_shape(owner_shape)}; expected "
            f"{_format_shape(own_shape)}",
            option="share_index",
        )


def _format_shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _describe_inputs(inputs: tuple[tuple[int, Shape], ...]) -> str:
    values = (shape if shape.is_map else f"{shape} values" for _, shape in inputs)
    return join_with_and([f"layer {source} outputs {value}" for (source, _), value in zip(inputs, values, strict=True)])


def _locate_error(
    problem: LayerError, section: Section, inputs: tuple[tuple[int, Shape], ...], nodes: list[Node]
) -> CfgError:
    """Return a layer's error with its location and the locations of the wrong inputs."""
    code, message = problem.code or "shape", str(problem)
    at_fault = inputs[problem.input :][:1] if problem.input is not None else ()
    if code == "sizes":
        at_fault = inputs
        message += f": {_describe_inputs(inputs)}"
    notes = [_make_shape_note(nodes, source, shape, code) for source, shape in at_fault]
    return cfg_error(code, message, section.locate(problem.option), *notes)


def _make_shape_note(nodes: list[Node], source: int, shape: Shape, code: str) -> Note:
    """Return a note with the origin of a shape; for an error of a head, the line that sets the channels."""
    if source < 0:
        return Note(f"the network's input is {shape}")
    section = nodes[source].section
    key = next((key for key in ("filters", "output") if code == "head" and section.find(key)), None)
    return Note(f"layer {source} [{section.kind}] outputs {shape}", section.locate(key))
