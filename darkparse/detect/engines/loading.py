"""Engines from modules and from arrays; engine modules are imported on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkparse.detect.engines.engine import Engine

if TYPE_CHECKING:
    from darkparse.model import Darknet
    from darkparse.weights import LoadedArrays, ReadOptions


def as_engine(model: Darknet | Engine, *, fold: bool, use_class_map: bool) -> Engine:
    """Return an engine unchanged, and a module wrapped in an engine.

    Raises:
        NoWeightsError: The module has no weights.
    """
    if isinstance(model, Engine):
        return model
    from darkparse.detect.engines.torch_engine import TorchEngine

    return TorchEngine(model, fold=fold, use_class_map=use_class_map)


def load_engine(name: str, loaded: LoadedArrays, options: ReadOptions, *, fold: bool, use_class_map: bool) -> Engine:
    """Create an engine from a network and its arrays."""
    if name == "torch":
        from darkparse.model import load
        from darkparse.model.device import choose_device

        options = options.override(device=choose_device(options.device))
        model = load(loaded.network, loaded, options, optimize=fold)
        return as_engine(model, fold=fold, use_class_map=use_class_map)
    from darkparse.detect.engines.graph_engine import GraphEngine

    return GraphEngine(name, loaded.network, loaded.arrays, fold=fold, use_class_map=use_class_map)
