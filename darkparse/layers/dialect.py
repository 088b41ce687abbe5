"""Differences between Darknet forks, as data: the phases read these fields instead of checking a fork's name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from darkparse.layers.training_behavior import TrainingBehavior


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Darknet fork; the fields cite the C source of each difference."""

    name: str
    title: str
    parent: Dialect | None = None
    """Fork that this one derives from; it supports all of the parent's features except `unsupported`."""
    unsupported: frozenset[str] = frozenset()
    """Removed features of the parent: kinds as `[rnn]`, options as `[net] adam`, activations by name."""
    auto_detectable: bool = True
    """Whether the dialect can be detected from a cfg; otherwise it must be selected by name."""
    batchnorm_epsilon: float
    """Value added to the variance, or to its square root (`epsilon_on_root`); blas.c normalize_cpu."""
    epsilon_on_root: bool
    batchnorm_stores_biases: bool
    """Whether the weights file includes the biases of `[batchnorm]` sections; parser.c load_batchnorm_weights."""
    lstm_order: tuple[str, ...]
    """Order of an LSTM's matrices in the weights file; parser.c load_weights_upto."""
    gru_order: tuple[str, ...]
    rnn_state_is_output: bool
    """Whether the state of `[rnn]` has the output's size and `hidden` has no effect; rnn_layer.c make_rnn_layer."""
    flat_recurrences: frozenset[str]
    """Kinds whose output has a length but no channels, so no layer that requires a map can follow.

    Source: rnn_layer.c, lstm_layer.c, gru_layer.c.
    """
    seen_limit: int | None
    """Headers with a major or minor version from this value on store `seen` in 32 bits; parser.c load_weights_upto.

    None if all versions from 0.2 on store it in 64 bits.
    """
    region_interleaved: bool
    """Whether a region head's output is ordered by cell, (H, W, C); region_layer.c forward_region_layer."""
    xnor_joins_groups: bool
    """Whether an XNOR convolution ignores `groups`; convolutional_layer.c make_convolutional_layer."""
    xnor_pads_with_minus_one: bool
    """Whether XNOR convolutions on packed bits pad with 0 bits, which represent -1; convolutional_layer.c."""
    strict_parser: bool = False
    """Whether the parser strips comments and exits on errors that other forks ignore (passes/strict_rules.py)."""
    stepped_heads: frozenset[str] = frozenset()
    """Kinds that, as the last layer, require input sides divisible by `head_step`; darknet_cfg.cpp."""
    head_step: int = 32
    adds_equal_sizes_only: bool
    """Whether Darknet exits on a shortcut between maps of different sizes; parser.c parse_shortcut."""
    resize: Literal["letterbox", "stretch"]
    """How `detector test` fits an image to the network's input; examples/detector.c, src/detector.c."""
    applies_exif: bool
    """Whether the usual build applies EXIF orientation, as OpenCV does; image_opencv.cpp load_image_mat."""
    version: tuple[int, int, int]
    """Header version (major, minor, revision) of written weights files; parser.c save_weights_upto."""
    pointwise_loses_stride: bool
    """Whether the CPU code ignores the stride of a 1×1 convolution; convolutional_layer.c forward_convolutional_layer.

    It multiplies the input map in place instead of copying patches by im2col.
    """
    dropout_probability: float
    """Default `probability` of `[dropout]`; parser.c parse_dropout."""
    crnn_padding: int
    """Default `padding` of `[crnn]`, which is fixed in pjreddie's fork; crnn_layer.c make_crnn_layer."""
    ranks_leaves_only: bool
    """Whether a classifier with a word tree only ranks the tree's leaves; classifier.c predict_classifier."""
    hidden_class_prefix: str | None
    """Prefix of class names that `detector test` hides; None if it hides none; image.c:306."""
    training: TrainingBehavior
    """Training behavior and label locations."""

    @property
    def lineage(self) -> tuple[Dialect, ...]:
        """The dialect and its ancestors, newest first."""
        return (self, *(self.parent.lineage if self.parent else ()))

    def supports(self, dialect: str | None, *feature: str) -> bool:
        """Return whether the dialect supports a feature that was introduced by another dialect.

        Args:
            dialect: Name of the dialect that introduced the feature; None if all dialects have it.
            feature: Parts of the feature's name in `unsupported`; they are joined by spaces.
        """
        if self.unsupported and " ".join(feature) in self.unsupported:
            return False
        if self.parent is None:
            return dialect is None or dialect == self.name
        return dialect == self.name or self.parent.supports(dialect, *feature)


POLICIES = ("constant", "step", "steps", "exp", "poly", "sigmoid", "random")

