"""A gate of two inputs, with a module that torch does not have."""

from __future__ import annotations

from torch import Tensor, nn

from darkparse.layers import Layer, LayerContext, ModuleSpec, layer, option
from darkparse.layers.base import to_absolute_index
from darkparse.onnx.context import EmitContext, NoParams, emits
from darkparse.onnx.graph import Value


@layer("softgate")
class Softgate(Layer):
    """An earlier map times the logistic function of the layer before."""

    needs_map = True
    role = "gate"
    main_input = 1

    from_: int = option(keys="from")

    def inputs(self, index: int) -> tuple[int, ...]:
        return (index - 1, to_absolute_index(self.from_, index))

    def modules(self, ctx: LayerContext) -> tuple[ModuleSpec, ...]:
        return (ModuleSpec("gate", f"{__name__}.LogisticGate", {}),)

    def macs(self, ctx: LayerContext) -> int:
        return ctx.output.size

    def summary(self, ctx: LayerContext) -> str:
        return "soft gate"


class LogisticGate(nn.Module):
    """The second input (N, C, H, W) times the logistic function of the first."""

    def forward(self, gate: Tensor, x: Tensor) -> Tensor:
        return x * gate.sigmoid()


@emits(f"{__name__}.LogisticGate", params=NoParams)
def _emit_gate(ctx: EmitContext, _: NoParams, gate: Value, x: Value) -> Value:
    return x * ctx.op("Sigmoid", gate)
