"""What differs between the Darknets, as values that the phases ask for: no phase knows a fork by its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from darkparse.layers.training_behavior import TrainingBehavior


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One fork of Darknet. The fields name the place in its C where they come from."""

    name: str
    title: str
    parent: Dialect | None = None
    """The fork that it was made from, all of which it knows but what is `unsupported`."""
    unsupported: frozenset[str] = frozenset()
    """What it dropped of that: kinds as `[rnn]`, options as `[net] adam`, activations by their name."""
    auto_detectable: bool = True
    """Whether what a cfg holds can speak for it; else it is chosen by name alone."""
    batchnorm_epsilon: float
    """Added to the variance, or to its root (`epsilon_on_root`); blas.c normalize_cpu."""
    epsilon_on_root: bool
    batchnorm_stores_biases: bool
    """Whether the file holds the biases of a `[batchnorm]` section; parser.c load_batchnorm_weights."""
    lstm_order: tuple[str, ...]
    """Order of an LSTM's matrices in the file; parser.c load_weights_upto."""
    gru_order: tuple[str, ...]
    rnn_state_is_output: bool
    """`[rnn]` has a state of the size of its output and no `hidden`; rnn_layer.c make_rnn_layer."""
    flat_recurrences: frozenset[str]
    """Kinds whose output has a length and no channels, so that no layer of maps can follow;
    rnn_layer.c, lstm_layer.c, gru_layer.c."""
    seen_limit: int | None
    """Header versions from this on store `seen` in 32 bits again; parser.c load_weights_upto."""
    region_interleaved: bool
    """Whether a region head's output lies cell by cell; region_layer.c forward_region_layer."""
    xnor_joins_groups: bool
    """An XNOR convolution has one group whatever `groups` says; convolutional_layer.c make_convolutional_layer."""
    xnor_pads_with_minus_one: bool
    """The bit path of XNOR convolutions pads with 0 bits, which stand for -1; convolutional_layer.c."""
    strict_parser: bool = False
    """Whether its reader cuts comments off and ends the program at what others pass over (passes/strict_rules.py)."""
    stepped_heads: frozenset[str] = frozenset()
    """Kinds of a last layer with which the input's sides must be multiples of `head_step`; darknet_cfg.cpp."""
    head_step: int = 32
    adds_equal_sizes_only: bool
    """A shortcut of maps of two sizes ends the program; parser.c parse_shortcut."""
    resize: Literal["letterbox", "stretch"]
    """How `detector test` fits a picture to the network's input; examples/detector.c, src/detector.c."""
    applies_exif: bool
    """Whether its usual build turns a picture as its EXIF note says: OpenCV does; image_opencv.cpp load_image_mat."""
    version: tuple[int, int, int]
    """The header's version in the files that it writes; parser.c save_weights_upto."""
    pointwise_loses_stride: bool
    """The CPU code of a 1×1 convolution reads the map as it lies; convolutional_layer.c forward_convolutional_layer."""
    dropout_probability: float
    """Of a `[dropout]` that says none; parser.c parse_dropout."""
    crnn_padding: int
    """Of a `[crnn]`: pjreddie's has no option for it; crnn_layer.c make_crnn_layer."""
    ranks_leaves_only: bool
    """A classifier with a word tree names its leaves alone; classifier.c predict_classifier."""
    hidden_class_prefix: str | None
    """`detector test` hides classes whose names begin with this; image.c:306."""
    training: TrainingBehavior
    """How it trains, and where it looks for labels."""

    @property
    def lineage(self) -> tuple[Dialect, ...]:
        """It and those that it comes from, the newest first."""
        return (self, *(self.parent.lineage if self.parent else ()))

    def supports(self, dialect: str | None, *feature: str) -> bool:
        """Whether it knows what one dialect alone has, and with it those that were made from that one.

        Args:
            dialect: that dialect's name; None for what all have.
            feature: the thing itself, as `unsupported` writes it with spaces between.
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
    ),
)

DIALECTS: dict[str, Dialect] = {}
"""Every dialect by its name; the original comes first, and a fork behind the one that it was made from."""


def register(dialect: Dialect) -> Dialect:
    """Make a dialect one of those that can be chosen. Raises ValueError if its name is taken."""
    if dialect.name in DIALECTS:
        raise ValueError(f"there is a dialect {dialect.name!r} already: {DIALECTS[dialect.name].title}")
    DIALECTS[dialect.name] = dialect
    return dialect


def fork(parent: Dialect, name: str, title: str, **differences: Any) -> Dialect:
    """Register a dialect that derives from another one.

    Args:
        differences: fields of `Dialect` with other values; for training, `training=replace(parent.training, …)`.
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
"""The maintained fork in C++; what it lacks is what no function of its darknet_cfg.cpp reads."""
