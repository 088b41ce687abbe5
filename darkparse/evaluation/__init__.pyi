from darkparse.evaluation.comparison import Comparison as Comparison
from darkparse.evaluation.comparison import OutputDifference as OutputDifference
from darkparse.evaluation.comparison import compare as compare
from darkparse.evaluation.reference import Dump as Dump
from darkparse.evaluation.reference import Reference as Reference
from darkparse.evaluation.reference import open_reference as open_reference
