"""Pictures to boxes, with Darknet's arithmetic."""

from darkparse.detect.decode import Boxes, Decoder, decode
from darkparse.detect.detection import Detection, Detections
from darkparse.detect.detector import Detector
from darkparse.detect.images import ImageError
from darkparse.detect.settings import Settings

__all__ = ["Boxes", "Decoder", "Detection", "Detections", "Detector", "ImageError", "Settings", "decode"]
