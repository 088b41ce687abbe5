from darkparse.training.initialization import begin as begin
from darkparse.training.initialization import optimizer as optimizer
from darkparse.training.lr_schedule import Schedule as Schedule
from darkparse.training.trainer import Step as Step
from darkparse.training.trainer import Trainer as Trainer
