"""darkparse: a compiler for original Darknet `.cfg` files.

>>> import darkparse
>>> network = darkparse.compile("yolov3-tiny")
>>> network.nodes[0].out_shape
Shape(c=16, h=416, w=416)
"""

# As `darkparse._utils.lazy.lazy` does it, but nothing is imported here: what Ctrl-C does has to be set first.


def __getattr__(name):  # type: ignore[no-untyped-def]
    from darkparse._utils.lazy import attribute

    return attribute(__name__, name)


def __dir__():  # type: ignore[no-untyped-def]
    from darkparse._utils.lazy import names

    return names(__name__)
