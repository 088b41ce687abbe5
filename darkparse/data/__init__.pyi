from darkparse.data.files.listing import DataFile as DataFile
from darkparse.data.loading import Batch as Batch
from darkparse.data.loading import Loader as Loader
from darkparse.data.loading import batches as batches
