"""Over vectors (N, n), and what makes vectors of maps and maps of vectors."""

from __future__ import annotations

from darkparse.export.onnx.graph import Value
from darkparse.export.onnx.place import Place, emits

MODULES = "darkparse.model.modules"


@emits("torch.nn.Flatten")
def flatten(at: Place, x: Value) -> Value:
    """(N, …) to (N, n)."""
    return at.op("Flatten", x)


@emits("torch.nn.Unflatten")
def unflatten(at: Place, x: Value, dim: int, unflattened_size: tuple[int, ...]) -> Value:
    """(N, n) to (N, C, H, W)."""
    return at.reshape(x, 0, *unflattened_size)


@emits("torch.nn.Linear")
def linear(at: Place, x: Value, in_features: int, out_features: int, bias: bool) -> Value:
    """With the batch norm behind it."""
    return at.linear("Gemm", x, at.path, transB=1)


@emits("torch.nn.Dropout")
def dropout(at: Place, x: Value, p: float) -> Value:
    """Nothing at inference."""
    return x


@emits("torch.nn.Softmax")
def softmax(at: Place, x: Value, dim: int) -> Value:
    """Along one axis."""
    return at.op("Softmax", x, axis=dim)


@emits(f"{MODULES}.GroupedSoftmax")
def grouped(at: Place, x: Value, groups: int, temperature: float) -> Value:
    """Within equal parts."""
    parts = at.reshape(x, 0, groups, -1) / float(temperature)
    return at.op("Flatten", at.op("Softmax", parts, axis=2))


@emits(f"{MODULES}.TreeSoftmax")
def tree_softmax(at: Place, x: Value, group_sizes: tuple[int, ...], temperature: float = 1.0) -> Value:
    """Within groups of siblings."""
    return within_groups(at, x if temperature == 1 else x / float(temperature), group_sizes)


def within_groups(at: Place, x: Value, sizes: tuple[int, ...]) -> Value:
    """Softmax within consecutive groups of axis 1."""
    return at.concat(*(at.op("Softmax", part, axis=1) for part in at.split(x, sizes)))


@emits(f"{MODULES}.Implicit")
def implicit(at: Place, x: Value, shape: tuple[int, ...]) -> Value:
    """A learned constant for every picture."""
    batch = at.op("Shape", x, start=0, end=1)
    return at.op("Expand", at.parameter("weight"), at.op("Concat", batch, at.graph.ints(*shape), axis=0))
