"""A network in other forms: PyTorch source, ONNX, torch.export, TorchScript, AOTInductor."""

from darkparse._utils.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
