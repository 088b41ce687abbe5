from .classes import SelectClasses as SelectClasses
from .classes import count_classes as count_classes
from .classes import select_classes as select_classes
from .lowering.lower import lower as lower
from .transformation import Transformation as Transformation
from .transformation import apply as apply
