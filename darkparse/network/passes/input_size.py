"""Pass 5: the requested input size."""

from __future__ import annotations

from dataclasses import replace

from darkparse._utils.text import join_with_and
from darkparse.errors import CfgError, DarkparseError, cfg_error
from darkparse.layers.net import Net
from darkparse.network.compile_options import Size
from darkparse.network.passes.draft import Draft
from darkparse.syntax import Section


def set_input_size(draft: Draft) -> None:
    """Set `[net]` with the requested input size."""
    try:
        draft.net = resize_net(draft.cfg_net, draft.size, draft.config.net)
    except CfgError as problem:
        raise draft.make_error(*problem.diagnostics) from None


def resize_net(net: Net, size: Size | None, section: Section) -> Net:
    """Return `[net]` with another input size; None keeps the cfg's.

    Raises:
        CfgError: The size in the cfg is negative or missing.
        DarkparseError: The size is invalid, or the network does not take an image.
    """
    for key in ("height", "width", "channels", "inputs"):
        if getattr(net, key) < 0:
            raise cfg_error("input-size", f"{key} must not be negative, got {getattr(net, key)}", section.locate(key))
    if size is None:
        _check_input(net, section)
        return net
    if not net.has_image:
        raise DarkparseError("cannot change the input size: the network takes a vector, not an image")
    height, width = _to_pair(size)
    if min(height, width) < 1:
        raise DarkparseError(f"input size must be at least 1×1, got {height}×{width}")
    return replace(net, height=height, width=width, inputs=height * width * net.channels)


def _check_input(net: Net, section: Section) -> None:
    if net.inputs:
        return
    missing = [f"{key}=" for key in ("width", "height", "channels") if not getattr(net, key)]
    verb = "is" if len(missing) == 1 else "are"
    message = f"[net] does not define an input size: {join_with_and(missing)} {verb} missing (or inputs=, for a vector)"
    raise cfg_error("input-size", message, section.span)


def _to_pair(size: Size) -> tuple[int, int]:
    match size:
        case int():
            return size, size
        case (int(height), int(width)):
            return height, width
    raise DarkparseError(f"invalid size {size!r}; expected n or (height, width), in pixels")
