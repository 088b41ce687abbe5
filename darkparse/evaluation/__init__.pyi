from .box_comparison import BoxComparison as BoxComparison
from .box_comparison import BoxDifference as BoxDifference
from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .differences import OutputDifference as OutputDifference
from .reference import Dump as Dump
from .reference import Reference as Reference
from .reference import open_reference as open_reference
