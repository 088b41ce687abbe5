from .data_file import DataFile as DataFile
from .dataset import Dataset as Dataset
from .formats import open_dataset as open_dataset
