"""The torch module of a compiled network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from importlib import import_module
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn

from darkparse._utils.notebook import NotebookRepr
from darkparse.errors import DarkparseError, NoWeightsError, WeightsError
from darkparse.layers import ModuleSpec, Shape
from darkparse.layers.specs import Initial
from darkparse.model.misuse import (
    check_tensor,
    explain_foreign_module,
    explain_missing_attribute,
    explain_wrong_network,
)
from darkparse.model.modules import BatchNorm
from darkparse.model.recurrent import StatefulModule
from darkparse.model.training import TrainingRules
from darkparse.network import Network
from darkparse.weights import Header
from darkparse.weights.arrays import LoadResult
from darkparse.weights.layout import get_tensors


class Stage(nn.Sequential):
    """One Darknet layer: its modules in sequence, of which the first takes all inputs."""

    def forward(self, *inputs: object) -> Tensor:
        x, *rest = inputs
        for module in self:
            x, rest = module(x, *rest), []
        return x  # type: ignore[return-value]


class Darknet(NotebookRepr, nn.Module):
    """A compiled network as a torch module.

    Attributes:
        network: The compiled network.
        header: Header of the loaded weights, which is written when saving; None if nothing was loaded.
        loaded: Result of the last loading; None before.
        iteration: Number of batches trained so far, on which `stopbackward` depends in some dialects.
        layers: One Stage per Darknet layer; `layers[12].conv.weight` is `layers.12.conv.weight` in the state_dict.

    Args:
        network: The result of `compile`. Use `build` or `load`, which also handle memory and weights.

    >>> import torch
    >>> model = darkparse.load("yolov3-tiny", size=64)
    >>> [tuple(head.shape) for head in model(torch.rand(1, 3, 64, 64))]
    [(1, 255, 2, 2), (1, 255, 4, 4)]
    """

    def __init__(self, network: Network) -> None:
        if not isinstance(network, Network):
            raise TypeError(explain_wrong_network(network))
        super().__init__()
        self.network = network
        self.layers = nn.ModuleList(
            Stage(OrderedDict((spec.name, instantiate(spec)) for spec in node.modules)) for node in network.nodes
        )
        self.header: Header | None = None
        self.loaded: LoadResult | None = None
        self.iteration = 0
        self._unused_after = _find_unused_after(network)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the network.

        Args:
            x: (N, C, H, W), values in 0…1, or (N, inputs) for a network without an image.

        Returns:
            The outputs of the detection heads as a tuple; without heads, the output of the last non-loss layer.

        Raises:
            TypeError: `x` is not a tensor of floating point values.
            ValueError: `x` has the wrong number of dimensions or channels.
            NoWeightsError: The module has no weights yet.
        """
        values = self._run(x, keep=False)
        heads = self.network.heads
        return tuple(values[i] for i in heads) if heads else values[self.network.outputs[0]]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if message := explain_missing_attribute(name):
                raise AttributeError(message, name=name, obj=self) from None
            raise

    def layer_outputs(self, x: Tensor) -> list[Tensor]:
        """Return the output of every Darknet layer, in Darknet's order and memory layout: (N, C, H, W) or (N, n)."""
        return self._run(x, keep=True)

    def reset_state(self) -> None:
        """Reset the state of all recurrent layers."""
        for module in self.modules():
            if isinstance(module, StatefulModule):
                module.reset_state()

    def train(self, mode: bool = True) -> Self:
        """Set training mode, except for layers that `stopbackward` freezes (AlexeyAB parser.c:1686)."""
        super().train(mode)
        for index in self.training_rules.frozen if mode else ():
            self.layers[index].eval()
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, local: dict[str, Any], *rest: Any) -> None:
        """Allocate memory for an empty module, with the device and dtype of the values, before they are copied."""
        if self._is_empty and not local.get("assign_to_params_buffers", False):
            value_like = next((value for key, value in state_dict.items() if key.startswith(f"{prefix}layers.")), None)
            if value_like is not None:
                assign(self, initial_values(self.network, self.state_dict(), value_like.device, value_like.dtype))
        super()._load_from_state_dict(state_dict, prefix, local, *rest)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        try:
            return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]
        except NotImplementedError:  # torch.nn.Module.to cannot copy meta tensors
            self._check_weights()
            raise

    @property
    def _is_empty(self) -> bool:
        for parameter in self.parameters():  # torch.compile of torch 2.6 cannot trace next() with a default
            return parameter.is_meta
        return False

    def _check_weights(self) -> None:
        if self._is_empty:
            raise NoWeightsError(
                f"{self.network.name} has no weights yet; load weights or build it with initialize=True"
            )

    @cached_property
    def training_rules(self) -> TrainingRules:
        """Training options of the layers."""
        return TrainingRules(self.network)

    def _run(self, x: Tensor, *, keep: bool) -> list[Tensor]:
        x = self._check_input(x)
        values: list[Tensor | None] = [None] * len(self.layers)
        for node, layer, unused in zip(self.network.nodes, self.layers, self._unused_after, strict=True):
            inputs: list[object] = [values[i] if i >= 0 else x for i in node.inputs] or [x]
            if node.shared_with is not None:
                inputs.append(self.layers[node.shared_with])
            if self.training:
                values[node.index] = self.training_rules.run(node, layer, inputs, self.iteration)
            else:
                values[node.index] = layer(*inputs)
            if not keep:
                for i in unused:
                    values[i] = None
        return values  # type: ignore[return-value]

    def _check_input(self, x: Tensor) -> Tensor:
        shape = self.network.input_shape
        expected = f"(N, {shape.c}, H, W)" if shape.is_map else f"(N, {shape.size})"
        check_tensor(x, expected)
        if not x.is_meta:
            self._check_weights()
        if x.dim() != (4 if shape.is_map else 2) or x.shape[1] != (shape.c if shape.is_map else shape.size):
            raise ValueError(f"expected a tensor {expected}, got {tuple(x.shape)}{_hint_at_shape(x, shape)}")
        return x


