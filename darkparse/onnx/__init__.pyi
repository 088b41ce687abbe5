from darkparse.onnx.write import to_onnx as to_onnx
