"""The heads of YOLOv1 and v2, and of instance segmentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePath

from darkparse.layers.anchors import MAX_ANCHOR_IN_CELLS, check_anchors, get_anchor_pairs
from darkparse.layers.base import LayerError, keys, layer, option
from darkparse.layers.capabilities import LossLayer
from darkparse.layers.dialect import Dialect
from darkparse.layers.head import (
    DECODERS_MODULE,
    HEADS_MODULE,
    LOSSES_PACKAGE,
    SIGMOID_FOR_SOFTMAX,
    SOFTMAX_FOR_SIGMOID,
    Head,
    format_count,
)
from darkparse.layers.parts import check_tree
from darkparse.layers.shape import Layout, Shape
from darkparse.layers.specs import Deviation, LayerContext, LossSpec, ModuleSpec
from darkparse.layers.training import DetectionTraining, RegionTraining, Training
from darkparse.layers.tree import read_tree


@layer("region")
class Region(Head, LossLayer):
    """The head of YOLOv2 (region_layer.c).

    Its output is ordered by plane, (C, H, W), in pjreddie's fork and by cell, (H, W, C), in AlexeyAB's.
    """

    needs_map = True
    anchor_options = "num= and anchors="
    anchors_in_cells = True
    training = {
        **keys("jitter random"),
        **keys(
            log="Read by Darknet and not used.",
            sqrt="Read by Darknet and not used.",
            absolute="Read by Darknet and not used.",
            mask_scale="Weight of the loss of masks.",
        ),
        **keys("resize", dialect="alexeyab"),
    }
    loss_options = RegionTraining

    classes: int = option(default=20, minimum=0, help="Number of classes.")
    coords: int = option(default=4, minimum=4, help="Values per box; 4, or more for a mask.")
    num: int = option(default=1, minimum=1, help="Number of anchors.")
    softmax: bool = option(default=False, help="Softmax over the classes instead of independent values.")
    background: bool = option(
        default=False, dialect="pjreddie", help="Objectness takes part in the softmax over the classes."
    )
    anchors: tuple[float, ...] = option(default=(), help="Widths and heights of the anchors in grid cells.")
    tree: PurePath | None = option(default=None, is_file=True, help="File with the word tree of the classes.")
    map: PurePath | None = option(
        default=None, is_file=True, help="File that maps these classes to those of a data set."
    )

    def with_anchors(self, count: int) -> Head:
        return replace(self, num=count)

    @property
    def predictors(self) -> int:
        return self.num

    @property
    def entries(self) -> int:
        return self.coords + 1 + self.classes

    @property
    def has_objectness(self) -> bool:  # type: ignore[override]
        """Whether the objectness counts: with `background`, Darknet uses 1 in its place."""
        return not self.background

    @property
    def boxes(self) -> tuple[tuple[float, float], ...]:
        """Width and height of each anchor in grid cells; missing values are 0.5."""
        return get_anchor_pairs(self.anchors, tuple(range(self.num)))

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if self.tree is not None:
            check_tree(self.tree, self.classes, "classes of this head")
        out = super().infer_shape(inputs, dialect)
        return replace(out, layout=Layout.CELLS) if dialect.region_interleaved else out

    def warnings(self, ctx: LayerContext) -> tuple[LayerError, ...]:
        errors = check_anchors(self.anchors, self.num, tuple(range(self.num)), "num")
        largest, grid = max(self.anchors, default=0), max(ctx.input.h, ctx.input.w)
        # Anchors for another input size may be larger than the grid; values with decimals are in cells even then.
        has_decimals = any(side % 1 for side in self.anchors)
        if errors or largest <= (max(2 * grid, MAX_ANCHOR_IN_CELLS) if has_decimals else grid):
            return errors
        message = (
            f"anchor of {largest:g} on a grid of {ctx.input.h}×{ctx.input.w}; [region] expects anchors in grid cells, "
            "[yolo] in pixels"
        )
        return (LayerError(message, option="anchors", code="anchors"),)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        sizes = read_tree(self.tree).group_sizes if self.tree is not None else None
        kwargs = {"anchors": self.num, **self.options("classes", "coords", "softmax"), "group_sizes": sizes}
        if ctx.dialect.region_interleaved:
            return (ModuleSpec("head", f"{HEADS_MODULE}.InterleavedRegionHead", kwargs),)
        return (ModuleSpec("head", f"{HEADS_MODULE}.RegionHead", kwargs | {"background": self.background}),)

    def known_deviations(self, ctx: LayerContext) -> Iterable[Deviation]:
        yield from super().known_deviations(ctx)
        if self.tree is None:
            without = "no softmax over the classes" if ctx.dialect.region_interleaved else SIGMOID_FOR_SOFTMAX
            description = without if self.softmax else SOFTMAX_FOR_SIGMOID
            yield Deviation(description, tuple(s.with_kwargs(softmax=not self.softmax) for s in self.modules(ctx)))

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
        kwargs = self.options("classes", "coords", "background", "tree") | {
            "anchors": self.boxes,
            "interleaved": dialect.region_interleaved,
            "map": self.map if use_class_map else None,
            "hierarchy": hierarchy,
        }
        return ModuleSpec("boxes", f"{DECODERS_MODULE}.RegionDecoder", kwargs)

    def thresholds_objectness(self, dialect: Dialect, *, use_class_map: bool) -> bool:
        """Return whether objectness must exceed the threshold; AlexeyAB's fork checks it for word trees only.

        Source: region_layer.c get_region_boxes.
        """
        return not dialect.region_interleaved or (
            self.tree is not None and not (use_class_map and self.map is not None)
        )

    def loss(self, ctx: LayerContext, options: RegionTraining, net: Shape) -> LossSpec:
        if self.coords > 4:
            raise LayerError("coords above 4 (masks) cannot be trained", option="coords")
        kwargs = self.options("classes", "softmax", "tree", "map") | {"options": options, "anchors": self.boxes}
        if ctx.dialect.region_interleaved:
            return LossSpec(f"{LOSSES_PACKAGE}.region.AlexeyRegionLoss", kwargs)
        return LossSpec(f"{LOSSES_PACKAGE}.region.RegionLoss", kwargs | {"background": self.background})

    def summary(self, ctx: LayerContext) -> str:
        return "region head (v2)"


@layer("detection")
class DetectionHead(Head, LossLayer):
    """The head of YOLOv1: a vector of class probabilities, objectness and boxes for a grid (detection_layer.c)."""

    is_size_bound = True
    has_objectness = True
    stays_in_letterbox = True
    training = {
        **keys("jitter max", reorg="Read by Darknet and not used."),
        **keys("resize", dialect="alexeyab"),
    }
    loss_options = DetectionTraining

    classes: int = option(default=1, minimum=0, help="Number of classes.")
    coords: int = option(default=1, minimum=0, help="Values per box; 4 for x, y, width and height.")
    num: int = option(default=1, minimum=1, help="Boxes per grid cell.")
    side: int = option(default=7, minimum=1, help="Grid cells per side.")
    softmax: bool = option(default=False, help="Softmax over the classes of each cell.")
    sqrt: bool = option(default=False, help="Width and height are predicted as square roots.")

    @property
    def predictors(self) -> int:
        return self.num

    @property
    def entries(self) -> int:
        return 1 + self.coords

    @property
    def required_channels(self) -> int:
        return self.side**2 * (self.num * self.entries + self.classes)

    def select_channels(self, classes: Sequence[int]) -> list[int]:
        """Return the values that remain: the classes of each cell come first, then objectness and boxes."""
        cells = self.side**2
        scores = [cell * self.classes + number for cell in range(cells) for number in classes]
        return [*scores, *range(cells * self.classes, self.required_channels)]

    @property
    def channels_per_class(self) -> int:
        return self.side**2

    @property
    def formula(self) -> str:
        return f"{self.side}×{self.side} × ({self.num}×{1 + self.coords} + {format_count(self.classes)})"

    def get_grid(self, shape: Shape) -> tuple[int, int]:
        return self.side, self.side

    def infer_shape(self, inputs: tuple[Shape, ...], dialect: Dialect) -> Shape:
        if inputs[0].size != self.required_channels:
            supply = f"got {inputs[0].size} from the layer before: set output={self.required_channels} there"
            raise LayerError(
                f"this head requires {self.required_channels} values = {self.formula}, {supply}", input=0, code="head"
            )
        return Shape.flat(self.required_channels)

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        kwargs = {"cells": self.side**2, "classes": self.classes, "softmax": self.softmax}
        return (ModuleSpec("head", f"{HEADS_MODULE}.DetectionHead", kwargs),)

    def decoder(self, dialect: Dialect, *, hierarchy: float, use_class_map: bool) -> ModuleSpec:
        kwargs = self.options("side", "num", "classes", "coords", "sqrt")
        return ModuleSpec("boxes", f"{DECODERS_MODULE}.GridDecoder", kwargs)

    def box_deviations(self, ctx: LayerContext, decoder: ModuleSpec) -> Iterable[Deviation]:
        yield from super().box_deviations(ctx, decoder)
        description = f"width and height {'without' if self.sqrt else 'as with'} sqrt=1"
        yield Deviation(description, (*self.modules(ctx), decoder.with_kwargs(sqrt=not self.sqrt)))

    def thresholds_objectness(self, dialect: Dialect, *, use_class_map: bool) -> bool:
        return False

    def loss(self, ctx: LayerContext, options: DetectionTraining, net: Shape) -> LossSpec:
        if self.coords != 4:
            raise LayerError(f"coords must be 4 in training, got {self.coords}", option="coords")
        kwargs = self.options("classes", "num", "side", "sqrt") | {"options": options}
        return LossSpec(f"{LOSSES_PACKAGE}.detection.DetectionLoss", kwargs)

    def summary(self, ctx: LayerContext) -> str:
        return "detection head (v1)"


@layer("iseg", dialect="pjreddie")
class Iseg(Head, LossLayer):
    """Instance segmentation: class maps, logistic, and an embedding for each pixel (iseg_layer.c)."""

    needs_map = True
    loss_options = Training

    classes: int = option(default=20, minimum=0, help="Number of classes.")
    ids: int = option(default=32, minimum=0, help="Values of the embedding per pixel.")

    @property
    def predictors(self) -> int:
        return 1

    @property
    def entries(self) -> int:
        return self.classes + self.ids

    def select_channels(self, classes: Sequence[int]) -> list[int]:
        """Return the channels that remain: the classes come first, then the embedding."""
        return [*classes, *range(self.classes, self.entries)]

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("head", f"{HEADS_MODULE}.IsegHead", {"classes": self.classes}),)

    def loss(self, ctx: LayerContext, options: Training, net: Shape) -> LossSpec:
        raise LayerError("[iseg] cannot be trained: its loss requires a mask for every object")

    def summary(self, ctx: LayerContext) -> str:
        return "segmentation head"
