"""The ways to run a network, each as a person would set it up by its own documentation."""

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
    """A network that is loaded, for calls with (N, C, H, W) in 0…1."""

    needs: ClassVar[tuple[str, ...]]
    """What it imports, the runtime first."""
    form: ClassVar[str | None] = None
    """Which file it reads, if not cfg and weights (see `prepare`)."""
    gives: Literal["heads", "boxes"] = "heads"
    """What `outputs` are: what the heads leave, or boxes (N · B, 4) as fractions of the input."""

    @abstractmethod
    def __init__(self, case: Case) -> None: ...

    @abstractmethod
    def __call__(self, x: Floats) -> Any:
        """Run it."""

    def outputs(self, x: Floats) -> list[Floats]:
        """What a call gives, a head each."""
        found = self(x)
        return [np.asarray(one) for one in (found if isinstance(found, list | tuple) else [found])]


class Torch(Peer):
    """A module of PyTorch's."""

    needs: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, case: Case) -> None:
        import torch

        torch.set_num_threads(case.threads)
        self.model, self._torch = self.load(case).eval(), torch

    @abstractmethod
    def load(self, case: Case) -> Any: ...

    def __call__(self, x: Floats) -> Any:
        with self._torch.inference_mode():
            return self.model(self._torch.from_numpy(x))


class Eager(Torch):
    """Plain PyTorch: the source that `darkparse emit` writes, without darkparse."""

    form = ".py"

    def load(self, case: Case) -> Any:
        path = case.form(".py")
        loader = SourceFileLoader("network", path)
        spec = spec_from_file_location("network", path, loader=loader)
        assert spec
        source = module_from_spec(spec)
        loader.exec_module(source)
        model = getattr(source, (source.__doc__ or "").split()[0])()
        source.load_darknet_weights(model, case.weights)
        return model


class Module(Torch):
    """darkparse's module as it stands."""

    needs = ("torch", "darkparse")
    how: ClassVar[dict[str, Any]] = {}

    def load(self, case: Case) -> Any:
        import darkparse

        return darkparse.load(case.cfg, case.weights, **self.how)


class Optimized(Module):
    """The fast one."""

    how: ClassVar[dict[str, Any]] = {"optimize": True}


class OptimizedWithoutWinograd(Module):
    """The fast one with direct convolutions only."""

    def load(self, case: Case) -> Any:
        import darkparse

        return darkparse.optimize(super().load(case), winograd=False)


class OptimizedBfloat16(Optimized):
    """The fast one in bfloat16, but for its last convolutions and heads."""

    def load(self, case: Case) -> Any:
        import torch

        import darkparse

        self._dtype = torch.bfloat16
        return darkparse.load(case.cfg, case.weights, optimize=True, dtype=self._dtype)

    def __call__(self, x: Floats) -> Any:
        with self._torch.inference_mode():
            return self.model(self._torch.from_numpy(x).to(self._dtype))


class OnnxRuntime(Peer):
    """The ONNX file that darkparse wrote."""

    needs, form = ("onnxruntime",), ".onnx"

    def __init__(self, case: Case) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = case.threads
        self._session = onnxruntime.InferenceSession(case.form(".onnx"), options, providers=["CPUExecutionProvider"])

    def __call__(self, x: Floats) -> Any:
        return self._session.run(None, {"image": x})


class OpenVino(Peer):
    """The same file."""

    needs, form = ("openvino",), ".onnx"
    settings: ClassVar[dict[str, str]] = {"INFERENCE_PRECISION_HINT": "f32"}

    def __init__(self, case: Case) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(case.form(".onnx"))
        model.reshape([case.batch, 3, case.size, case.size])
        settings = {**self.settings, "INFERENCE_NUM_THREADS": case.threads}
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def __call__(self, x: Floats) -> Any:
        return list(self._request.infer({"image": x}).values())


class OpenVinoDefault(OpenVino):
    """The same file in the dtype that OpenVINO selects: bfloat16 where the processor computes in it."""

    settings: ClassVar[dict[str, str]] = {}


