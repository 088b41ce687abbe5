from darkparse.model.optimize.fusion import fuse as fuse
from darkparse.model.optimize.optimizer import optimize as optimize
