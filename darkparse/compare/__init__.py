"""A network's layers beside another implementation's: the first that differs, and why."""

from darkparse.compare.comparison import Comparison, Difference, compare
from darkparse.compare.reference import Dump, Reference, open_reference

__all__ = ["Comparison", "Difference", "Dump", "Reference", "compare", "open_reference"]
