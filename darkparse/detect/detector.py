"""Pictures in, detections out."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from darkparse.datasets.image_files import Size
from darkparse.datasets.names import Names, find_names
from darkparse.detect.candidates import Candidates, PreparedImage
from darkparse.detect.detections import Detections, emit_warnings
from darkparse.detect.engines.engine import Engine, choose_engine
from darkparse.detect.engines.loading import as_engine, load_engine
from darkparse.detect.images import as_image
from darkparse.detect.postprocess import Postprocessor
from darkparse.detect.preprocess import RESIZE_MODES, Resize, fit_image
from darkparse.detect.streaming import stream
from darkparse.detect.task import check_detector, class_count, default_resize, is_classifier
from darkparse.errors import DarkparseError, ImageError, NoWeightsError
from darkparse.network import compile
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.suppression import get_suppression
from darkparse.weights import LoadedArrays, ReadOptions, WeightsSource, read

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as PillowImage
    from torch import Tensor

    from darkparse.model import Darknet

_STATE_LOCK = Lock()
"""Held while a recurrent network runs: its memory is one thread's at a time."""

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | PillowImage | NDArray[Any] | Tensor"
"""A path, the bytes of a file, an open file, a Pillow image, an array (H, W, C) or (H, W) in uint8 or 0…1, or a tensor
(C, H, W)."""


