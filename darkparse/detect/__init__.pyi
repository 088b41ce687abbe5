from darkparse.detect.detection import Detection as Detection
from darkparse.detect.detections import Detections as Detections
from darkparse.detect.detector import Detector as Detector
