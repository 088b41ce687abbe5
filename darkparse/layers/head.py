"""Base class of detection heads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
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
    """Detection head: each grid cell has `predictors` predictors, each with `entries` values."""

    role = "head"
    anchor_options: ClassVar[str] = ""
    """Options that determine the number of anchors, for messages; empty for a head without anchors."""
    anchors_in_cells: ClassVar[bool] = False
    """Whether anchors are in cells of the grid rather than in pixels of the network's input."""

    classes: int
    nms_kind: str = "default"
    """Kind of non-maximum suppression; Darknet uses the last head's."""
    beta_nms: float = 0.6
    has_objectness = False
    """Whether each box has an objectness that is a factor of its scores."""
    stays_in_letterbox = False
    """Whether boxes stay relative to the letterboxed image instead of being mapped back to the original."""

    @property
    def expected_activation(self) -> Activation | None:
        """Activation that the previous layer should have; None if the head accepts any."""
        return None

    @property
    @abstractmethod
    def predictors(self) -> int:
        """Number of boxes that each cell predicts."""

    @property
    @abstractmethod
    def entries(self) -> int:
        """Number of values per box."""

    def get_grid(self, shape: Shape) -> tuple[int, int]:
        """Return the rows and columns of the head's grid for its input shape."""
        return shape.h, shape.w

    def get_anchor(self, predictor: int) -> int:
        """Return the position in `anchors=` of a cell's predictor; without anchors, the predictor's own index."""
        return predictor

    @property
    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Width and height of each anchor in use; empty for a head without anchors."""
        return ()

    @property
    def listed_anchors(self) -> tuple[tuple[float, float], ...]:
        """Width and height of all anchors from which `mask` selects; empty for a head without that option."""
        return ()

    @property
    def indices(self) -> tuple[int, ...]:
        """Positions in `anchors=` of the anchors in use."""
        return tuple(range(self.predictors))

    def with_anchors(self, count: int) -> Head | None:
        """Return a copy of the head with `count` anchors; None if it does not use anchors."""
        return None

    @property
    def required_channels(self) -> int:
        """Number of channels that the previous layer must have; for a v1 head, which takes a vector, of values."""
        return self.predictors * self.entries

    def select_channels(self, classes: Sequence[int]) -> list[int]:
        """Return the previous layer's channels that remain if only some classes do, in their new order.

        The classes are the last entries of each predictor.
        """
        others = self.entries - self.classes
        entries = (*range(others), *(others + number for number in classes))
        return [predictor * self.entries + entry for predictor in range(self.predictors) for entry in entries]

    @property
    def channels_per_class(self) -> int:
        """Increase of `required_channels` per class: one value per box, or per cell of a v1 head."""
        return self.predictors

    @property
    def formula(self) -> str:
        """Formula of `required_channels`, such as `3 × (80 classes + 5)`."""
        return f"{self.predictors} × ({format_count(self.classes)} + {self.entries - self.classes})"

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        channels = inputs[0].c
        if channels != self.required_channels:
            supply = f"got {channels} from the layer before: set filters={self.required_channels} there"
            needs = f"this head requires {self.required_channels} channels = {self.formula}"
            message = f"{needs}, {supply}{self.suggest_options(channels)}"
            raise LayerError(message, input=0, code="head")
        return inputs[0]

    def suggest_options(self, channels: int) -> str:
        """Suggest other classes or anchors that would fit the previous layer's channels, as the end of a message."""
        added_classes, rest = divmod(channels - self.required_channels, self.channels_per_class)
        classes = self.classes + added_classes
        suggestion = f", or classes={classes} here" if classes > 0 and not rest else ""
        count, rest = divmod(channels, self.entries)
        if self.anchor_options and count and not rest:
            return f"{suggestion}, or {self.anchor_options} for {count} anchor{'' if count == 1 else 's'}"
        options = f"classes=, {self.anchor_options.replace(' and ', ' or ')}" if self.anchor_options else "classes="
        return suggestion or f", or correct {options} here"

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec | None:
        """Return the module that decodes the output to boxes (`darkparse.model.decoders`); None if there are no boxes.

        Args:
            dialect: Dialect whose decoding to reproduce.
            hierarchy: Minimum probability of a class in a word tree.
            use_class_map: Score the classes of `map=` instead of the whole word tree.
        """
        return None

    def thresholds_objectness(self, dialect: Dialect, *, use_class_map: bool) -> bool:
        """Return whether a box requires an objectness above the threshold instead of above 0."""
        return True

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield Deviation("no head: its input instead", (), (0,))

    def box_deviations(self, ctx: LayerContext, decoder: ModuleSpec) -> Iterable[Deviation]:
        """Yield known deviations in this head and its decoder; the last module of each is the decoder."""
        for deviation in self.known_deviations(ctx):
            if deviation.modules:
                yield Deviation(deviation.description, (*deviation.modules, decoder))


def format_count(classes: int) -> str:
    """Format a number of classes: `1 class`, `80 classes`."""
    return f"{classes} class{'' if classes == 1 else 'es'}"
