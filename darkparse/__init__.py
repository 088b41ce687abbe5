"""darkparse: a compiler for original Darknet `.cfg` files.

>>> import darkparse
>>> network = darkparse.compile("yolov3-tiny")
>>> network.nodes[0].out_shape
Shape(c=16, h=416, w=416)
"""

from darkparse.lazy import lazy

__getattr__, __dir__, __all__ = lazy(__name__)
