from darkparse.export.onnx_files import to_onnx as to_onnx
from darkparse.export.programs import to_compiled as to_compiled
from darkparse.export.programs import to_program as to_program
from darkparse.export.programs import to_torchscript as to_torchscript
from darkparse.export.source.printing import to_source as to_source
from darkparse.export.verification import Check as Check
