"""Learning rates, compared with network.c get_current_rate, and the length of a training."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

import darkparse
from darkparse.layers.training import NetTraining
from darkparse.network.learning_rate import compute_rate, find_missing_options
from darkparse.network.training import bind_net_training
from darkparse.network.training_schedule import choose_subdivisions, plan_schedule, recommend_batches

CFG = "[net]\nwidth=8\nheight=8\nchannels=3\nlearning_rate=0.1\n{}\n[convolutional]\n"


def bind(options: str) -> NetTraining:
    return bind_net_training(darkparse.compile(CFG.format(options.replace(" ", "\n")), dialect="alexeyab"))


def steps_in_c(batch: int) -> float:
    """The loop over steps=10,20 and scales=.5,.1."""
    rate = 0.1
    for step, scale in ((10, 0.5), (20, 0.1)):
        if step > batch:
            return rate
        rate *= scale
    return rate


def sgdr_in_c(batch: int) -> float:
    """The loop over sgdr_cycle=8 and sgdr_mult=3."""
    start, cycle = 0, 8
    while start + cycle < batch:
        start += cycle
        cycle *= 3
    return 0.01 + 0.5 * (0.1 - 0.01) * (1 + math.cos((batch - start) * math.pi / cycle))


POLICIES: dict[str, Callable[[int], float]] = {
    "policy=constant": lambda n: 0.1,
    "policy=step step=7 scale=.5": lambda n: 0.1 * 0.5 ** (n // 7),
    "policy=steps steps=10,20 scales=.5,.1": steps_in_c,
    "policy=exp gamma=.9": lambda n: 0.1 * 0.9**n,
    "policy=poly max_batches=60 power=3": lambda n: 0.1 * (1 - n / 60) ** 3,
    "policy=sigmoid gamma=.3 step=20": lambda n: 0.1 / (1 + math.exp(0.3 * (n - 20))),
    "policy=sgdr learning_rate_min=.01 sgdr_cycle=8 sgdr_mult=3": sgdr_in_c,
    "policy=sgdr learning_rate_min=.01 max_batches=60 sgdr_mult=3": lambda n: (
        0.01 + 0.045 * (1 + math.cos(n * math.pi / 60))
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_rate_equals_darknets(policy: str) -> None:
    net = bind(f"burn_in=5 {policy}" if "power" in policy else f"burn_in=5 power=4 {policy}")
    power = 3 if "power" in policy else 4
    for batch in range(1, 60):
        expected = 0.1 * (batch / 5) ** power if batch < 5 else POLICIES[policy](batch)
        assert compute_rate(net, batch) == pytest.approx(expected, rel=1e-6), batch
    assert find_missing_options(net) == ""


def test_rate_of_random_policy_is_a_random_power() -> None:
    net = bind("policy=random power=2")
    rates = [compute_rate(net, batch) for batch in range(1, 2001)]
    assert rates == [compute_rate(net, batch) for batch in range(1, 2001)]
    assert all(0 <= rate < 0.1 for rate in rates)
    assert sum(rate < 0.025 for rate in rates) / 2000 == pytest.approx(0.5, abs=0.05)  # half of the roots are below .5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("policy=steps steps=10,20 scales=.5", "steps= and one scales= value per step"),
        ("policy=steps scales=.5", "steps= and one scales= value per step"),
        ("policy=steps steps=10 scales=.5,.1", ""),
        ("policy=poly", "max_batches"),
        ("policy=poly max_batches=1", ""),
        ("policy=sgdr", "max_batches= or sgdr_cycle="),
        ("policy=sgdr sgdr_cycle=0 max_batches=5", "max_batches= or sgdr_cycle="),
        ("policy=sgdr sgdr_cycle=5 sgdr_mult=0", "max_batches= or sgdr_cycle="),
        ("policy=sgdr sgdr_cycle=5", ""),
        ("policy=exp", ""),
    ],
)
def test_missing_options_of_policy_are_named(options: str, message: str) -> None:
    assert find_missing_options(bind(options)) == message


@pytest.mark.parametrize(
    ("classes", "images", "batches"), [(1, 10, 6000), (3, 6000, 6000), (4, 10, 8000), (1, 7000, 7000), (4, 9000, 9000)]
)
def test_recommended_batches_are_2000_per_class_and_one_per_image(classes: int, images: int, batches: int) -> None:
    assert recommend_batches(classes, images) == batches


@pytest.mark.parametrize(
    ("options", "planned"),
    [
        ("", {"policy": "steps", "steps": "80,90", "scales": "0.1,0.1"}),
        ("burn_in=10", {"policy": "steps", "steps": "80,90", "scales": "0.1,0.1"}),
        ("burn_in=11", {"burn_in": "10", "policy": "steps", "steps": "80,90", "scales": "0.1,0.1"}),
        ("policy=steps steps=1,2 scales=.5,.25", {"policy": "steps", "steps": "80,90", "scales": "0.5,0.25"}),
        ("policy=steps steps=1 scales=.5", {"policy": "steps", "steps": "80,90", "scales": "0.1,0.1"}),
        ("policy=step step=1 scales=.5,.25", {"policy": "steps", "steps": "80,90", "scales": "0.1,0.1"}),
        ("policy=poly", {}),
        ("policy=sgdr burn_in=1000", {"burn_in": "10"}),
    ],
)
def test_planned_schedule_has_steps_at_80_and_90_percent(options: str, planned: dict[str, str]) -> None:
    network = darkparse.compile(CFG.format(options.replace(" ", "\n")), dialect="alexeyab")
    assert plan_schedule(network, 100) == {"max_batches": "100"} | planned


@pytest.mark.parametrize(("budget", "subdivisions"), [(640, 1), (639, 2), (320, 2), (319, 4), (10, 64), (9, 64)])
def test_subdivisions_are_the_fewest_that_fit_in_memory(budget: int, subdivisions: int) -> None:
    assert choose_subdivisions(64, 10, budget) == subdivisions
