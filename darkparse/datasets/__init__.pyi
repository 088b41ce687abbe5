from darkparse.datasets.data_file import DataFile as DataFile
