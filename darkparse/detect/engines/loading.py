"""Engines from modules and from arrays; engine modules are imported on demand."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from darkparse.detect.engines.engine import Engine
from darkparse.errors import DarkparseError

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


def load_engine(
    name: str,
    loaded: LoadedArrays,
    options: ReadOptions,
    *,
    dtype: str | None,
    fold: bool,
    use_class_map: bool,
    is_fixed: bool = True,
) -> Engine:
    """Create an engine from a network and its arrays.

    Args:
        name: Name of the engine.
        loaded: The network and its arrays.
        options: The device; its dtype is ignored.
        dtype: Name of the dtype to compute in; None for that of the arrays on torch, float32 on other engines.
        fold: See `Detector`.
        use_class_map: See `Detector`.
        is_fixed: Whether no other engine may be used. If one may, torch runs what a graph cannot, such as a layer
            without an emitter.

    Raises:
        DarkparseError: The processor does not compute in the dtype, or the network cannot be run by the engine.
    """
    if name == "torch":
        import torch

        from darkparse.detect.engines.torch_engine import TorchEngine
        from darkparse.model import load
        from darkparse.model.device import choose_device

        torch_dtype = None if dtype is None else getattr(torch, dtype)
        # Without folding, the engine converts the module, because it keeps its last layers in float32.
        options = replace(options, device=choose_device(options.device), dtype=torch_dtype if fold else None)
        model = load(loaded.network, loaded, options, optimize=fold)
        return TorchEngine(model, fold=fold, use_class_map=use_class_map, dtype=torch_dtype)
    from darkparse.detect.engines.graph_engine import GraphEngine

    try:
        return GraphEngine(
            name,
            loaded.network,
            loaded.arrays,
            dtype=dtype or "float32",
            fold=fold,
            use_class_map=use_class_map,
            release=loaded.file.release_pages,
        )
    except DarkparseError:
        if is_fixed or not find_spec("torch"):
            raise
    return load_engine("torch", loaded, options, dtype=dtype, fold=fold, use_class_map=use_class_map)