PJREDDIE = Dialect(
    name="pjreddie",
    title="pjreddie/darknet",
    batchnorm_epsilon=1e-6,
    epsilon_on_root=True,
    batchnorm_stores_biases=False,
    lstm_order=("wi", "wf", "wo", "wg", "ui", "uf", "uo", "ug"),
    gru_order=("wz", "wr", "wh", "uz", "ur", "uh"),
    rnn_state_is_output=True,
    flat_recurrences=frozenset({"rnn", "lstm", "gru"}),
    seen_limit=1000,
    region_interleaved=False,
    xnor_joins_groups=False,
    xnor_pads_with_minus_one=False,
    adds_equal_sizes_only=False,
    resize="letterbox",
    applies_exif=False,
    version=(0, 2, 0),
    pointwise_loses_stride=True,
    dropout_probability=0.5,
    crnn_padding=1,
    ranks_leaves_only=True,
    hidden_class_prefix=None,
    training=TrainingBehavior(
        accumulates_deltas=False,
        max_boxes=90,
        max_region_boxes=30,
        policies=POLICIES,
        adam_epsilon=1e-7,
        counts_iterations=False,
        freezes_whole_layers=False,
        label_folders=(("images", "labels"), ("JPEGImages", "labels"), ("raw", "labels")),
        image_extensions=(".jpg", ".png", ".JPG", ".JPEG"),
        replaces_extension_at_end=False,
        needs_labels=True,
        crops_images=False,
        square_sizes=tuple(range(320, 609, 32)),
        last_batches=200,
        numbers_epochs=True,
    ),
)

COCO_FOLDERS = ("train2017", "val2017", "train2014", "val2014")

ALEXEYAB = Dialect(
    name="alexeyab",
    title="AlexeyAB/darknet",
    batchnorm_epsilon=1e-5,
    epsilon_on_root=False,
    batchnorm_stores_biases=True,
    lstm_order=("wf", "wi", "wg", "wo", "uf", "ui", "ug", "uo"),
    gru_order=("uz", "ur", "uh", "wz", "wr", "wh"),
    rnn_state_is_output=False,
    flat_recurrences=frozenset({"gru"}),
    seen_limit=None,
    region_interleaved=True,
    xnor_joins_groups=True,
    xnor_pads_with_minus_one=True,
    adds_equal_sizes_only=True,
    resize="stretch",
    applies_exif=True,
    version=(0, 2, 5),
    pointwise_loses_stride=False,
    dropout_probability=0.2,
    crnn_padding=0,
    ranks_leaves_only=False,
    hidden_class_prefix="dont_show",
    training=TrainingBehavior(
        accumulates_deltas=True,
        max_boxes=200,
        max_region_boxes=200,
        policies=(*POLICIES, "sgdr"),
        adam_epsilon=1e-6,
        counts_iterations=True,
        freezes_whole_layers=True,
        label_folders=tuple(
            (
                place.replace("/", bar),
                place.replace("images", "labels").replace("JPEGImages", "labels").replace("/", bar),
            )
            for bar in ("/", "\\")
            for place in (*(f"/images/{part}/" for part in COCO_FOLDERS), "/JPEGImages/")
        ),
        image_extensions=tuple(
            ending
            for name in ("jpg", "jpeg", "png", "bmp", "ppm", "tiff")
            for ending in (f".{name}", f".{name.upper()}")
        ),
        replaces_extension_at_end=True,
        needs_labels=False,
        crops_images=True,
        square_sizes=(),
        last_batches=100,
        numbers_epochs=False,
    ),
)

DIALECTS: dict[str, Dialect] = {}
"""Dialects by name; the original comes first, and a fork comes after its parent."""


def register(dialect: Dialect) -> Dialect:
    """Add a dialect to `DIALECTS`.

    Raises:
        ValueError: The name is already registered.
    """
    if dialect.name in DIALECTS:
        raise ValueError(f"dialect {dialect.name!r} is already registered for {DIALECTS[dialect.name].title}")
    DIALECTS[dialect.name] = dialect
    return dialect


def fork(parent: Dialect, name: str, title: str, **differences: Any) -> Dialect:
    """Register a dialect that derives from another one.

    Args:
        parent: Dialect to derive from.
        name: Name of the new dialect.
        title: Repository of the fork, for messages.
        differences: Fields of `Dialect` that differ from the parent's; for training,
            `training=replace(parent.training, …)`.

    Raises:
        ValueError: The name is already registered.
    """
    return register(
        replace(parent, name=name, title=title, parent=parent, **{"unsupported": frozenset(), **differences})
    )


for root in (PJREDDIE, ALEXEYAB):
    register(root)

HANK_AI = fork(
    ALEXEYAB,
    "hank-ai",
    "hank-ai/darknet",
    auto_detectable=False,
    strict_parser=True,
    stepped_heads=frozenset({"yolo", "region"}),
    unsupported=frozenset(
        (
            *("[activation]", "[batchnorm]", "[conv_lstm]", "[crop]", "[deconvolutional]", "[detection]", "[empty]"),
            *("[gru]", "[history]", "[implicit]", "[iseg]", "[l2norm]", "[local]", "[logistic]", "[normalization]"),
            *("[reorg]", "[net] max_crop", "[net] min_crop", "[net] unsupervised"),
            *("[yolo] show_details", "[yolo] uc_normalizer", "[crnn] hidden_filters", "[crnn] output_filters"),
            *("[Gaussian_yolo] dets_for_show", "[Gaussian_yolo] dets_for_track", "[Gaussian_yolo] embedding_layer"),
            *("[Gaussian_yolo] focal_loss", "[Gaussian_yolo] show_details", "[Gaussian_yolo] sim_thresh"),
            *("[Gaussian_yolo] track_ciou_norm", "[Gaussian_yolo] track_history_size"),
        )
    ),
)
"""Maintained fork in C++; its unsupported features are those that darknet_cfg.cpp does not read."""
LOWERING_TARGET = ALEXEYAB
"""Dialect of the cfgs that `darkparse lower` writes."""
