from .source.printing import to_source as to_source
from .torch_formats import to_compiled as to_compiled
from .torch_formats import to_program as to_program
from .torch_formats import to_torchscript as to_torchscript
