"""A network as an ONNX file, written from its representation: neither torch nor onnx is needed."""
