"""Darknet's operations that torch has no module for, one small class each, grouped as in `darkparse.layers`."""

from darkparse.model.modules.convolutional import Blur, LocallyConnected2d, SharedConvolution, XnorConv2d
from darkparse.model.modules.dense import GroupedSoftmax, Implicit, TreeSoftmax, grouped_softmax
from darkparse.model.modules.joining import (
    Add,
    FlatRoute,
    Gate,
    PartialAdd,
    Route,
    VectorGate,
    WeightedShortcut,
    as_map,
)
from darkparse.model.modules.normalization import BatchNorm, L2Norm, LocalResponseNorm, RootEpsilonBatchNorm
from darkparse.model.modules.pooling import AvgPool2d, ChannelMaxPool, MaxPool2d, pad_in_total
from darkparse.model.modules.resampling import (
    AppendZeros,
    CenterCrop,
    FlattenReorg,
    Reorg,
    Reorg3d,
    ScaledUpsample,
    gather_blocks,
    scatter_blocks,
)

__all__ = [
    "Add",
    "AppendZeros",
    "AvgPool2d",
    "BatchNorm",
    "Blur",
    "CenterCrop",
    "ChannelMaxPool",
    "FlatRoute",
    "FlattenReorg",
    "Gate",
    "GroupedSoftmax",
    "Implicit",
    "L2Norm",
    "LocalResponseNorm",
    "LocallyConnected2d",
    "MaxPool2d",
    "PartialAdd",
    "Reorg",
    "Reorg3d",
    "RootEpsilonBatchNorm",
    "Route",
    "ScaledUpsample",
    "SharedConvolution",
    "TreeSoftmax",
    "VectorGate",
    "WeightedShortcut",
    "XnorConv2d",
    "as_map",
    "gather_blocks",
    "grouped_softmax",
    "pad_in_total",
    "scatter_blocks",
]
