"""Task of a network: detection or classification, its number of classes, and how images are fitted."""

from __future__ import annotations

from darkparse.datasets.names import Names, find_names
from darkparse.errors import DarkparseError
from darkparse.layers import Head
from darkparse.layers.tree import read_map
from darkparse.network import Network
from darkparse.network.heads import get_head


def is_classifier(network: Network) -> bool:
    """Return whether a network is a classifier rather than a detector.

    Raises:
        DarkparseError: The network does not take images, neither detects nor classifies, or its heads differ in their
            number of classes.
    """
    if not network.net.has_image:
        raise DarkparseError(f"{network.name} takes a vector, not an image")
    last = network.nodes[network.outputs[-1]]
    if isinstance(last.layer, Head) and last.layer.decoder(network.dialect, hierarchy=0, use_class_map=False) is None:
        raise DarkparseError(f"{network.name} ends with [{last.kind}], a head without boxes")
    if network.heads:
        if len({get_head(network.nodes[i]).classes for i in network.heads}) > 1:
            raise DarkparseError(f"{network.name}: heads have different numbers of classes")
        return False
    if last.out_shape.area != 1:
        raise DarkparseError(
            f"{network.name} is neither a detector nor a classifier: it ends with [{last.kind}], a map of "
            f"{last.out_shape}"
        )
    return True


def class_count(network: Network, use_class_map: bool) -> int:
    """Return a network's number of classes; with `use_class_map`, of those that the head's `map=` lists.

    Raises:
        DarkparseError: The head has no `map=`.
    """
    last = network.nodes[network.outputs[-1]]
    if not network.heads:
        return last.out_shape.size
    path = getattr(last.layer, "map", None)
    if use_class_map and path is None:
        raise DarkparseError(f"{network.name}: head without map=")
    classes: int = last.layer.classes  # type: ignore[attr-defined]
    return len(read_map(path, classes)) if use_class_map and path is not None else classes


def check_detector(network: Network, names: Names | None, *, use_class_map: bool) -> tuple[str, ...]:
    """Return the class names of a detector or classifier, without importing an engine.

    Raises:
        DarkparseError: The network is neither, or the names do not match.
    """
    is_classifier(network)
    return find_names(network, class_count(network, use_class_map), names)
