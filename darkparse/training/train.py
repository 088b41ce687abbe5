"""Short names for custom training loops, as `darkparse.train`: `optimizer(model)`, `Schedule(network)`."""

from darkparse.training.initialization import build_optimizer as optimizer
from darkparse.training.lr_schedule import Schedule
from darkparse.training.step import Step
from darkparse.training.trainer import Trainer

__all__ = ["Schedule", "Step", "Trainer", "optimizer"]
