from .classes import SelectClasses as SelectClasses
from .classes import count_classes as count_classes
from .classes import select_classes as select_classes
from .lowering.lower import lower as lower
from .pruning import Prune as Prune
from .pruning import prune as prune
from .transformation import Transformation as Transformation
from .transformation import apply as apply