def _hint_at_shape(x: Tensor, shape: Shape) -> str:
    """Return a hint if a common mistake explains the shape of a tensor: no batch axis, or channels last."""
    if shape.is_map and x.dim() == 3 and x.shape[0] == shape.c:
        return "; add the batch: model(x[None])"
    if shape.is_map and x.dim() == 4 and x.shape[3] == shape.c:
        return "; move the channels: model(x.permute(0, 3, 1, 2))"
    return ""


def _find_unused_after(network: Network) -> tuple[tuple[int, ...], ...]:
    """Return, for every layer, the layers whose output is not read after it."""
    unused: list[list[int]] = [[] for _ in network.nodes]
    for index, last in enumerate(network.last_reads):
        if last < len(unused):
            unused[last].append(index)
    return tuple(tuple(indices) for indices in unused)


def instantiate(spec: ModuleSpec) -> nn.Module:
    """Build the module that a spec describes; its parameters are not initialized."""
    path, _, name = spec.target.rpartition(".")
    kind: type[nn.Module] = getattr(import_module(path), name)
    module = _skip_initialization(kind)(**spec.kwargs)  # type: ignore[arg-type]
    module.__class__ = kind
    return module


@cache
def _skip_initialization(kind: type[nn.Module]) -> type[nn.Module]:
    """Return a subclass whose constructor skips random initialization, which takes half of the constructor's time."""
    return (
        type(kind.__name__, (kind,), {"reset_parameters": lambda self: None})
        if hasattr(kind, "reset_parameters")
        else kind
    )


def initial_values(
    network: Network,
    tensors: Mapping[str, Tensor],
    device: str | torch.device | int | None = None,
    dtype: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Return new tensors for keys of a network's state_dict, initialized as in Darknet; default: float32 on CPU."""
    specs = get_tensors(network) if tensors else {}
    values = {
        key: torch.empty(old.shape, device=device or "cpu", dtype=dtype or torch.float32)
        for key, old in tensors.items()
    }
    return {key: _fill(value, specs[key][1].initial) for key, value in values.items()}


def _fill(value: Tensor, initial: Initial) -> Tensor:
    distribution, center, spread = initial
    if distribution == "uniform":
        return value.uniform_(center - spread, center + spread)
    if distribution == "normal":
        return value.normal_(center, spread)
    return value.fill_(center)


def assign(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Replace parameters and buffers of a module by the tensors of the same name."""
    for key, value in tensors.items():
        path, _, name = key.rpartition(".")
        owner = model.get_submodule(path)
        if name in owner._parameters:
            owner._parameters[name] = nn.Parameter(value, requires_grad=owner.get_parameter(name).requires_grad)
        else:
            owner._buffers[name] = value
    for module in model.modules():
        if isinstance(module, BatchNorm) and module.num_batches_tracked.device != module.weight.device:
            module.num_batches_tracked = torch.zeros_like(module.num_batches_tracked, device=module.weight.device)


def check_dtype(dtype: torch.dtype | None) -> None:
    """Raise DarkparseError if parameters cannot have this dtype."""
    if dtype is not None and not dtype.is_floating_point:
        raise DarkparseError(
            f"invalid dtype {dtype}; expected a floating point type such as torch.float32 or torch.float16"
        )


def require_weights(model: nn.Module, purpose: str) -> Darknet:
    """Return the unwrapped Darknet module of a model that has weights.

    Args:
        model: A Darknet module, possibly wrapped.
        purpose: What the weights are needed for, for the message: `exporting`.

    Raises:
        NoWeightsError: The module has no weights yet.
        WeightsError: The module was not built by darkparse.
    """
    model = unwrap_model(model)
    if any(tensor.is_meta for tensor in chain(model.parameters(), model.buffers())):
        name = model.network.name
        raise NoWeightsError(f"{name} has no weights yet; load or initialize the module before {purpose} it")
    return model


def unwrap_model(model: nn.Module) -> Darknet:
    """Return the Darknet module inside the wrappers of `torch.compile` and DataParallel.

    Raises:
        WeightsError: The model contains no Darknet module.
    """
    inner: object = model
    while not isinstance(inner, Darknet):
        if not isinstance(inner, nn.Module):
            raise WeightsError(explain_foreign_module(model))
        inner = getattr(inner, "_orig_mod", getattr(inner, "module", None))
    return inner
