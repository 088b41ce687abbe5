"""Training steps in darkparse and in plain PyTorch: forward, backward and update."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.case import Case
from benchmarks.peers import DarkparseModule, EagerModule

Step = Callable[[], Any]


def build_pytorch_step(case: Case, *, channels_last: bool, bfloat16: bool = False) -> Step:
    """Return a step of the emitted source with PyTorch's SGD; its loss is the mean square of each output."""
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = EagerModule(case).model.train().to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9, weight_decay=5e-4)
    x = torch.rand(case.batch, 3, case.size, case.size).to(memory_format=layout)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            outputs = model(x)
        sum(output.float().square().mean() for output in outputs).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def build_darkparse_step(case: Case, *, bfloat16: bool = False) -> Step:
    """Return a step of `darkparse train`: Darknet's losses for five objects per image, checks and update."""
    import torch

    import darkparse
    from darkparse.training.distributed import SelectedOutputs
    from darkparse.training.finite_check import check_gradients, check_loss
    from darkparse.training.memory_format import convert_model
    from darkparse.training.precision import Precision

    model = convert_model(DarkparseModule(case).model.train())
    losses = darkparse.training.losses.Losses(model)
    optimizer, schedule = darkparse.training.build_optimizer(model)
    run = SelectedOutputs(model, {*losses.heads, *losses.entries.values()})
    precision = Precision(torch.device("cpu"), torch.bfloat16 if bfloat16 else None)
    x = torch.rand(case.batch, 3, case.size, case.size)
    truth = [torch.rand(5, 5) * torch.tensor([1, 1, 0.4, 0.4, 0]) for _ in range(case.batch)]

    def step() -> None:
        with precision.autocast():
            outputs = run(x)
        loss = losses(outputs, truth, seen=schedule.seen)
        check_loss(model, schedule.batch, x, [], loss, "")
        loss.total.backward()
        check_gradients(model, schedule.batch, "")
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()

    return step


STEPS: dict[str, Callable[[Case], Step]] = {
    "PyTorch, eager": partial(build_pytorch_step, channels_last=False),
    "PyTorch, eager, channels last": partial(build_pytorch_step, channels_last=True),
    "PyTorch, eager, channels last, bfloat16": partial(build_pytorch_step, channels_last=True, bfloat16=True),
    "darkparse train": build_darkparse_step,
    "darkparse train --amp": partial(build_darkparse_step, bfloat16=True),
}
