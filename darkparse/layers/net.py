"""Options of the `[net]` section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from darkparse.layers.base import Keys, keys, option, resolve_derived
from darkparse.layers.shape import Shape
from darkparse.layers.training import NetTraining


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """Options of `[net]`: typed if they affect inference, otherwise known by name only (parser.c parse_net_options)."""

    kind: ClassVar[str] = "net"
    aliases: ClassVar[tuple[str, ...]] = ("network",)
    dialect: ClassVar[str | None] = None
    loss_options: ClassVar[type[NetTraining]] = NetTraining
    training: ClassVar[Keys] = {
        **keys("max_crop min_crop angle aspect saturation exposure hue"),
        **keys("notruth random max_ratio min_ratio center", dialect="pjreddie"),
        **keys(
            "track augment_speed sequential_subdivisions try_fix_nan "
            "weights_reject_freq equidistant_point badlabels_rejection_percentage num_sigmas_reject_badlabels "
            "use_cuda_graph loss_scale dynamic_minibatch optimized_memory workspace_size_limit_MB flip "
            "blur gaussian_noise mixup cutmix mosaic mosaic_bound contrastive contrastive_jit_flip "
            "contrastive_color unsupervised label_smooth_eps resize_step attention adversarial_lr max_chart_loss "
            "seq_scales show_receptive_field",
            dialect="alexeyab",
        ),
    }

    width: int = option(default=0)
    height: int = option(default=0)
    channels: int = option(default=0)
    inputs: int = option(factory=lambda net: net.height * net.width * net.channels)
    batch: int = option(default=1)
    subdivisions: int = option(default=1)
    time_steps: int = option(default=1)
    letter_box: bool = option(default=False, dialect="alexeyab")

    def __post_init__(self) -> None:
        resolve_derived(self)

    @property
    def has_image(self) -> bool:
        return min(self.height, self.width, self.channels) > 0

    @property
    def input_shape(self) -> Shape:
        """Input shape: a map (C, H, W), or a vector if the cfg only has `inputs`."""
        return Shape(self.channels, self.height, self.width) if self.has_image else Shape.flat(self.inputs)
