"""Optional capabilities of layer kinds: base classes that the phases check for instead of particular kinds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from darkparse.layers.base import Layer
from darkparse.layers.shape import Shape
from darkparse.layers.specs import LayerContext, LossSpec

Mixing = Literal["both", "channels", "alone"]
"""Values that a convolution mixes: neighbors and channels, channels only, or neighbors within each channel."""


class LossLayer(Layer):
    """Layer kind with a training loss."""

    loss_options: ClassVar[type[Any]]
    """Class of `layers.training` with the options of the loss."""
    is_identity_backward: ClassVar[bool] = False
    """Whether the gradient of a later loss passes unchanged (softmax_layer.c backward_softmax_layer)."""

    @abstractmethod
    def loss(self, ctx: LayerContext, options: Any, net: Shape) -> LossSpec:
        """Return the loss of the layer in a network whose input has the shape `net`.

        Raises:
            LayerError: The layer cannot be trained with these options.
        """


class Joining(Layer):
    """Layer kind that reads layers other than the previous one."""

    def reads_whole(self, index: int) -> tuple[int, ...]:
        """Return the absolute indices of the layers whose `bin_output` is disabled (AlexeyAB parser.c:1489-1509)."""
        return self.inputs(index)


class ChannelSlice(Layer):
    """Layer kind that selects group `group_id`, counted from 0, of `groups` equal channel groups of each input."""

    groups: int
    group_id: int


Channels = tuple[int, ...]
"""Channels of an output to keep, in their new order."""


class ChannelCut(NamedTuple):
    """Changes to a layer that remove some channels of its output or inputs."""

    options: Mapping[str, int]
    axes: Mapping[str, tuple[Channels | None, ...]]
    """Positions to keep on each of the first axes of an array, by the array's path; None keeps all.

    Arrays that are not listed have the output's channels on their first axis.
    """


class Cuttable(Layer):
    """Layer kind with arrays from which channels can be removed."""

    @abstractmethod
    def cut(self, ctx: LayerContext, outputs: Channels | None, inputs: tuple[Channels | None, ...]) -> ChannelCut:
        """Return the changes that keep only these channels of the output and of each input; None keeps all.

        Raises:
            LayerError: Channels cannot be removed, because the layer mixes them in groups.
        """


class Convolution(Layer):
    """Layer kind that convolves with a square kernel and may share the weights of another layer."""

    size: int

    @property
    @abstractmethod
    def mixing(self) -> Mixing:
        """Values that the convolution mixes."""

    @abstractmethod
    def shared_with(self, index: int) -> int | None:
        """Return the absolute index of the layer whose tensors the layer at `index` shares; None if it has its own."""

    @abstractmethod
    def num_elements(self, ctx: LayerContext) -> int:
        """Return the total element count of `tensors` without creating them; most layers are convolutions."""


class Classifier(Layer):
    """Layer kind whose input is one score per class of a classifier."""


class LimitedGradient(Layer):
    """Layer kind that clamps the output gradient to ±1 before the activation's derivative (connected_layer.c, GPU)."""


class Reinterpretable(Layer):
    """Layer kind that an early version of a fork implemented as another kind."""

    @abstractmethod
    def reinterpret(self) -> Layer:
        """Return the layer that the early version created from the section."""
