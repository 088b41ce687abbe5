"""What all heads have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

from darkparse.layers.base import Layer, LayerError
from darkparse.layers.dialect import Dialect
from darkparse.layers.shape import Shape
from darkparse.layers.specs import Mistake, ModuleSpec, Site


class Head(Layer):
    """A detection head: so many predictors a cell, each with so many numbers."""

    is_head = True
    part = "head"

    classes: int
    nms_kind: str = "default"
    """How its boxes suppress each other; Darknet asks the last head."""
    beta_nms: float = 0.6
    stays_in_letterbox = False
    """Its boxes are left where they lie in the padded picture."""

    @property
    @abstractmethod
    def predictors(self) -> int:
        """Boxes that each cell predicts."""

    @property
    @abstractmethod
    def entries(self) -> int:
        """Numbers that each box has."""

    @property
    def need(self) -> int:
        """Channels that the layer before must have; before a v1 head, which takes a vector, values."""
        return self.predictors * self.entries

    @property
    def per_class(self) -> int:
        """What one class more adds to that: a number for each box, or for each cell of a v1 head."""
        return self.predictors

    @property
    def formula(self) -> str:
        """How that number comes about: `3 × (80 classes + 5)`."""
        return f"{self.predictors} × ({counted(self.classes)} + {self.entries - self.classes})"

    def infer(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if inputs[0].c != self.need:
            gives = f"the layer before gives {inputs[0].c}: filters={self.need} belongs there"
            message = f"this head needs {self.need} channels = {self.formula}, {gives}"
            raise LayerError(message, input=0)
        return inputs[0]

    def decoder(self, dialect: Dialect, *, hierarchy: float, mapped: bool) -> ModuleSpec | None:
        """The module that makes boxes of the output (see `darkparse.detect.decoding`); None where there are none.

        Args:
            dialect: the fork that decodes.
            hierarchy: how probable a class of a word tree must be.
            mapped: score the classes of `map=` instead of the whole word tree.
        """
        return None

    def asks_objectness(self, dialect: Dialect, *, mapped: bool) -> bool:
        """Whether a box counts where its objectness is above the threshold, not where it is above 0."""
        return True

    def mistakes(self, at: Site) -> Iterable[Mistake]:
        yield Mistake("the head left out: its input", (), (0,))


def counted(classes: int) -> str:
    """`1 class`, `80 classes`."""
    return f"{classes} class{'' if classes == 1 else 'es'}"
