from .comparison import Comparison as Comparison
from .comparison import OutputDifference as OutputDifference
from .comparison import compare as compare
from .reference import Dump as Dump
from .reference import Reference as Reference
from .reference import open_reference as open_reference
