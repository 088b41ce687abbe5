"""What some layer kinds state beyond `Layer`: base classes that the phases check for, so that no phase names a kind."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

from darkparse.layers.base import Layer
from darkparse.layers.shape import Shape
from darkparse.layers.specs import LayerContext, LossSpec

Mixing = Literal["both", "channels", "alone"]
"""What a convolution mixes: neighbors and channels, channels only, or the neighbors within each channel."""


class LossLayer(Layer):
    """A layer kind that has a loss in training."""

    loss_options: ClassVar[type[Any]]
    """The class of `layers.training` that its loss reads."""
    is_identity_backward: ClassVar[bool] = False
    """The gradient of a loss behind the layer passes it unchanged (softmax_layer.c backward_softmax_layer)."""

    @abstractmethod
    def loss(self, ctx: LayerContext, options: Any, net: Shape) -> LossSpec:
        """Return the loss of the layer in a network whose input has the shape `net`.

        Raises:
            LayerError: the layer cannot be trained with these options.
        """


class Joining(Layer):
    """A layer kind that reads other layers than the one before."""

    def reads_whole(self, index: int) -> tuple[int, ...]:
        """Return the absolute indices of the layers whose `bin_output` it cancels (AlexeyAB parser.c:1489-1509)."""
        return self.inputs(index)


class ChannelSlice(Layer):
    """A layer kind that takes part `group_id`, counted from 0, of `groups` equal parts of each input's channels."""

    groups: int
    group_id: int


class Convolution(Layer):
    """A layer kind that is a convolution with a square window and may use the weights of another layer."""

    size: int

    @property
    @abstractmethod
    def mixing(self) -> Mixing:
        """What the convolution mixes."""

    @abstractmethod
    def shared_with(self, index: int) -> int | None:
        """Return the absolute index of the layer whose tensors this layer, the index-th, uses; None for its own."""

    @abstractmethod
    def num_elements(self, ctx: LayerContext) -> int:
        """Return the total element count of `tensors` without making them: most layers are convolutions."""


class Classifier(Layer):
    """A layer kind whose input holds one score per class of a classifier."""


class LimitedGradient(Layer):
    """A layer kind that clamps the gradient to ±1 before the activation's slope (connected_layer.c, GPU)."""


class Reinterpretable(Layer):
    """A layer kind that an early version of a fork took for another kind."""

    @abstractmethod
    def reinterpret(self) -> Layer:
        """Return the layer that the early version made of the section."""
