from darkparse.export.source.printing import to_source as to_source
from darkparse.export.torch_formats import to_compiled as to_compiled
from darkparse.export.torch_formats import to_program as to_program
from darkparse.export.torch_formats import to_torchscript as to_torchscript
