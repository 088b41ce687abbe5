from . import data as data
from . import losses as losses
from . import train as train
from .initialization import build_for_training as build_for_training
from .initialization import build_optimizer as build_optimizer
from .lr_schedule import Schedule as Schedule
from .step import Step as Step
from .trainer import Trainer as Trainer
