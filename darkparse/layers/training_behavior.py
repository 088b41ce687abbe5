"""Training behavior of a Darknet fork, and its label locations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBehavior:
    """Differences between forks in training and training data; part of a `Dialect`."""

    accumulates_deltas: bool
    """Whether the box deltas of a predictor's truths are summed; otherwise the last one applies; yolo_layer.c."""
    max_boxes: int
    """Default `max` of `[yolo]`, the maximum number of truths per image; parser.c parse_yolo."""
    max_region_boxes: int
    """Default `max` of `[region]`; region_layer.c, parser.c parse_region."""
    policies: tuple[str, ...]
    """Learning rate policies; parser.c get_policy."""
    adam_epsilon: float
    """Default `eps` of Adam; parser.c parse_net_options."""
    counts_iterations: bool
    """Whether `seen` is saved as a multiple of the batch and Adam derives its step from it; parser.c, network.c."""
    freezes_whole_layers: bool
    """Whether the layers before `stopbackward=1` are completely frozen; parser.c:1686.

    Otherwise weight decay and running statistics still apply to them.
    """
    label_folders: tuple[tuple[str, str], ...]
    """Replacements that turn an image path into its label path, each applied once; utils.c replace_image_to_label."""
    image_extensions: tuple[str, ...]
    """Image extensions that are replaced by `.txt` in the label path."""
    replaces_extension_at_end: bool
    """Whether only an extension at the end of the path is replaced; otherwise its first occurrence is."""
    needs_labels: bool
    """Whether training fails on an image without a label file; otherwise it has no objects; data.c read_boxes."""
    crops_images: bool
    """Whether images are cropped and stretched, and invalid boxes dropped; data.c load_data_detection.

    Otherwise the whole image is placed on gray and only tiny boxes are dropped (data.c fill_truth_detection).
    """
    square_sizes: tuple[int, ...]
    """Input sizes that `random=1` selects from; empty if it scales the cfg's size; detector.c train_detector."""
    last_batches: int
    """Number of final batches that use the largest size."""
    numbers_epochs: bool
    """Whether a classifier's weights are saved after each epoch, as NAME_1, NAME_2, …, NAME; classifier.c."""
