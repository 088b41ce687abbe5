from darkparse.train.rates import Schedule as Schedule
from darkparse.train.starting import begin as begin
from darkparse.train.trainer import Step as Step
from darkparse.train.trainer import Trainer as Trainer
from darkparse.train.updates import optimizer as optimizer
