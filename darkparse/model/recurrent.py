"""Recurrent layers. One call is one time step; `reset_state()` clears the state.

The state is a buffer outside the state_dict: it moves with the module, and a batch of another size resets it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darkparse.model.activations import FUNCTIONS
from darkparse.model.modules import BatchNorm, RootEpsilonBatchNorm


class StatefulModule(nn.Module):
    """A module with named state tensors that persist between calls."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.state_names = names
        for name in names:
            self.register_buffer(name, None, persistent=False)

    def reset_state(self) -> None:
        """Clear the state; the next call starts from zeros."""
        for name in self.state_names:
            setattr(self, name, None)

    def recall(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Return a state (N, *shape): zeros after a reset, or if the size, dtype or device of the batch changed."""
        state: Tensor | None = getattr(self, name)
        if (
            state is None
            or state.shape != (like.shape[0], *shape)
            or (state.dtype, state.device) != (like.dtype, like.device)
        ):
            return like.new_zeros(like.shape[0], *shape)
        return state

    def keep(self, name: str, value: Tensor) -> None:
        """Store a state; in training with its autograd graph, so that gradients flow through time."""
        setattr(self, name, value if self.training else value.detach())


def _norm(features: int, epsilon: float, epsilon_on_root: bool) -> BatchNorm | RootEpsilonBatchNorm:
    return (RootEpsilonBatchNorm if epsilon_on_root else BatchNorm)(features, epsilon, 0.01)


class DenseTransform(nn.Module):
    """One dense transform of a recurrent cell: linear map, batch norm, activation."""

    def __init__(
        self, inputs: int, outputs: int, activation: str, batch_normalize: bool, epsilon: float, epsilon_on_root: bool
    ) -> None:
        super().__init__()
        self.activation = activation
        self.linear = nn.Linear(inputs, outputs, bias=not batch_normalize)
        self.norm = _norm(outputs, epsilon, epsilon_on_root) if batch_normalize else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        return FUNCTIONS[self.activation](x if self.norm is None else self.norm(x))


class Convolve(nn.Module):
    """One convolution of a recurrent cell: convolution, batch norm, activation; height and width are unchanged."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: str,
        batch_normalize: bool,
        epsilon: float,
        epsilon_on_root: bool,
        size: int,
        stride: int,
        padding: int,
        dilation: int,
        groups: int,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=not batch_normalize)
        self.norm = _norm(outputs, epsilon, epsilon_on_root) if batch_normalize else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return FUNCTIONS[self.activation](x if self.norm is None else self.norm(x))


class Recurrence(StatefulModule):
    """Recurrent layer whose subclasses define the transforms of input, state and output (rnn_layer.c, crnn_layer.c)."""

    hidden: int
    shortcut: bool

    def forward(self, x: Tensor) -> Tensor:
        state = self.recall("state", x, self.hidden, *x.shape[2:])
        fresh = self.get_submodule("input")(x) + self.get_submodule("self")(state)
        state = state + fresh if self.shortcut else fresh
        self.keep("state", state)
        out: Tensor = self.get_submodule("output")(state)
        return out


class Rnn(Recurrence):
    """Recurrent layer of dense transforms: (N, inputs), or a map that is flattened, to (N, outputs)."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        activation: str,
        self_activation: str,
        shortcut: bool,
        batch_normalize: bool,
        epsilon: float,
        epsilon_on_root: bool,
    ) -> None:
        super().__init__("state")
        self.hidden, self.shortcut = hidden, shortcut
        norm = batch_normalize, epsilon, epsilon_on_root
        self.add_module("input", DenseTransform(inputs, hidden, activation, *norm))
        self.add_module("self", DenseTransform(hidden, hidden, self_activation, *norm))
        self.add_module("output", DenseTransform(hidden, outputs, activation, *norm))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))


class Crnn(Recurrence):
    """Recurrent layer of convolutions: (N, inputs, H, W) to (N, outputs, H, W)."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        activation: str,
        shortcut: bool,
        batch_normalize: bool,
        epsilon: float,
        epsilon_on_root: bool,
        **geometry: int,
    ) -> None:
        super().__init__("state")
        self.hidden, self.shortcut = hidden, shortcut

        def convolve(c: int, n: int) -> Convolve:
            return Convolve(c, n, activation, batch_normalize, epsilon, epsilon_on_root, **geometry)

        self.add_module("input", convolve(inputs, hidden))
        self.add_module("self", convolve(hidden, hidden))
        self.add_module("output", convolve(hidden, outputs))


