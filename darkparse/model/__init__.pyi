from darkparse.model.darknet import Darknet as Darknet
from darkparse.model.fusion import fuse as fuse
from darkparse.model.loading import build as build
from darkparse.model.loading import load as load
from darkparse.model.loading import load_weights as load_weights
from darkparse.model.saving import save as save
from darkparse.model.saving import save_weights as save_weights
from darkparse.weights.loaded import Loaded as Loaded
