"""What all heads have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from darkparse.layers.activations import Activation
from darkparse.layers.base import Layer, LayerError
from darkparse.layers.dialect import Dialect
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Deviation, LayerContext, ModuleSpec

HEADS_MODULE = "darkparse.model.heads"
DECODERS_MODULE = "darkparse.model.decoders"
LOSSES_PACKAGE = "darkparse.training.losses"
SOFTMAX_FOR_SIGMOID, SIGMOID_FOR_SOFTMAX = (
    "softmax over the classes instead of sigmoid",
    "sigmoid of the classes instead of softmax",
)


class Head(Layer):
    """A detection head: so many predictors a cell, each with so many numbers."""

    role = "head"
    anchor_options: ClassVar[str] = ""
    """The options that say how many anchors there are."""

    classes: int
    nms_kind: str = "default"
    """How its boxes suppress each other; Darknet asks the last head."""
    beta_nms: float = 0.6
    stays_in_letterbox = False
    """Its boxes are left where they lie in the padded picture."""

    @property
    def expected_activation(self) -> Activation | None:
        """The activation that the layer before should have; None where the head takes any."""
        return None

    @property
    @abstractmethod
    def predictors(self) -> int:
        """Boxes that each cell predicts."""

    @property
    @abstractmethod
    def entries(self) -> int:
        """Numbers that each box has."""

    def get_grid(self, shape: Shape) -> tuple[int, int]:
        """Return rows and columns of the head's cells for its input shape."""
        return shape.h, shape.w

    def get_anchor(self, predictor: int) -> int:
        """Return the position in `anchors=` of a cell's predictor; the predictor itself where there are no anchors."""
        return predictor

    @property
    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Width and height of each anchor in use; empty for a head without anchors."""
        return ()

    @property
    def listed_anchors(self) -> tuple[tuple[float, float], ...]:
        """Width and height of all anchors from which `mask` chooses; empty for a head without that option."""
        return ()

    @property
    def indices(self) -> tuple[int, ...]:
        """Positions of the anchors in use in their list."""
        return tuple(range(self.predictors))

    def with_anchors(self, count: int) -> Head | None:
        """The head with so many anchors; None if it has none."""
        return None

    @property
    def required_channels(self) -> int:
        """Channels that the layer before must have; before a v1 head, which takes a vector, values."""
        return self.predictors * self.entries

    @property
    def channels_per_class(self) -> int:
        """What one class more adds to that: a number for each box, or for each cell of a v1 head."""
        return self.predictors

    @property
    def formula(self) -> str:
        """How that number comes about: `3 × (80 classes + 5)`."""
        return f"{self.predictors} × ({format_count(self.classes)} + {self.entries - self.classes})"

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        channels = inputs[0].c
        if channels != self.required_channels:
            supply = f"the layer before gives {channels}: filters={self.required_channels} belongs there"
            needs = f"this head needs {self.required_channels} channels = {self.formula}"
            message = f"{needs}, {supply}{self.suggest_options(channels)}"
            raise LayerError(message, input=0, code="head")
        return inputs[0]

    def suggest_options(self, channels: int) -> str:
        """What else may be meant where the layer before has so many channels: other classes, other anchors."""
        added_classes, rest = divmod(channels - self.required_channels, self.channels_per_class)
        classes = self.classes + added_classes
        suggestion = f", or classes={classes} here" if classes > 0 and not rest else ""
        count, rest = divmod(channels, self.entries)
        if self.anchor_options and count and not rest:
            return f"{suggestion}, or {self.anchor_options} for {count} anchor{'' if count == 1 else 's'}"
        options = f"classes=, {self.anchor_options.replace(' and ', ' or ')}" if self.anchor_options else "classes="
        return suggestion or f", or else {options} here is wrong"

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec | None:
        """The module that makes boxes of the output (see `darkparse.model.decoders`); None where there are none.

        Args:
            dialect: the fork that decodes.
            hierarchy: how probable a class of a word tree must be.
            use_class_map: score the classes of `map=` instead of the whole word tree.
        """
        return None

    def thresholds_objectness(self, dialect: Dialect, *, use_class_map: bool) -> bool:
        """Whether a box counts where its objectness is above the threshold, not where it is above 0."""
        return True

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield Deviation("the head left out: its input", (), (0,))

    def box_deviations(self, ctx: LayerContext, decoder: ModuleSpec) -> Iterable[Deviation]:
        """Yield what other implementations do instead of this head and its decoder; the last module decodes."""
        for deviation in self.known_deviations(ctx):
            if deviation.modules:
                yield Deviation(deviation.description, (*deviation.modules, decoder))


def format_count(classes: int) -> str:
    """`1 class`, `80 classes`."""
    return f"{classes} class{'' if classes == 1 else 'es'}"
