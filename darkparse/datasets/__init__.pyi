from .data_file import DataFile as DataFile
