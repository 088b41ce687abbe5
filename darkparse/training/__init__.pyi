from darkparse.training import data as data
from darkparse.training import losses as losses
from darkparse.training import train as train
from darkparse.training.initialization import build_for_training as build_for_training
from darkparse.training.initialization import build_optimizer as build_optimizer
from darkparse.training.lr_schedule import Schedule as Schedule
from darkparse.training.trainer import Step as Step
from darkparse.training.trainer import Trainer as Trainer
