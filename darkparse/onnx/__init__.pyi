from .write import to_onnx as to_onnx
