from .detection import Detection as Detection
from .detections import Detections as Detections
from .detector import Detector as Detector
