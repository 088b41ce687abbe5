from .fusion import fuse as fuse
from .optimizer import optimize as optimize
