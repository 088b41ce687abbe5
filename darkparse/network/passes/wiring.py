"""Pass 6: references between layers."""

from __future__ import annotations

from darkparse.errors import CfgError, cfg_error
from darkparse.layers.capabilities import Convolution
from darkparse.network.passes.draft import Draft, Wiring
from darkparse.syntax import Section

REFERENCE_KEYS = ("layers", "from", "share_index")


def wire_layers(draft: Draft) -> None:
    """Resolve references to absolute indices; the first reference to a missing layer ends the pass."""
    for index, layer in enumerate(draft.layers):
        shared_with = layer.shared_with(index) if isinstance(layer, Convolution) else None
        wiring = Wiring(layer.inputs(index), shared_with)
        target = _find_missing(wiring, index)
        if target is not None:
            draft.fault = _make_error(draft.config.sections[index], index, target)
            return
        draft.wiring.append(wiring)


def _find_missing(wiring: Wiring, index: int) -> int | None:
    """Return the first reference that does not lead to an earlier layer; the first layer reads the network's input."""
    for source in wiring.inputs:
        if not (0 <= source < index or source == -1 == index - 1):
            return source
    owner = wiring.shared_with
    return owner if owner is not None and not 0 <= owner < index else None


def _make_error(section: Section, index: int, target: int) -> CfgError:
    key = next((key for key in REFERENCE_KEYS if section.find(key)), None)
    if key is None and target == -1:
        return cfg_error("no-layer", f"[{section.kind}] requires a layer before it", section.span)
    if target == index:
        description = "itself"
    else:
        description = f"layer {target}, which {'is not before it' if target > index else 'does not exist'}"
    expected = f"expected an earlier layer, 0 to {index - 1}" if index else "it is the first layer"
    message = f"layer {index} [{section.kind}] refers to {description}; {expected}"
    return cfg_error("no-layer", message, section.locate(key))
