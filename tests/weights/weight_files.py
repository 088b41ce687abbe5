"""Creation of weights files for tests."""

from __future__ import annotations

import numpy as np

import darkparse
from darkparse.network import Network
from darkparse.weights import Header, compute_layout

SMALL = """[net]
width=32
height=32
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky

[convolutional]
filters=21
size=1
activation=linear

[yolo]
mask=3,4,5
anchors=1,2, 3,4, 5,6, 7,8, 9,10, 11,12
classes=2
num=6

[route]
layers=-3

[upsample]
stride=2

[convolutional]
batch_normalize=1
filters=8
size=1
activation=leaky

[convolutional]
filters=21
size=1
activation=linear

[yolo]
mask=0,1,2
anchors=1,2, 3,4, 5,6, 7,8, 9,10, 11,12
classes=2
num=6
"""
"""Cfg with two heads and 2 classes."""

PJREDDIE = Header()
ALEXEYAB = Header(0, 2, 5, 32_013_312, 8)
HEADERS = {
    "0.1": Header(0, 1, 0, 4_000_000_000, 4),
    "0.2": Header(0, 2, 0, 32_013_312, 8),
    "0.2.5": ALEXEYAB,
}


def network(text: str = SMALL, dialect: str = "pjreddie") -> Network:
    """Compile a cfg."""
    return darkparse.compile(text, dialect=dialect)


def floats(of: Network, seed: int = 0, upto: int | None = None) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return values for a network in file order, with positive variances."""
    random = np.random.default_rng(seed)
    parts = [np.empty(0, np.float32)]
    for entry in compute_layout(of, upto):
        values = random.standard_normal(entry.size, np.float32)
        parts.append((np.abs(values) + 0.5).astype(np.float32) if entry.tensor.path.endswith("running_var") else values)
    return np.concatenate(parts).astype(np.float32)


def weights(of: Network, header: Header = PJREDDIE, seed: int = 0, upto: int | None = None) -> bytes:
    """Return the bytes of a `.weights` file for a network."""
    return header.pack() + floats(of, seed, upto).tobytes()


def transposed_header(dialect: str) -> Header:
    """Return a header with a version above 1000 for a dialect."""
    return Header(1001, 0, 0, 77, 4 if dialect == "pjreddie" else 8)
