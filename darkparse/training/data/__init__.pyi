from .anchors import Anchors as Anchors
from .anchors import find_anchors as find_anchors
from .dataset import Batch as Batch
from .dataset import Loader as Loader
from .dataset import batches as batches
from .dataset_check import DatasetReport as DatasetReport
from .dataset_check import check_data as check_data
