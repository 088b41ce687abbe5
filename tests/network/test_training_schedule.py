"""Findings about the length of a training, and the options that make a cfg train a data set."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import darkparse
from darkparse.network.training import bind_net_training
from darkparse.network.training_schedule import (
    TrainingLength,
    choose_subdivisions,
    lint_mini_batch,
    plan_schedule,
    recommend_batches,
)

LAYERS = """
[convolutional]
batch_normalize={norm}
filters=7
size=1
activation=linear
[yolo]
mask=0
num=1
classes=2
anchors=4,4
"""


def compile_net(norm: int = 1, **net: Any) -> darkparse.Network:
    options = {"width": 32, "height": 32, "channels": 3, "batch": 64, "max_batches": 6000} | net
    lines = "\n".join(f"{key}={value}" for key, value in options.items())
    return darkparse.compile(f"[net]\n{lines}\n{LAYERS.format(norm=norm)}")


@pytest.mark.parametrize(("classes", "images", "batches"), [(1, 10, 6000), (4, 10, 8000), (2, 9000, 9000)])
def test_recommended_batches_follow_classes_and_images(classes: int, images: int, batches: int) -> None:
    assert recommend_batches(classes, images) == batches


@pytest.mark.parametrize(("net", "expected"), [
    ({}, {"max_batches": "1000", "policy": "steps", "steps": "800,900", "scales": "0.1,0.1"}),
    ({"burn_in": 1000}, {"burn_in": "100"}),
    ({"burn_in": 50}, {"burn_in": None}),
    ({"policy": "steps", "steps": "1,2", "scales": ".5,.2"}, {"steps": "800,900", "scales": "0.5,0.2"}),
    ({"policy": "poly"}, {"max_batches": "1000", "policy": None, "steps": None}),
    ({"policy": "constant"}, {"policy": "steps"}),
])  # fmt: skip
def test_planned_schedule_lowers_the_rate_at_80_and_90_percent(
    net: dict[str, Any], expected: dict[str, str | None]
) -> None:
    network = compile_net(**net)
    plan = plan_schedule(network, 1000)
    assert {key: plan.get(key) for key in expected} == expected
    planned = darkparse.edit(network, net=plan)
    assert list(TrainingLength(planned, 100, 2).lint()) == []
    assert bind_net_training(planned).max_batches == 1000


@pytest.mark.parametrize(("image_bytes", "budget", "expected"), [(1, 64, 1), (1, 63, 2), (10, 100, 8), (1000, 1, 64)])
def test_subdivisions_are_the_fewest_that_fit(image_bytes: int, budget: int, expected: int) -> None:
    assert choose_subdivisions(64, image_bytes, budget) == expected


@pytest.mark.parametrize(("norm", "batch", "subdivisions", "told"), [
    (1, 1, 1, "batch=1 trains on mini-batches of 1 image, and batch norm normalizes each image by itself"),
    (1, 64, 64, "batch=64 with as many subdivisions trains on mini-batches of 1 image"),
    (0, 1, 1, "each update follows a single image"),
    (0, 64, 64, None),
    (1, 64, 32, None),
])  # fmt: skip
def test_mini_batch_of_one_image_is_reported_with_remedy(
    norm: int, batch: int, subdivisions: int, told: str | None
) -> None:
    findings = list(lint_mini_batch(compile_net(norm, batch=batch, subdivisions=subdivisions)))
    assert len(findings) == (told is not None)
    for finding in findings:
        assert told is not None
        assert told in finding.message
        assert "`darkparse edit CFG --data DATA -o NEW` sets batch=64" in finding.message


@pytest.mark.parametrize(("max_batches", "images", "is_reported"), [
    (2_000_200, 100, True), (60_000, 100, False), (60_001, 100, True), (10, 641, True), (10, 640, False),
])  # fmt: skip
def test_max_batches_far_from_the_recommended_are_reported(max_batches: int, images: int, is_reported: bool) -> None:
    findings = list(TrainingLength(compile_net(max_batches=max_batches), images, 2).lint())
    assert len(findings) == is_reported
    if is_reported:
        assert f"max_batches={max_batches} means {64 * max_batches / images:,.0f}"[:30] in findings[0].message
        assert "take about 6,000 batches of 64" in findings[0].message


@pytest.mark.parametrize(("batches", "start", "is_reported"), [
    (99, 0, True), (100, 0, False), (None, 0, False), (50, 60, False), (30, 60, True),
])  # fmt: skip
def test_end_within_burn_in_is_reported(batches: int | None, start: int, is_reported: bool) -> None:
    network = compile_net(burn_in=100, learning_rate=0.01)
    findings = list(TrainingLength(network, 100, 2, batches, start).lint())
    assert len(findings) == is_reported
    if is_reported:
        assert f"--batches {batches} ends within burn_in=100: the learning rate only reaches" in findings[0].message
        assert f"`darkparse edit CFG --data DATA --batches {start + (batches or 0)} -o NEW`" in findings[0].message
        assert findings[0].span is not None
        assert findings[0].span.text == "100"


def test_length_states_epochs_and_the_first_rates() -> None:
    length = TrainingLength(compile_net(burn_in=1000, learning_rate=0.01), 2000, 2)
    rate = 0.01 * sum((n / 1000) ** 4 for n in range(1, 101)) / 100
    assert length.first_rate == pytest.approx(rate)
    assert str(length) == (
        "6,000 batches of 64 images are 192 epochs of 2,000 images; mean learning rate of the first 100 batches: "
        f"{rate:.3g} (0.01 in the cfg)"
    )
    assert "--batches N` sets the length" in str(TrainingLength(compile_net(max_batches=0), 2000, 2))


@pytest.mark.parametrize(("net", "message"), [
    ({"bach": 64}, "unknown .net. option 'bach'; did you mean batch"),
    ({"max_ratio": 2}, "pjreddie|no .net. option max_ratio"),
    ({"batch": ""}, "batch has no value"),
    ({"burn_in": "many"}, "invalid value for burn_in, got 'many'"),
    ({"hue": "x"}, "hue=x"),
    ({"batch": "x"}, "batch=x"),
])  # fmt: skip
def test_invalid_net_option_is_refused(net: dict[str, Any], message: str) -> None:
    network = darkparse.compile(compile_net().config, dialect="alexeyab")
    with pytest.raises(darkparse.DarkparseError, match=message):
        darkparse.edit(network, net=net)


def test_net_options_keep_comments_and_replace_values() -> None:
    network = darkparse.compile("[net]\n# mine\nwidth = 32  # wide\nheight=32\nchannels=3\n" + LAYERS.format(norm=1))
    text = darkparse.edit(network, size=64, net={"width": 96, "steps": (1, 2), "policy": "steps"}).to_cfg()
    head = "[net]\n# mine\nwidth = 96\nheight=64\nchannels=3\nsteps=1,2\npolicy=steps\n"
    assert text.startswith(head)


@pytest.mark.parametrize(("batches", "rate"), [(1, 0.001), (2, 0.00055), (3, 0.0004)])
def test_first_rate_is_mean_of_the_batches_that_run(batches: int, rate: float) -> None:
    network = compile_net(learning_rate=0.001, policy="steps", steps="2", scales=".1")
    assert TrainingLength(network, 10, 2, batches).first_rate == pytest.approx(rate)


def test_training_length_does_not_repeat_warnings_about_values() -> None:
    length = TrainingLength(compile_net(max_batches="6000x"), 10, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert length.end == 6000
    with pytest.warns(UserWarning, match="max_batches: Darknet reads 6000 and ignores 'x'"):
        bind_net_training(length.network)
