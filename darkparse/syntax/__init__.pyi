from .config import Config as Config
from .config import Option as Option
from .config import Section as Section
from .reader import find_shipped_cfgs as find_shipped_cfgs
from .reader import locate_cfg as locate_cfg
from .reader import parse as parse
from .reader import read as read