class Detector:
    """A network with what it needs around it: from a picture to what is in it, with Darknet's arithmetic.

    A network without a detection head, such as darknet19, is a classifier: it names the best classes of a whole
    picture.

    Attributes:
        engine: what runs the network: torch, in the module's dtype where it is, a copy made by `darkparse.optimize`; or
            a runtime for its graph.
        names: the name of each class.
        resize: how a picture is fitted to the network's input: "letterbox", "stretch" or "crop".

    Args:
        model: a network with its weights.
        names: the classes' names, a `.names` or `.data` file; see `find_names` for what is taken without.
        resize: by default what Darknet's `detector test` does in the network's dialect (pjreddie letterboxes, AlexeyAB
            stretches unless `[net] letter_box=1`), or for a classifier `classifier predict` (AlexeyAB crops the
            middle).
        use_class_map: of a word tree score the classes that the head's `map=` lists, as Darknet does when it validates.
        fold: batch norm is part of the weights, which is faster, as AlexeyAB's Darknet has it; pjreddie's does not, and
            finds the same.

    Threads may share a detector: each call has its own memory, and a recurrent network runs for one at a time.

    Raises:
        NoWeightsError: the module has no weights.
        DarkparseError: the network takes no picture, or neither detects nor classifies; the names do not fit.

    >>> import numpy as np
    >>> detector = darkparse.Detector(darkparse.load("yolov3-tiny", size=64))
    >>> detector
    Detector(yolov3-tiny, 80 classes in boxes, letterbox to 64×64, pjreddie)
    >>> detector.detect(np.zeros((60, 80, 3), np.uint8), threshold=0.9)
    []
    """

    def __init__(
        self,
        model: Darknet | Engine,
        *,
        names: Names | None = None,
        resize: str | None = None,
        use_class_map: bool = False,
        fold: bool = True,
    ) -> None:
        self.engine = as_engine(model, fold=fold, use_class_map=use_class_map)
        self.network = network = self.engine.network
        self.use_class_map = use_class_map
        self.classifies = is_classifier(network)
        self.names = find_names(network, class_count(network, use_class_map), names)
        if resize is not None and resize not in RESIZE_MODES:
            raise DarkparseError(f"there is no resize {resize!r}; choose one of {', '.join(RESIZE_MODES)}")
        if resize == "crop" and not self.classifies:
            raise DarkparseError("resize='crop' is for classifiers: boxes would miss what is cut off")
        self.resize: Resize = resize or default_resize(network, self.classifies)
        self._postprocessor = Postprocessor(network, self.names, None if self.classifies else get_suppression(network))
        self.is_stateful = any(node.layer.has_state for node in network.nodes)

    @classmethod
    def load(
        cls,
        cfg: CfgLike,
        weights: WeightsSource | LoadedArrays | None = None,
        options: ReadOptions = ReadOptions(),
        *,
        names: Names | None = None,
        dialect: str | None = None,
        resize: str | None = None,
        size: int | Size | None = None,
        device: str | torch.device | int | None = None,
        dtype: torch.dtype | None = None,
        compile_options: CompileOptions = CompileOptions(),
        use_class_map: bool = False,
        fold: bool = True,
        engine: str = "torch",
    ) -> Detector:
        """Compile a cfg, load its weights and find its names.

        Args:
            cfg: a path, the name of a cfg that ships with darkparse, the text of a cfg, a parsed Config or a
                Network; or a `.safetensors`, `.pt` or `.npz` file that darkparse wrote, which knows its cfg.
            weights: what `darkparse.load` takes; left out only where the first argument is such a file.
            options: how the weights are read, and where the network runs: on the CPU by default, in float32.
            names: see `Detector`.
            dialect: overrides `compile_options.dialect`.
            resize: see `Detector`.
            size: overrides `compile_options.size`: n or (height, width), in pixels.
            device: overrides `options.device`.
            dtype: overrides `options.dtype`.
            compile_options: how the cfg is compiled.
            use_class_map: see `Detector`.
            fold: see `Detector`.
            engine: what runs the network: `"torch"`, or on the CPU `"onnxruntime"` or `"openvino"`, which load without
                torch; `"auto"` takes the fastest that is installed (see `darkparse.detect.engines.engine`).

        Returns:
            The detector.

        Raises:
            CfgError: the cfg is wrong.
            NoWeightsError: there are no weights.
            WeightsError: the weights do not fit.
            DarkparseError: the network is no detector, or the names do not fit.
        """
        options = options.override(device=device, dtype=dtype)
        compile_options = compile_options.override(size=size, dialect=dialect)
        wants_torch = options.dtype is not None or str(options.device or "cpu") != "cpu"
        name = choose_engine(engine, wants_torch=wants_torch)
        loaded = read(cfg, weights, options, compile_options)
        if loaded is None:
            raise NoWeightsError(
                f"{compile(cfg, compile_options).name}: a detector needs weights; darkparse.Detector(model) takes a "
                "model without"
            )
        names = check_detector(loaded.network, names, use_class_map=use_class_map)
        loaded_engine = load_engine(name, loaded, options, fold=fold, use_class_map=use_class_map)
        return cls(loaded_engine, names=names, resize=resize, use_class_map=use_class_map)

    def __repr__(self) -> str:
        h, w = self.input_size
        what = "classes" if self.classifies else "classes in boxes"
        return (
            f"Detector({self.network.name}, {len(self.names)} {what}, {self.resize} to {h}×{w}, "
            f"{self.network.dialect.name})"
        )

    @property
    def input_size(self) -> Size:
        """Height and width of the network's input."""
        return self.network.net.height, self.network.net.width

    @property
    def model(self) -> Darknet:
        """The optimized module. Raises DarkparseError where another engine than torch runs the network."""
        module: Darknet | None = getattr(self.engine, "model", None)
        if module is None:
            raise DarkparseError(f"engine {self.engine.name} runs the network: there is no module")
        return module

    @property
    def batch(self) -> int:
        """How many pictures should run at once where the network is."""
        return self.engine.batch

    @overload
    def detect(
        self,
        image: list[Any] | tuple[Any, ...],
        settings: DetectionSettings = ...,
        *,
        threshold: float | None = ...,
        nms: float | None = ...,
        hierarchy: float | None = ...,
    ) -> list[Detections]: ...

    @overload
    def detect(
        self,
        image: ImageInput,
        settings: DetectionSettings = ...,
        *,
        threshold: float | None = ...,
        nms: float | None = ...,
        hierarchy: float | None = ...,
    ) -> Detections: ...

    def detect(
        self,
        image: ImageInput | list[Any] | tuple[Any, ...],
        settings: DetectionSettings = DetectionSettings(),
        *,
        threshold: float | None = None,
        nms: float | None = None,
        hierarchy: float | None = None,
    ) -> Detections | list[Detections]:
        """Find what is in a picture, or in each of several.

        Args:
            image: a path, an open file or its bytes, a Pillow image, an array (H, W, C) or (H, W) in uint8 or 0…1 with
                the network's channels, a tensor (C, H, W); or several: a list or tuple of them, an array (N, H, W, C)
                or a tensor (N, C, H, W), which run in batches. Three channels are RGB; OpenCV's are BGR:
                `DetectionSettings(channels="bgr")`.
            settings: what counts as a detection, and how images are read.
            threshold: overrides `settings.threshold`.
            nms: overrides `settings.nms`.
            hierarchy: overrides `settings.hierarchy`.

        Returns:
            The detections, best first; for several images a list of them. A type checker takes an array for one image:
            pass `list(batch)` to be exact. Warnings about an image are in its `warnings`, and a DarkparseWarning each.

        Raises:
            ImageError: a picture cannot be read.
            DarkparseError: a setting is out of its range.
        """
        settings = settings.override(threshold=threshold, nms=nms, hierarchy=hierarchy)
        if isinstance(image, list | tuple) or getattr(image, "ndim", 0) == 4:
            return list(self.stream(cast("Iterable[ImageInput]", image), settings))
        return emit_warnings(self.run([self.prepare(image, settings)], settings)[0])

    def stream(
        self,
        images: Iterable[ImageInput],
        settings: DetectionSettings = DetectionSettings(),
        *,
        threshold: float | None = None,
        nms: float | None = None,
        hierarchy: float | None = None,
        batch: int | None = None,
        workers: int | None = None,
        on_error: Callable[[ImageInput, ImageError], None] | None = None,
    ) -> Generator[Detections, None, None]:
        """Detect in any number of pictures in constant memory, in their order, with several threads.

        Args:
            images: what `detect` takes; paths are read a few batches ahead.
            settings: what counts as a detection, and how images are read.
            threshold: overrides `settings.threshold`.
            nms: overrides `settings.nms`.
            hierarchy: overrides `settings.hierarchy`.
            batch: how many pictures run at once; by default one on the CPU, 16 on a GPU.
            workers: threads that read and run them, by default one for each core, at most 8.
            on_error: called for a picture that cannot be read, which is then left out; without it the error is raised.

        Raises:
            ImageError: a picture cannot be read, and there is no `on_error`.
            DarkparseError: a setting is out of its range.
        """
        settings = settings.override(threshold=threshold, nms=nms, hierarchy=hierarchy)
        if isinstance(images, str | bytes | os.PathLike):
            raise DarkparseError("stream takes several pictures; detect takes one")
        if batch is not None and batch < 1:
            raise DarkparseError(f"batch is how many pictures run at once, not {batch}")
        for result in stream(self, images, settings, batch=batch or self.batch, workers=workers):
            if not isinstance(result.result, ImageError):
                yield emit_warnings(result.result)
            elif on_error is None:
                raise result.result
            else:
                on_error(result.source, result.result)

    def warm_up(self) -> Detector:
        """Run a blank picture, so that the first real one is as fast as any; returns the detector."""
        blank = np.zeros((*self.input_size, self.network.net.channels), np.uint8)
        self.run([self.prepare(blank)], DetectionSettings())
        self.reset_state()
        return self

    def prepare(
        self,
        image: ImageInput,
        settings: DetectionSettings = DetectionSettings(),
        *,
        keep_pixels: bool = False,
        name: str | None = None,
    ) -> PreparedImage:
        """Read a picture and fit it to the network's input.

        Args:
            image: what `detect` takes.
            settings: how it is read.
            keep_pixels: give them back, for drawing.
            name: what errors call a picture that is no path.

        Raises:
            ImageError: it cannot be read, or has other channels than the network takes.
        """
        apply_exif = self.network.dialect.applies_exif if settings.exif == "auto" else settings.exif == "on"
        is_bgr, channels = settings.channels == "bgr", self.network.net.channels
        loaded = as_image(image, channels, apply_exif=apply_exif, bgr=is_bgr, name=name)
        size, crop_first = loaded.pixels.shape[:2], self.network.dialect.resize == "letterbox"
        values, placement = fit_image(loaded.pixels, self.input_size, self.resize, crop_first=crop_first)
        path = os.fspath(image) if isinstance(image, str | os.PathLike) else None
        pixels = loaded.pixels if keep_pixels else None
        return PreparedImage(values, placement, size, path, pixels, loaded.warnings, loaded.orientation)

    def run(
        self, prepared: Sequence[PreparedImage], settings: DetectionSettings, *, continuing: bool = False
    ) -> list[Detections]:
        """Detect in pictures that are ready, as one batch.

        Args:
            prepared: what `prepare` made.
            settings: thresholds.
            continuing: the pictures follow those of the call before; a recurrent network then remembers them.
        """
        if not prepared:
            return []
        if not self.is_stateful:
            return self._detect_batch(prepared, settings)
        detections = []
        with _STATE_LOCK:
            for image in prepared:
                if not continuing:
                    self.reset_state()
                detections += self._detect_batch([image], settings)
        return detections

    def _detect_batch(self, prepared: Sequence[PreparedImage], settings: DetectionSettings) -> list[Detections]:
        images = np.stack([image.values for image in prepared]) if len(prepared) > 1 else prepared[0].values[None]
        if self.classifies:
            scores = self._postprocessor.apply_tree(self.engine.class_scores(images).reshape(len(images), -1))
            return [
                self._postprocessor.rank_classes(image_scores, image, settings)
                for image_scores, image in zip(scores, prepared, strict=True)
            ]
        parts = self.engine.candidates(images, settings.threshold, settings.hierarchy)
        candidates = Candidates(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        return [self._postprocessor.select_boxes(candidates, i, image, settings) for i, image in enumerate(prepared)]

    def reset_state(self) -> None:
        """Make recurrent layers forget the pictures before."""
        self.engine.reset_state()
