"""The detector: from images to detections."""

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
from darkparse.detect.task import check_detector, class_count, is_classifier
from darkparse.errors import DarkparseError, ImageError, NoWeightsError
from darkparse.network import compile
from darkparse.network.compile_options import CfgLike, CompileOptions
from darkparse.network.detection_settings import DetectionSettings
from darkparse.network.image_input import default_resize
from darkparse.network.suppression import get_suppression
from darkparse.onnx.in_place import follow_reference
from darkparse.weights import LoadedArrays, ReadOptions, WeightsSource, read

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image as PillowImage
    from torch import Tensor

    from darkparse.model import Darknet

_STATE_LOCK = Lock()
"""Locked while a recurrent network runs: only one thread at a time may use its state."""

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | IO[bytes] | PillowImage | NDArray[Any] | Tensor"
"""A path, an open file or its bytes, a Pillow image, an array (H, W, C) or (H, W) in uint8 or [0, 1], or a tensor
(C, H, W).
"""


class Detector:
    """Detects objects in images with Darknet's arithmetic.

    A network without a detection head, such as darknet19, is a classifier: its detections are the best classes of the
    whole image.

    Attributes:
        engine: Engine that runs the network: torch, with the module if it is already optimized or else an optimized
            copy (`darkparse.optimize`), or a runtime for its ONNX graph.
        names: Name of each class.
        resize: How images are fitted to the network's input: "letterbox", "stretch" or "crop".

    Args:
        model: A network with weights.
        names: Class names, or a `.names` or `.data` file; see `find_names` for the default.
        resize: By default that of Darknet's `detector test` in the network's dialect (pjreddie letterboxes, AlexeyAB
            stretches unless `[net] letter_box=1`), or for a classifier the center crop of `classifier valid`
            (pjreddie's `classifier predict` letterboxes).
        use_class_map: With a word tree, score the classes that the head's `map=` lists, as Darknet does in validation.
        fold: Fold batch norm into the weights, which is faster. AlexeyAB's Darknet does this; pjreddie's does not, with
            the same detections.

    Threads may share a detector: each call has its own buffers, and a recurrent network runs one call at a time.

    Raises:
        NoWeightsError: The module has no weights.
        DarkparseError: The network does not take images, or neither detects nor classifies; the names do not match.

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
            raise DarkparseError(f"unknown resize {resize!r}; expected one of {', '.join(RESIZE_MODES)}")
        if resize == "crop" and not self.classifies:
            raise DarkparseError("resize='crop' is for classifiers: boxes would miss what is cut off")
        self.resize: Resize = resize or default_resize(network, classifies=self.classifies)
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
        dtype: torch.dtype | str | None = None,
        compile_options: CompileOptions = CompileOptions(),
        use_class_map: bool = False,
        fold: bool = True,
        engine: str = "auto",
    ) -> Detector:
        """Compile a cfg, load its weights and find its class names.

        Args:
            cfg: A path, the name of a bundled cfg, the text of a cfg, a parsed Config or a Network; or a
                `.safetensors`, `.pt` or `.npz` file that darkparse wrote, which contains its cfg.
            weights: Weights as for `darkparse.load`; may be omitted only if the first argument is such a file. An ONNX
                graph written with `in_place` stands for the `.weights` file that it refers to, which is checked.
            options: How weights are read, and the device and dtype; by default float32 on a GPU (CUDA, else MPS) if
                there is one and torch is installed, else on the CPU.
            names: See `Detector`.
            dialect: Overrides `compile_options.dialect`.
            resize: See `Detector`.
            size: Overrides `compile_options.size`: n or (height, width), in pixels.
            device: Overrides `options.device`.
            dtype: Dtype to compute in, or its name: float32, bfloat16 or float16; overrides `options.dtype`. On torch,
                the last convolutions and the heads stay in float32. ONNX Runtime only computes in float32.
            compile_options: How the cfg is compiled.
            use_class_map: See `Detector`.
            fold: See `Detector`.
            engine: Engine that runs the network: `"torch"`, or on the CPU `"onnxruntime"` or `"openvino"`, which load
                without torch. `"auto"` selects torch for a GPU, else the first of OpenVINO, ONNX Runtime and torch that
                is installed and can run the network; `detector.engine.name` is its name.

        Returns:
            The detector.

        Raises:
            CfgError: The cfg is invalid.
            NoWeightsError: There are no weights.
            WeightsError: The weights do not fit.
            DarkparseError: The network is not a detector, or the names do not match.
        """
        options = options.override(device=device)
        compile_options = compile_options.override(size=size, dialect=dialect)
        requested = options.dtype if dtype is None else dtype
        dtype_name = None if requested is None else str(requested).removeprefix("torch.")
        name = choose_engine(engine, device=options.device, dtype=dtype_name)
        loaded = read(cfg, follow_reference(weights), options, compile_options)
        if loaded is None:
            raise NoWeightsError(
                f"{compile(cfg, compile_options).name}: a detector requires weights\nhint: for a model without a "
                "weights file, call darkparse.Detector(model)"
            )
        names = check_detector(loaded.network, names, use_class_map=use_class_map)
        loaded_engine = load_engine(
            name,
            loaded,
            options,
            dtype=dtype_name,
            fold=fold,
            use_class_map=use_class_map,
            is_fixed=engine != "auto",
        )
        return cls(loaded_engine, names=names, resize=resize, use_class_map=use_class_map)

    def __repr__(self) -> str:
        h, w = self.input_size
        noun = "classes" if self.classifies else "classes in boxes"
        return (
            f"Detector({self.network.name}, {len(self.names)} {noun}, {self.resize} to {h}×{w}, "
            f"{self.network.dialect.name})"
        )

    @property
    def input_size(self) -> Size:
        """Height and width of the network's input."""
        return self.network.net.height, self.network.net.width

    @property
    def model(self) -> Darknet:
        """Optimized module. Raises DarkparseError if another engine than torch runs the network.

        ONNX Runtime and OpenVINO have no module: they run a graph. Use `Detector.load(…, engine="torch")`, or
        `darkparse.load` for a module beside the detector.
        """
        module: Darknet | None = getattr(self.engine, "model", None)
        if module is None:
            raise DarkparseError(
                f"detector.model requires engine torch, got engine {self.engine.name}, which runs a graph\n"
                "hint: Detector.load(…, engine='torch')"
            )
        return module

    @property
    def batch(self) -> int:
        """Recommended number of images per batch on the engine's device."""
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
        top: int | None = ...,
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
        top: int | None = ...,
    ) -> Detections: ...

    def detect(
        self,
        image: ImageInput | list[Any] | tuple[Any, ...],
        settings: DetectionSettings = DetectionSettings(),
        *,
        threshold: float | None = None,
        nms: float | None = None,
        hierarchy: float | None = None,
        top: int | None = None,
    ) -> Detections | list[Detections]:
        """Detect objects in one image, or in each of several.

        Args:
            image: A path, an open file or its bytes, a Pillow image, an array (H, W, C) or (H, W) in uint8 or [0, 1]
                with the network's channels, or a tensor (C, H, W). For several images, a list or tuple of these, an
                array (N, H, W, C) or a tensor (N, C, H, W), which run in batches. Three channels are RGB; for OpenCV's
                BGR use `DetectionSettings(channels="bgr")`.
            settings: Thresholds, and how images are read.
            threshold: Overrides `settings.threshold`.
            nms: Overrides `settings.nms`.
            hierarchy: Overrides `settings.hierarchy`.
            top: Overrides `settings.top`.

        Returns:
            The detections, best first; for several images a list of them. Type checkers treat an array as one image;
            pass `list(batch)` for a batch. Warnings about an image are in its `warnings` and are issued as
            DarkparseWarning.

        Raises:
            ImageError: An image cannot be read.
            DarkparseError: A setting is out of range.
        """
        settings = settings.override(threshold=threshold, nms=nms, hierarchy=hierarchy, top=top)
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
        top: int | None = None,
        batch: int | None = None,
        workers: int | None = None,
        on_error: Callable[[ImageInput, ImageError], None] | None = None,
    ) -> Generator[Detections, None, None]:
        """Detect objects in any number of images, in order, with constant memory and several threads.

        Args:
            images: Images as for `detect`; paths are read a few batches ahead.
            settings: Thresholds, and how images are read.
            threshold: Overrides `settings.threshold`.
            nms: Overrides `settings.nms`.
            hierarchy: Overrides `settings.hierarchy`.
            top: Overrides `settings.top`.
            batch: Number of images per batch; by default 1 on the CPU and 16 on a GPU.
            workers: Number of threads that read and run batches; by default one per core, at most 8.
            on_error: Called with an image that cannot be read and its error; the image is skipped. None: raise the
                error.

        Raises:
            ImageError: An image cannot be read, and `on_error` is None.
            DarkparseError: A setting is out of range.
        """
        settings = settings.override(threshold=threshold, nms=nms, hierarchy=hierarchy, top=top)
        if isinstance(images, str | bytes | os.PathLike):
            raise DarkparseError("stream takes several images; detect takes one")
        if batch is not None and batch < 1:
            raise DarkparseError(f"batch must be at least 1, got {batch}")
        for result in stream(self, images, settings, batch=batch or self.batch, workers=workers):
            if not isinstance(result.result, ImageError):
                yield emit_warnings(result.result)
            elif on_error is None:
                raise result.result
            else:
                on_error(result.source, result.result)

    def warm_up(self) -> Detector:
        """Run a blank image, so that the first real image is not slower than later ones; return the detector."""
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
        """Read an image and fit it to the network's input.

        Args:
            image: An image as for `detect`.
            settings: How the image is read.
            keep_pixels: Keep the pixels for drawing.
            name: Name in error messages for an image that is not a path.

        Raises:
            ImageError: The image cannot be read, or its channels do not match the network's.
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
        """Detect objects in prepared images, as one batch.

        Args:
            prepared: Results of `prepare`.
            settings: Thresholds.
            continuing: The images follow those of the previous call; a recurrent network keeps its state.
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
        """Reset the state of recurrent layers."""
        self.engine.reset_state()
