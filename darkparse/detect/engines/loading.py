"""Engines from modules and from files. The engines themselves are imported when one is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from darkparse.detect.engines.engine import Engine
from darkparse.errors import NoWeightsError
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.weights import ReadOptions, WeightsSource

if TYPE_CHECKING:
    from darkparse.model import Darknet


def as_engine(model: Darknet | Engine, *, fold: bool, use_class_map: bool) -> Engine:
    """Return an engine as it is, and a module in an engine.

    Raises:
        NoWeightsError: the module has no weights.
    """
    if isinstance(model, Engine):
        return model
    from darkparse.detect.engines.torch_engine import TorchEngine

    return TorchEngine(model, fold=fold, use_class_map=use_class_map)


def load_engine(
    name: str,
    cfg: CfgLike,
    weights: WeightsSource | None,
    options: ReadOptions,
    compile_options: CompileOptions,
    *,
    fold: bool,
    use_class_map: bool,
) -> Engine:
    """Compile a cfg and load its weights into an engine.

    Raises:
        CfgError: the cfg is wrong.
        NoWeightsError: there are no weights.
        WeightsError: the weights do not fit.
    """
    if name == "torch":
        from darkparse.model import load

        model = load(cfg, weights, options, compile_options=compile_options, optimize=fold)
        if model.loaded is None:
            raise NoWeightsError(
                f"{model.network.name}: a detector needs weights; darkparse.Detector(model) takes a model without"
            )
        return as_engine(model, fold=fold, use_class_map=use_class_map)
    from darkparse.detect.engines.graph_engine import load_graph

    return load_graph(name, cfg, weights, options, compile_options, fold=fold, use_class_map=use_class_map)
