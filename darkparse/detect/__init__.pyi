from darkparse.detect.decoding import Boxes as Boxes
from darkparse.detect.decoding import Decoder as Decoder
from darkparse.detect.decoding import decode as decode
from darkparse.detect.detection import Detection as Detection
from darkparse.detect.detection import Detections as Detections
from darkparse.detect.detector import Detector as Detector
from darkparse.detect.settings import DetectionSettings as DetectionSettings
from darkparse.errors import ImageError as ImageError
