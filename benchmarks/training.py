"""A step of training: forward, backward and an update, in darkparse and in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.case import Case
from benchmarks.peers import Eager, Module, Torch

Step = Callable[[], Any]


def plain(kind: type[Torch]) -> Callable[[Case], Step]:
    """The mean square of the outputs as the loss, and PyTorch's SGD."""

    def ready(case: Case) -> Step:
        import torch

        model = kind(case).model.train()
        optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9, weight_decay=5e-4)
        x = torch.rand(case.batch, 3, case.size, case.size)

        def step() -> None:
            loss = sum(output.square().mean() for output in model(x))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    return ready


def with_losses(case: Case) -> Step:
    """Darknet's losses of five objects a picture, and its update."""
    import torch

    import darkparse

    model = Module(case).model.train()
    losses = darkparse.training.losses.Losses(model)
    optimizer, schedule = darkparse.training.build_optimizer(model)
    x = torch.rand(case.batch, 3, case.size, case.size)
    truth = [torch.rand(5, 5) * torch.tensor([1, 1, 0.4, 0.4, 0]) for _ in range(case.batch)]

    def step() -> None:
        losses(model.layer_outputs(x), truth, seen=schedule.seen).total.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()

    return step


STEPS: dict[str, Callable[[Case], Step]] = {
    "PyTorch, eager": plain(Eager),
    "darkparse's module, the same loop": plain(Module),
    "darkparse's module, Darknet's losses and optimizer": with_losses,
}