class OpenCV(Peer):
    """OpenCV 4 reads Darknet's own files, and decodes the boxes too; OpenCV 5 gets the ONNX file."""

    needs, form = ("cv2",), ".onnx"

    def __init__(self, case: Case) -> None:
        import cv2

        cv2.setNumThreads(case.threads)
        dnn: Any = cv2.dnn
        if hasattr(dnn, "readNetFromDarknet"):
            self.net, self.gives = dnn.readNetFromDarknet(case.cfg, case.weights), "boxes"
        else:
            self.net = dnn.readNetFromONNX(case.form(".onnx"))
        self.names = self.net.getUnconnectedOutLayersNames()

    def __call__(self, x: Floats) -> Any:
        self.net.setInput(x)
        return self.net.forward(self.names)

    def outputs(self, x: Floats) -> list[Floats]:
        found = super().outputs(x)
        return found if self.gives == "heads" else [rows.reshape(-1, rows.shape[-1])[:, :4] for rows in found]


class Ncnn(Peer):
    """pnnx's conversion of the module; ncnn knows no batch."""

    needs, form = ("ncnn",), ".ncnn"

    def __init__(self, case: Case) -> None:
        import ncnn

        self._ncnn, self._net = ncnn, ncnn.Net()
        self._net.opt.num_threads = case.threads
        self._net.load_param(case.form(".ncnn.param"))
        self._net.load_model(case.form(".ncnn.bin"))
        self._names = self._net.output_names()

    def __call__(self, x: Floats) -> Any:
        return [self._one(image) for image in x]

    def _one(self, image: Floats) -> list[Floats]:
        run = self._net.create_extractor()
        run.input("in0", self._ncnn.Mat(image).clone())
        return [np.array(run.extract(name)[1]) for name in self._names]

    def outputs(self, x: Floats) -> list[Floats]:
        return [np.stack(same) for same in zip(*self(x), strict=True)]


class OnTorch(Peer):
    """The Detector, from the network's input to what is found, on its torch engine."""

    needs: ClassVar[tuple[str, ...]] = ("torch", "darkparse.detect.detector")
    gives = "boxes"
    dtype: ClassVar[str | None] = None

    def __init__(self, case: Case) -> None:
        import darkparse

        engine = self.needs[0]
        if engine == "torch":
            import torch

            torch.set_num_threads(case.threads)
        self.detector = darkparse.Detector.load(case.cfg, case.weights, device="cpu", engine=engine, dtype=self.dtype)
        self._settings = darkparse.DetectionSettings()

    def __call__(self, x: Floats) -> Any:
        from darkparse.detect.candidates import PreparedImage
        from darkparse.detect.preprocess import Placement

        size = x.shape[2], x.shape[3]
        images = [PreparedImage(one, Placement(size, size, (0, 0)), size) for one in x]
        return self.detector.run(images, self._settings)

    def outputs(self, x: Floats) -> list[Floats]:
        from darkparse.detect.candidates import Candidates

        return [Candidates(*arrays).boxes for arrays in self.detector.engine.candidates(x, 0.0, 0.5)]


class OnOnnxRuntime(OnTorch):
    """On ONNX Runtime."""

    needs = ("onnxruntime", "darkparse.detect.detector")


class OnOpenVino(OnTorch):
    """On OpenVINO."""

    needs = ("openvino", "darkparse.detect.detector")


class OnTorchBfloat16(OnTorch):
    """On torch in bfloat16."""

    dtype = "bfloat16"


class OnOpenVinoBfloat16(OnOpenVino):
    """On OpenVINO in bfloat16."""

    dtype = "bfloat16"


PEERS: dict[str, type[Peer]] = {
    "darkparse.load": Module,
    "darkparse.optimize": Optimized,
    "darkparse.optimize, no Winograd": OptimizedWithoutWinograd,
    "darkparse.optimize, bfloat16": OptimizedBfloat16,
    "Detector on torch": OnTorch,
    "Detector on torch, bfloat16": OnTorchBfloat16,
    "Detector on ONNX Runtime": OnOnnxRuntime,
    "Detector on OpenVINO": OnOpenVino,
    "Detector on OpenVINO, bfloat16": OnOpenVinoBfloat16,
    "PyTorch, eager": Eager,
    "ONNX Runtime": OnnxRuntime,
    "OpenVINO": OpenVino,
    "OpenVINO, its own dtype": OpenVinoDefault,
    "OpenCV": OpenCV,
    "ncnn": Ncnn,
}
"""The first is what the others' outputs are held against."""
