"""A network in other forms: PyTorch source, ONNX, torch.export, TorchScript, AOTInductor."""

from darkparse.export.onnx import to_onnx
from darkparse.export.programs import to_compiled, to_program, to_torchscript
from darkparse.export.source.printing import to_source
from darkparse.export.verification import Check

__all__ = ["Check", "to_compiled", "to_onnx", "to_program", "to_source", "to_torchscript"]
