"""How a fork of Darknet trains, and where it finds labels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBehavior:
    """Differences between the forks in training and training data; part of a `Dialect`."""

    accumulates_deltas: bool
    """Whether the truths of one predictor add up their boxes' deltas, or the last one counts; yolo_layer.c."""
    max_boxes: int
    """Truths of a picture that a `[yolo]` counts at most, unless `max` says so; parser.c parse_yolo."""
    max_region_boxes: int
    """Those of a `[region]`; region_layer.c, parser.c parse_region."""
    policies: tuple[str, ...]
    """Of the learning rate; network.c get_policy."""
    adam_epsilon: float
    """parser.c parse_net_options."""
    counts_iterations: bool
    """Whether `seen` is saved as a multiple of the batch, and adam counts batches from there; parser.c, network.c."""
    freezes_whole_layers: bool
    """Whether the layers before `stopbackward=1` rest altogether, or decay and move their statistics; parser.c:1686."""
    label_folders: tuple[tuple[str, str], ...]
    """What of a picture's path is replaced in its label's, the first of each; utils.c replace_image_to_label."""
    image_extensions: tuple[str, ...]
    """What becomes `.txt` there."""
    replaces_extension_at_end: bool
    """Whether that is the path's end, or the first place where it stands."""
    needs_labels: bool
    """Whether training ends where a picture has no label, or takes it for one without objects; data.c read_boxes."""
    crops_images: bool
    """Whether a picture is cropped and stretched, with the truth held to be sound, or laid whole on grey with all of it
    kept; data.c load_data_detection, fill_truth_detection."""
    square_sizes: tuple[int, ...]
    """What `random=1` chooses from; empty where it scales the cfg's own size; detector.c train_detector."""
    last_batches: int
    """So many have the largest size."""
