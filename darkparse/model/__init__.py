"""Network to torch module."""

from darkparse.model.darknet import Darknet
from darkparse.model.fusion import fuse
from darkparse.model.loading import build, load, load_weights
from darkparse.model.saving import save, save_weights
from darkparse.model.state import Loaded

__all__ = ["Darknet", "Loaded", "build", "fuse", "load", "load_weights", "save", "save_weights"]
