"""Exporters: PyTorch source, torch.export, TorchScript and AOTInductor. `darkparse.onnx` writes ONNX."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
