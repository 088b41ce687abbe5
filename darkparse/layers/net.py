"""Options of the `[net]` section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from darkparse.layers.base import Keys, keys, option, resolve_derived
from darkparse.layers.shape import Shape
from darkparse.layers.training import NetTraining


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """Input, batches and training of the network (parser.c parse_net_options)."""

    kind: ClassVar[str] = "net"
    aliases: ClassVar[tuple[str, ...]] = ("network",)
    parser: ClassVar[str] = "parse_net_options"
    dialect: ClassVar[str | None] = None
    loss_options: ClassVar[type[NetTraining]] = NetTraining
    training: ClassVar[Keys] = {
        **keys("max_crop min_crop angle aspect saturation exposure hue"),
        **keys("max_ratio min_ratio", dialect="pjreddie"),
        **keys(
            dialect="pjreddie",
            notruth="Images have no ground truth.",
            random="Read images in random order.",
            center="Crop the center of images instead of a random part.",
        ),
        **keys(
            "flip blur gaussian_noise mixup cutmix mosaic mosaic_bound label_smooth_eps resize_step", dialect="alexeyab"
        ),
        **keys(
            dialect="alexeyab",
            track="Train on consecutive frames of a video.",
            augment_speed="Maximum step between consecutive frames.",
            sequential_subdivisions="Mini-batches per sequence.",
            try_fix_nan="Replace weights that are not finite.",
            weights_reject_freq="Iterations between checks that reject outlying weights; 0 for none.",
            equidistant_point="Iteration from which the hardest objects are left out.",
            badlabels_rejection_percentage="Fraction of objects that are left out as mislabeled.",
            num_sigmas_reject_badlabels="Deviations above which an object is left out as mislabeled.",
            use_cuda_graph="Record the GPU's work as a CUDA graph.",
            loss_scale="Factor of the loss for half precision.",
            dynamic_minibatch="Fill mini-batches with more images if `random` selects a small size.",
            optimized_memory="Share memory between layers while training: 1 to 3.",
            workspace_size_limit_MB="Limit of cuDNN's workspace in MB.",
            contrastive="Use contrastive learning.",
            contrastive_jit_flip="Jitter and mirror the pairs of contrastive learning separately.",
            contrastive_color="Change the color of the pairs of contrastive learning separately.",
            unsupervised="Use no labels in contrastive learning.",
            attention="Draw the attention of the network while training.",
            adversarial_lr="Learning rate of the image in adversarial training; 0 for none.",
            max_chart_loss="Largest loss in the chart.",
            seq_scales="Factors of the sequence length at `steps`.",
            show_receptive_field="Print the receptive field of each layer.",
        ),
    }

    width: int = option(default=0, help="Width of the input in pixels.")
    height: int = option(default=0, help="Height of the input in pixels.")
    channels: int = option(default=0, help="Channels of the input.")
    inputs: int = option(
        factory=lambda net: net.height * net.width * net.channels,
        formula="height * width * channels",
        help="Length of the input, for a network of vectors.",
    )
    batch: int = option(default=1, help="Images per weight update, divided into `subdivisions`.")
    subdivisions: int = option(default=1, help="Mini-batches per batch.")
    time_steps: int = option(default=1, help="Steps of a sequence per update.")
    letter_box: bool = option(
        default=False,
        dialect="alexeyab",
        help="Keep the aspect ratio of images and fill the rest, instead of stretching.",
    )

    def __post_init__(self) -> None:
        resolve_derived(self)

    @property
    def has_image(self) -> bool:
        return min(self.height, self.width, self.channels) > 0

    @property
    def input_shape(self) -> Shape:
        """Input shape: a map (C, H, W), or a vector if the cfg only has `inputs`."""
        return Shape(self.channels, self.height, self.width) if self.has_image else Shape.flat(self.inputs)
