"""A network in other forms: PyTorch source, ONNX, torch.export, TorchScript, AOTInductor."""

from darkparse._utils.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
