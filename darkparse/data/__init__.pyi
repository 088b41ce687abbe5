from darkparse.data.anchors import Anchors as Anchors
from darkparse.data.anchors import find_anchors as find_anchors
from darkparse.data.faults import DataCheck as DataCheck
from darkparse.data.faults import check_data as check_data
from darkparse.data.files.listing import DataFile as DataFile
from darkparse.data.loading import Batch as Batch
from darkparse.data.loading import Loader as Loader
from darkparse.data.loading import batches as batches
