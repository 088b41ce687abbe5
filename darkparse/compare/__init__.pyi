from darkparse.compare.comparison import Comparison as Comparison
from darkparse.compare.comparison import Difference as Difference
from darkparse.compare.comparison import compare as compare
from darkparse.compare.reference import Dump as Dump
from darkparse.compare.reference import Reference as Reference
from darkparse.compare.reference import open_reference as open_reference
