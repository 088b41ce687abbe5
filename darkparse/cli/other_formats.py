"""File formats of other runtimes, and the tools that convert darkparse's files to them."""

from __future__ import annotations

_TENSORRT = "TensorRT builds it from .onnx, on the GPU that runs it: trtexec --onnx=X.onnx --saveEngine=X.engine"
_CORE_ML = (
    "Core ML converts .pt2 on macOS or Linux: coremltools.convert(torch.export.load('X.pt2').run_decompositions({}))"
)
_NCNN = "pnnx converts a module: pnnx.export(darkparse.fuse(model), 'X.pt', (x,), fp16=False)"
_TENSORFLOW = "onnx2tf converts .onnx to a SavedModel: onnx2tf -i X.onnx"
_CAFFE = "Caffe has no converter for these layers; write .onnx, which cv2.dnn.readNetFromONNX reads too"

OTHER_FORMATS = {
    ".engine": _TENSORRT,
    ".plan": _TENSORRT,
    ".trt": _TENSORRT,
    ".wts": "programs that read .wts, such as DeepStream-Yolo, read .cfg and .weights as well; TensorRT reads .onnx",
    ".xml": "OpenVINO converts .onnx: ovc X.onnx",
    ".blob": "OpenVINO's compile_tool or blobconverter compiles .onnx",
    ".h5": _TENSORFLOW,
    ".keras": _TENSORFLOW,
    ".pb": _TENSORFLOW,
    ".mlpackage": _CORE_ML,
    ".mlmodel": _CORE_ML,
    ".param": _NCNN,
    ".bin": f"for ncnn, {_NCNN}; for OpenVINO: ovc X.onnx",
    ".mnn": "MNN converts .onnx: MNNConvert -f ONNX --modelFile X.onnx --MNNModel X.mnn",
    ".rknn": "RKNN-Toolkit2 converts .onnx: rknn.load_onnx('X.onnx')",
    ".kmodel": "nncase compiles .onnx: compiler.import_onnx(content, nncase.ImportOptions())",
    ".hef": "Hailo Dataflow Compiler converts .onnx: hailo parser onnx X.onnx",
    ".xmodel": "Vitis AI quantizes and compiles a module: darkparse.load(cfg, weights)",
    ".om": "ATC converts .onnx: atc --framework=5 --model=X.onnx --output=X",
    ".dlc": "Qualcomm's tools convert .onnx: qairt-converter --input_network X.onnx",
    ".caffemodel": _CAFFE,
    ".prototxt": _CAFFE,
}
"""File extension → hint on how to create such a file."""
