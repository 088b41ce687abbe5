"""Programs that run a network, each set up as its documentation recommends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.case import Case

Floats = NDArray[np.float32]


class Peer(ABC):
    """A loaded network; its input is (N, C, H, W) in [0, 1]."""

    requirements: ClassVar[tuple[str, ...]]
    """Modules to import, the runtime first."""
    file_format: ClassVar[str | None] = None
    """File format that it loads (see `prepare_case`); None for cfg and weights."""
    output_kind: Literal["heads", "boxes"] = "heads"
    """Kind of the compared outputs: outputs of the heads, or boxes (N · B, 4) as fractions of the input size."""

    @abstractmethod
    def __init__(self, case: Case) -> None: ...

    @abstractmethod
    def __call__(self, x: Floats) -> Any:
        """Run the network."""

    def compute_outputs(self, x: Floats) -> list[Floats]:
        """Return the outputs to compare, one array per head."""
        outputs = self(x)
        return [np.asarray(output) for output in (outputs if isinstance(outputs, list | tuple) else [outputs])]


class TorchPeer(Peer):
    """A PyTorch module."""

    requirements: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, case: Case) -> None:
        import torch

        torch.set_num_threads(case.threads)
        self.model, self._torch = self.load(case).eval(), torch

    @abstractmethod
    def load(self, case: Case) -> Any: ...

    def __call__(self, x: Floats) -> Any:
        with self._torch.inference_mode():
            return self.model(self._torch.from_numpy(x))


class EagerModule(TorchPeer):
    """The source that `darkparse emit` writes, without darkparse."""

    file_format = ".py"

    def load(self, case: Case) -> Any:
        path = case.get_path(".py")
        loader = SourceFileLoader("network", path)
        spec = spec_from_file_location("network", path, loader=loader)
        assert spec
        source = module_from_spec(spec)
        loader.exec_module(source)
        model = getattr(source, (source.__doc__ or "").split()[0])()
        source.load_darknet_weights(model, case.weights)
        return model


class DarkparseModule(TorchPeer):
    """The module of `darkparse.load`."""

    requirements = ("torch", "darkparse")
    load_options: ClassVar[dict[str, Any]] = {}

    def load(self, case: Case) -> Any:
        import darkparse

        return darkparse.load(case.cfg, case.weights, **self.load_options)


class OptimizedModule(DarkparseModule):
    """The module of `darkparse.optimize`."""

    load_options: ClassVar[dict[str, Any]] = {"optimize": True}


class OptimizedModuleWithoutWinograd(DarkparseModule):
    """The optimized module with direct convolutions only."""

    def load(self, case: Case) -> Any:
        import darkparse

        return darkparse.optimize(super().load(case), winograd=False)


class OptimizedModuleBfloat16(OptimizedModule):
    """The optimized module in bfloat16, except its last convolutions and heads."""

    def load(self, case: Case) -> Any:
        import torch

        import darkparse

        self._dtype = torch.bfloat16
        return darkparse.load(case.cfg, case.weights, optimize=True, dtype=self._dtype)

    def __call__(self, x: Floats) -> Any:
        with self._torch.inference_mode():
            return self.model(self._torch.from_numpy(x).to(self._dtype))


class OnnxRuntime(Peer):
    """ONNX Runtime on the exported file."""

    requirements, file_format = ("onnxruntime",), ".onnx"

    def __init__(self, case: Case) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = case.threads
        path, providers = case.get_path(".onnx"), ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(path, options, providers=providers)

    def __call__(self, x: Floats) -> Any:
        return self._session.run(None, {"image": x})


class OpenVino(Peer):
    """OpenVINO on the ONNX file, in float32."""

    requirements, file_format = ("openvino",), ".onnx"
    settings: ClassVar[dict[str, str]] = {"INFERENCE_PRECISION_HINT": "f32"}

    def __init__(self, case: Case) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(case.get_path(".onnx"))
        model.reshape([case.batch, 3, case.size, case.size])
        settings = {**self.settings, "INFERENCE_NUM_THREADS": case.threads}
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, x: Floats) -> Any:
        return list(self._request.infer({"image": x}).values())


class OpenVinoDefault(OpenVino):
    """OpenVINO in the dtype that it selects: bfloat16 where the processor supports it."""

    settings: ClassVar[dict[str, str]] = {}


class OpenCV(Peer):
    """OpenCV 4 on the Darknet files, which also decodes boxes; OpenCV 5 on the ONNX file."""

    requirements, file_format = ("cv2",), ".onnx"

    def __init__(self, case: Case) -> None:
        import cv2

        cv2.setNumThreads(case.threads)
        dnn: Any = cv2.dnn
        if hasattr(dnn, "readNetFromDarknet"):
            self.net, self.output_kind = dnn.readNetFromDarknet(case.cfg, case.weights), "boxes"
        else:
            self.net = dnn.readNetFromONNX(case.get_path(".onnx"))
        self.names = self.net.getUnconnectedOutLayersNames()

    def __call__(self, x: Floats) -> Any:
        self.net.setInput(x)
        return self.net.forward(self.names)

    def compute_outputs(self, x: Floats) -> list[Floats]:
        outputs = super().compute_outputs(x)
        return outputs if self.output_kind == "heads" else [rows.reshape(-1, rows.shape[-1])[:, :4] for rows in outputs]


class Ncnn(Peer):
    """ncnn on the files converted by pnnx; images run one at a time, since ncnn does not support batches."""

    requirements, file_format = ("ncnn",), ".ncnn"

    def __init__(self, case: Case) -> None:
        import ncnn

        self._ncnn, self._net = ncnn, ncnn.Net()
        self._net.opt.num_threads = case.threads
        self._net.load_param(case.get_path(".ncnn.param"))
        self._net.load_model(case.get_path(".ncnn.bin"))
        self._names = self._net.output_names()

    def __call__(self, x: Floats) -> Any:
        return [self._run_image(image) for image in x]

    def _run_image(self, image: Floats) -> list[Floats]:
        run = self._net.create_extractor()
        run.input("in0", self._ncnn.Mat(image).clone())
        return [np.array(run.extract(name)[1]) for name in self._names]

    def compute_outputs(self, x: Floats) -> list[Floats]:
        return [np.stack(head) for head in zip(*self(x), strict=True)]


class TorchDetector(Peer):
    """A Detector on the torch engine, from the network's input to detections."""

    requirements: ClassVar[tuple[str, ...]] = ("torch", "darkparse.detect.detector")
    output_kind = "boxes"
    dtype: ClassVar[str | None] = None

    def __init__(self, case: Case) -> None:
        import darkparse

        engine = self.requirements[0]
        if engine == "torch":
            import torch

            torch.set_num_threads(case.threads)
        self.detector = darkparse.Detector.load(case.cfg, case.weights, device="cpu", engine=engine, dtype=self.dtype)
        self._settings = darkparse.DetectionSettings()

    def __call__(self, x: Floats) -> Any:
        from darkparse.detect.candidates import PreparedImage
        from darkparse.detect.preprocess import Placement

        size = x.shape[2], x.shape[3]
        images = [PreparedImage(image, Placement(size, size, (0, 0)), size) for image in x]
        return self.detector.run(images, self._settings)

    def compute_outputs(self, x: Floats) -> list[Floats]:
        from darkparse.detect.candidates import Candidates

        return [Candidates(*arrays).boxes for arrays in self.detector.engine.candidates(x, 0.0, 0.5)]


