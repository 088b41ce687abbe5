from darkparse.syntax.config import Config as Config
from darkparse.syntax.config import Option as Option
from darkparse.syntax.config import Section as Section
from darkparse.syntax.reader import find_shipped_cfgs as find_shipped_cfgs
from darkparse.syntax.reader import locate_cfg as locate_cfg
from darkparse.syntax.reader import parse as parse
from darkparse.syntax.reader import read as read
