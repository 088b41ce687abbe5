"""Lower bound of the memory for training, from the shapes."""

from __future__ import annotations

import pytest

import darkparse
from darkparse.cli import main
from darkparse.network.analysis.memory import compute_training_memory

CFG = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nbatch_normalize=1\nfilters=4\nsize=1\nactivation=leaky\n"
PARAMETERS, STATISTICS = 3 * 4 + 2 * 4, 2 * 4


def test_training_memory_counts_parameters_outputs_and_moments() -> None:
    memory = compute_training_memory(darkparse.compile(CFG), moments=2)
    assert memory.parameters == 4 * (PARAMETERS + STATISTICS)
    assert memory.gradients == 4 * PARAMETERS
    assert memory.optimizer == 2 * memory.gradients
    assert memory.outputs == 4 * (8 * 8 * 3 + 8 * 8 * 4)
    assert memory.saved == 4 * (8 * 8 * 3 + 3 * 8 * 8 * 4)  # convolution, batch norm and activation
    fixed = memory.parameters + memory.gradients + memory.optimizer
    assert memory.minimum(5) == fixed + 5 * memory.outputs
    assert memory.estimate(5) == fixed + 5 * memory.saved


def test_show_batch_prints_a_lower_bound(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "yolov4-tiny", "--batch", "64"])
    line = capsys.readouterr().out.splitlines()[-2]
    assert line.startswith("training with mini-batches of 64 images: at least ")
    assert "this is a lower bound" in line