class Gru(StatefulModule):
    """GRU with gates z and r; the output is z·state + (1-z)·candidate (gru_layer.c forward_gru_layer)."""

    def __init__(
        self, inputs: int, outputs: int, tanh: bool, batch_normalize: bool, epsilon: float, epsilon_on_root: bool
    ) -> None:
        super().__init__("state")
        self.outputs = outputs
        self.squash = torch.tanh if tanh else torch.sigmoid

        def dense(c: int) -> DenseTransform:
            return DenseTransform(c, outputs, "linear", batch_normalize, epsilon, epsilon_on_root)

        self.wz, self.wr, self.wh = dense(outputs), dense(outputs), dense(outputs)
        self.uz, self.ur, self.uh = dense(inputs), dense(inputs), dense(inputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        state = self.recall("state", x, self.outputs)
        z = torch.sigmoid(self.uz(x) + self.wz(state))
        r = torch.sigmoid(self.ur(x) + self.wr(state))
        candidate = self.squash(self.uh(x) + self.wh(r * state))
        out = z * state + (1 - z) * candidate
        self.keep("state", out)
        return out


class Lstm(StatefulModule):
    """LSTM with gates f, i, o and candidate g from input and previous output (lstm_layer.c forward_lstm_layer)."""

    def __init__(self, inputs: int, outputs: int, batch_normalize: bool, epsilon: float, epsilon_on_root: bool) -> None:
        super().__init__("hidden", "cell")
        self.outputs = outputs

        def dense(c: int) -> DenseTransform:
            return DenseTransform(c, outputs, "linear", batch_normalize, epsilon, epsilon_on_root)

        self.wf, self.wi, self.wg, self.wo = (dense(outputs) for _ in range(4))
        self.uf, self.ui, self.ug, self.uo = (dense(inputs) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        hidden, cell = self.recall("hidden", x, self.outputs), self.recall("cell", x, self.outputs)
        f = torch.sigmoid(self.wf(hidden) + self.uf(x))
        i = torch.sigmoid(self.wi(hidden) + self.ui(x))
        g = torch.tanh(self.wg(hidden) + self.ug(x))
        o = torch.sigmoid(self.wo(hidden) + self.uo(x))
        cell = f * cell + i * g
        out = o * torch.tanh(cell)
        self.keep("hidden", out)
        self.keep("cell", cell)
        return out


class ConvLstm(StatefulModule):
    """LSTM of convolutions, whose gates also depend on the cell if `peephole`.

    See conv_lstm_layer.c, forward_conv_lstm_layer. With `bottleneck`, one convolution over previous output and input
    precedes the four of the input (in Darknet's GPU code only).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: str,
        lstm_activation: str,
        peephole: bool,
        bottleneck: bool,
        shortcut: bool,
        constrain: int,
        batch_normalize: bool,
        epsilon: float,
        epsilon_on_root: bool,
        **geometry: int,
    ) -> None:
        super().__init__("hidden", "cell")
        self.outputs, self.constrain, self.shortcut = outputs, constrain, shortcut
        self.squash = lstm_activation

        def convolve(c: int) -> Convolve:
            return Convolve(c, outputs, activation, batch_normalize, epsilon, epsilon_on_root, **geometry)

        self.uf, self.ui, self.ug, self.uo = (convolve(inputs) for _ in range(4))
        self.wf = convolve(2 * outputs if bottleneck else outputs)
        self.wi, self.wg, self.wo = (None if bottleneck else convolve(outputs) for _ in range(3))
        self.vf, self.vi, self.vo = (convolve(outputs) if peephole else None for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        squash = FUNCTIONS[self.squash]
        shape = (self.outputs, *x.shape[2:])
        hidden, cell = self.recall("hidden", x, *shape), self.recall("cell", x, *shape)
        bottleneck = self.wi is None
        if bottleneck:
            x = squash(self.wf(torch.cat((hidden, x), 1)))
        f = self.uf(x) if bottleneck else self.uf(x) + self.wf(hidden)
        i, g, o = (_sum(u(x), w, hidden) for u, w in ((self.ui, self.wi), (self.ug, self.wg), (self.uo, self.wo)))
        f, i = _sum(f, self.vf, cell), _sum(i, self.vi, cell)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * squash(g)
        hidden = torch.sigmoid(_sum(o, self.vo, cell)) * squash(cell)
        self.keep("hidden", hidden)
        self.keep("cell", cell.clamp(-self.constrain, self.constrain) if self.constrain else cell)
        if bottleneck and self.shortcut:
            half = self.outputs // 2
            return hidden + F.pad(x[:, :half], (0, 0, 0, 0, 0, self.outputs - half))
        return hidden


def _sum(value: Tensor, part: nn.Module | None, x: Tensor) -> Tensor:
    """Return `value` plus `part(x)`; just `value` if the layer does not have that part."""
    return value if part is None else value + part(x)


class History(StatefulModule):
    """Concatenation of the last `size` inputs (N, C, H, W), newest first: (N, size·C, H, W)."""

    def __init__(self, size: int) -> None:
        super().__init__("past")
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        past = self.recall("past", x, (self.size - 1) * x.shape[1], *x.shape[2:])
        out = torch.cat((x, past), 1)
        self.keep("past", out[:, : past.shape[1]])
        return out
