"""darkparse: a compiler for original Darknet `.cfg` files.

>>> import darkparse
>>> network = darkparse.compile("yolov3-tiny")
>>> network.nodes[0].out_shape
Shape(c=16, h=416, w=416)
"""

# As in the other packages, but on first use: `import darkparse` alone takes as long as an empty module.


def __getattr__(name: str) -> object:
    from darkparse._utils.lazy import attach

    get_export, _, exports = attach(__name__, __file__)
    return exports if name == "__all__" else get_export(name)


def __dir__() -> list[str]:
    from darkparse._utils.lazy import attach

    return attach(__name__, __file__)[1]()
