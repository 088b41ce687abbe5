"""Parts that several kinds share: weights with optional batch norm, and modules for norm, activation and blur."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePath

from darkparse.errors import DarkparseError
from darkparse.layers.activations import ACTIVATIONS, ActivationRow
from darkparse.layers.base import LayerError
from darkparse.layers.dialect import Dialect
from darkparse.layers.shape import Shape
from darkparse.layers.specs import ONE, Initial, ModuleSpec, TensorSpec
from darkparse.layers.tree import read_tree
from darkparse.layers.window import Window, make_square_window

MODULES_PACKAGE = "darkparse.model.modules"


def make_uniform_initial(fan_in: int) -> Initial:
    """Return Darknet's weight initialization: uniform in ±√(2 / fan-in) (convolutional_layer.c, connected_layer.c)."""
    return ("uniform", 0.0, math.sqrt(2 / max(fan_in, 1)))


def check_tree(path: PurePath, count: int, label: str) -> None:
    """Check that a word tree has one node per class.

    A missing file is only an error once the module is built.

    Args:
        path: Tree file; it is read only if it is a `Path`.
        count: Expected number of nodes.
        label: Name of what is counted, for the message.

    Raises:
        LayerError: The number of nodes differs, or the file is invalid.
    """
    if not isinstance(path, Path):
        return
    try:
        nodes = len(read_tree(path).names)
    except DarkparseError as problem:
        raise LayerError(str(problem), option="tree") from None
    if nodes != count:
        raise LayerError(
            f"wrong number of nodes in the tree, got {nodes}; expected {count}, the number of {label}", option="tree"
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """Arrays of a convolution or fully connected layer: biases, batch norm, weights."""

    shape: tuple[int, ...]
    """Shape of the weights; the first axis is the outputs."""
    batch_normalize: bool = False
    prefix: str = ""
    rows: int | None = None
    transposed: bool = False
    stores_scales: bool = True

    def _make_norm(self, outputs: int) -> tuple[TensorSpec, ...]:
        if not self.batch_normalize:
            return ()
        # Darknet initializes the running variance to 0, which makes an untrained network overflow; 1 avoids this.
        return (
            TensorSpec(
                f"{self.prefix}norm.weight", (outputs,), ONE, "scale", rows=self.rows, stored=self.stores_scales
            ),
            TensorSpec(
                f"{self.prefix}norm.running_mean", (outputs,), role="mean", rows=self.rows, stored=self.stores_scales
            ),
            TensorSpec(
                f"{self.prefix}norm.running_var", (outputs,), ONE, "variance", rows=self.rows, stored=self.stores_scales
            ),
        )

    def _make_biases(self, name: str) -> TensorSpec:
        owner = "norm" if self.batch_normalize else name
        return TensorSpec(f"{self.prefix}{owner}.bias", self.shape[:1], role="bias", rows=self.rows)

    def _make_initial(self) -> Initial:
        return make_uniform_initial(math.prod(self.shape[1:]))

    def make_convolutional(self, name: str = "conv") -> tuple[TensorSpec, ...]:
        """Return biases, [scales, mean, variance], weights in file order (parser.c load_convolutional_weights)."""
        weights = TensorSpec(
            f"{self.prefix}{name}.weight", self.shape, self._make_initial(), rows=self.rows, transposed=self.transposed
        )
        return (self._make_biases(name), *self._make_norm(self.shape[0]), weights)

    def make_connected(self, name: str = "linear") -> tuple[TensorSpec, ...]:
        """Return biases, weights, [scales, mean, variance] in file order (parser.c load_connected_weights)."""
        weights = TensorSpec(f"{self.prefix}{name}.weight", self.shape, self._make_initial(), transposable=True)
        return (self._make_biases(name), weights, *self._make_norm(self.shape[0]))


def make_batchnorm_module(dialect: Dialect, features: int, name: str = "norm") -> ModuleSpec:
    """Return a batch norm module with the dialect's epsilon and its position (blas.c normalize_cpu)."""
    target = f"{MODULES_PACKAGE}.{'RootEpsilonBatchNorm' if dialect.epsilon_on_root else 'BatchNorm'}"
    kwargs = {"num_features": features, "eps": dialect.batchnorm_epsilon, "momentum": 0.01}
    return ModuleSpec(name, target, kwargs)


def make_flatten_modules(x: Shape) -> tuple[ModuleSpec, ...]:
    """Return the module that flattens a map; empty for a vector."""
    return (ModuleSpec("flatten", "torch.nn.Flatten", {}),) if x.is_map else ()


def make_activation_modules(activation: str, name: str = "activation") -> tuple[ModuleSpec, ...]:
    """Return the module of an activation, torch's if there is an equivalent one; empty for linear."""
    row = ACTIVATIONS[activation]
    if not row.function:
        return ()
    if row.module:
        return (ModuleSpec(name, f"torch.nn.{row.module}", row.settings),)
    return (ModuleSpec(name, "darkparse.model.activations.DarknetActivation", {"name": activation}),)


def find_activation(spec: ModuleSpec) -> ActivationRow | None:
    """Return the activation that a module implements; None if it is not an activation module."""
    return next((row for row in ACTIVATIONS.values() if make_activation_modules(row.name, spec.name) == (spec,)), None)


def make_blur_module(channels: int, antialiasing: int, stride: tuple[int, int]) -> ModuleSpec:
    """Return the fixed blur that applies the stride of an antialiased layer (convolutional_layer.c:800)."""
    return ModuleSpec(
        "blur", f"{MODULES_PACKAGE}.Blur", {"channels": channels, "size": get_blur_size(antialiasing), "stride": stride}
    )


def get_blur_size(antialiasing: int) -> int:
    """Return the blur's kernel size: 2 (no padding) for `antialiasing=2`, otherwise 3 (one pixel of padding)."""
    return 2 if antialiasing == 2 else 3


def compute_blurred_length(length: int, antialiasing: int, stride: int) -> int:
    """Compute the length of an axis after the blur."""
    size = get_blur_size(antialiasing)
    padding = 1 if size == 3 else 0
    return (length + 2 * padding - size) // stride + 1


def make_blurred_windows(size: int, strides: tuple[int, int], antialiasing: int) -> tuple[Window, ...]:
    """Return a sliding window, followed with antialiasing by the blur's window, which then has the strides."""
    if antialiasing:
        return make_square_window(size), make_square_window(get_blur_size(antialiasing), *strides)
    return (make_square_window(size, *strides),)


def count_blur_macs(outputs: int, antialiasing: int) -> int:
    """Count the multiply-adds of the blur: one per tap and output; 0 without antialiasing."""
    return outputs * get_blur_size(antialiasing) ** 2 if antialiasing else 0