class OnnxRuntimeDetector(TorchDetector):
    """A Detector on ONNX Runtime."""

    requirements = ("onnxruntime", "darkparse.detect.detector")


class OpenVinoDetector(TorchDetector):
    """A Detector on OpenVINO."""

    requirements = ("openvino", "darkparse.detect.detector")


class TorchBfloat16Detector(TorchDetector):
    """A Detector on torch in bfloat16."""

    dtype = "bfloat16"


class OpenVinoBfloat16Detector(OpenVinoDetector):
    """A Detector on OpenVINO in bfloat16."""

    dtype = "bfloat16"


PEERS: dict[str, type[Peer]] = {
    "darkparse.load": DarkparseModule,
    "darkparse.optimize": OptimizedModule,
    "darkparse.optimize, no Winograd": OptimizedModuleWithoutWinograd,
    "darkparse.optimize, bfloat16": OptimizedModuleBfloat16,
    "Detector on torch": TorchDetector,
    "Detector on torch, bfloat16": TorchBfloat16Detector,
    "Detector on ONNX Runtime": OnnxRuntimeDetector,
    "Detector on OpenVINO": OpenVinoDetector,
    "Detector on OpenVINO, bfloat16": OpenVinoBfloat16Detector,
    "PyTorch, eager": EagerModule,
    "ONNX Runtime": OnnxRuntime,
    "OpenVINO": OpenVino,
    "OpenVINO, its own dtype": OpenVinoDefault,
    "OpenCV": OpenCV,
    "ncnn": Ncnn,
}
"""Peers by name; the outputs of the first are the reference."""
