"""Engine that runs a network as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from darkparse.detect.engines.engine import Engine, SelectedBoxes
from darkparse.detect.preprocess import Floats
from darkparse.model import Darknet
from darkparse.model.darknet import require_weights
from darkparse.model.decoders import Decoder
from darkparse.model.optimize.optimizer import is_optimized, make_optimized

GPU_BATCH = 16
"""Number of images per batch on a GPU. On the CPU it is 1, so that activations stay in the caches."""


class TorchEngine(Engine):
    """Engine that runs an optimized copy of a module, on its device and in its dtype.

    Args:
        model: A network with weights; see `Detector`.
        fold: See `Detector`.
        use_class_map: See `Detector`.
        dtype: Dtype to compute in; None for the model's. See `darkparse.optimize` for what stays in float32.
    """

    name = "torch"

    def __init__(self, model: Darknet, *, fold: bool, use_class_map: bool, dtype: torch.dtype | None = None) -> None:
        self.network, self.use_class_map = model.network, use_class_map
        # `load` may have optimized it already.
        self.model = (
            model
            if is_optimized(model)
            else make_optimized(require_weights(model, "detecting with"), dtype=dtype, folds=fold)
        )
        self._decoders: dict[float, Decoder] = {}

    @property
    def batch(self) -> int:  # type: ignore[override]
        return 1 if next(self.model.parameters()).device.type == "cpu" else GPU_BATCH

    @torch.inference_mode()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the output of each head for images (N, C, H, W) in [0, 1]."""
        parameter = next(self.model.parameters())
        outputs = self.model(images.to(parameter.device, parameter.dtype, memory_format=torch.channels_last))
        return outputs if isinstance(outputs, tuple) else (outputs,)

    def class_scores(self, images: Floats) -> Floats:
        scores: Floats = self.forward(torch.from_numpy(images))[0].float().cpu().numpy()
        return scores

    @torch.inference_mode()
    def candidates(self, images: Floats, threshold: float, hierarchy: float) -> list[SelectedBoxes]:
        outputs = self.forward(torch.from_numpy(images))
        if hierarchy not in self._decoders:
            self._decoders[hierarchy] = Decoder(self.network, hierarchy=hierarchy, use_class_map=self.use_class_map)
        decoders, size = self._decoders[hierarchy].to(outputs[0].device).heads, images.shape[2:]
        heads = [decoder(output, size) for decoder, output in zip(decoders, outputs, strict=True)]
        selected = self.select_boxes(heads, threshold, torch)
        return [tuple(values.cpu().numpy() for values in boxes) for boxes in selected]

    def reset_state(self) -> None:
        self.model.reset_state()

    @contextmanager
    def share_cores(self, workers: int) -> Iterator[Callable[[], None]]:
        """Divide the cores among the workers, which is faster than running one batch at a time on all cores."""
        threads = torch.get_num_threads()
        threads_per_worker = max(1, threads // workers)
        try:
            yield lambda: torch.set_num_threads(threads_per_worker)
        finally:
            torch.set_num_threads(threads)  # new threads start with the number that was set last
