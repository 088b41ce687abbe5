from darkparse.training.data.anchors import Anchors as Anchors
from darkparse.training.data.anchors import find_anchors as find_anchors
from darkparse.training.data.dataset import Batch as Batch
from darkparse.training.data.dataset import Loader as Loader
from darkparse.training.data.dataset import batches as batches
from darkparse.training.data.dataset_check import DatasetReport as DatasetReport
from darkparse.training.data.dataset_check import check_data as check_data
