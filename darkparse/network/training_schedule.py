"""Length of training: recommended `[net]` options, epochs and learning rates of a schedule, and warnings about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from darkparse._utils.text import pluralize
from darkparse.diagnostics import Diagnostic
from darkparse.errors import DarkparseError
from darkparse.layers.training import NetTraining
from darkparse.network.learning_rate import RELATIVE_POLICIES, compute_rate, find_missing_options
from darkparse.network.network import Network
from darkparse.network.node import Node
from darkparse.network.training import bind_net_training, count_images_per_batch

BATCH = 64
"""Images between two updates, as in the forks' cfgs for training."""
BATCHES_PER_CLASS, MIN_BATCHES = 2000, 6000
"""Recommendation of AlexeyAB's README for `max_batches`."""
FIRST_BATCHES = 100
"""Number of batches whose mean learning rate is reported."""
MAX_EXCESS = 10
"""Multiple of the recommended `max_batches` from which a warning is issued."""


def recommend_batches(classes: int, images: int) -> int:
    """Return the recommended `max_batches` for a data set."""
    return max(BATCHES_PER_CLASS * classes, images, MIN_BATCHES)


def count_classes(network: Network) -> int:
    """Return the number of classes of the last head, or of a classifier."""
    node = network.nodes[network.outputs[-1]]
    return int(getattr(node.layer, "classes", node.out_shape.size))


def plan_schedule(network: Network, batches: int) -> dict[str, str]:
    """Return the options of `[net]` for training of `batches` batches.

    Policies that depend only on `max_batches` are kept; others are replaced by `steps` at 80 and 90 %.
    """
    net = bind_net_training(network, quiet=True)
    options = {"max_batches": str(batches)}
    if net.burn_in > batches // 10:
        options["burn_in"] = str(batches // 10)
    if net.policy in RELATIVE_POLICIES:
        return options
    scales = net.scales if net.policy == "steps" and len(net.scales) == 2 else (0.1, 0.1)
    return options | {
        "policy": "steps",
        "steps": f"{batches * 8 // 10},{batches * 9 // 10}",
        "scales": ",".join(f"{scale:g}" for scale in scales),
    }


def choose_subdivisions(batch: int, image_bytes: int, budget: int) -> int:
    """Return the smallest divisor of `batch` whose mini-batches fit into `budget` bytes."""
    divisors = (n for n in range(1, batch + 1) if batch % n == 0)
    return next((n for n in divisors if batch // n * image_bytes <= budget), batch)


@dataclass(frozen=True, slots=True)
class TrainingLength:
    """Length of training that a schedule results in for a data set.

    Attributes:
        network: Network to train.
        images: Number of images in `train`.
        classes: Number of classes.
        batches: Number of batches to train now; None: up to `max_batches`.
        start: Number of batches trained before.
    """

    network: Network
    images: int
    classes: int
    batches: int | None = None
    start: int = 0

    @property
    def net(self) -> NetTraining:
        return bind_net_training(self.network, quiet=True)

    @property
    def end(self) -> int:
        """Number of the last batch."""
        max_batches = self.net.max_batches
        if self.batches is None:
            return max_batches
        return min(self.start + self.batches, max_batches or self.start + self.batches)

    @property
    def epochs(self) -> float:
        """Times that each image is drawn on average up to the last batch."""
        return self.end * count_images_per_batch(self.network) / max(self.images, 1)

    @property
    def first_rate(self) -> float | None:
        """Mean learning rate of the first batches; None if an option of the policy is missing."""
        net, count = self.net, self._num_first_batches
        if find_missing_options(net):
            return None
        return sum(compute_rate(net, batch) for batch in range(1, count + 1)) / count

    @property
    def _num_first_batches(self) -> int:
        return min(FIRST_BATCHES, max(self.end, 1))

    def __str__(self) -> str:
        batch = count_images_per_batch(self.network)
        if not self.end:
            return "the cfg has no max_batches=: `darkparse train --batches N` sets the length of the training"
        text = f"{pluralize(self.end, 'batch', 'batches')} of {pluralize(batch, 'image')} are "
        text += f"{_format_epochs(self.epochs)} of {pluralize(self.images, 'image')}"
        if self.first_rate is None:
            return text
        count = self._num_first_batches
        batches = "the first batch" if count == 1 else f"the first {count} batches"
        return f"{text}; mean learning rate of {batches}: {self.first_rate:.3g} ({self.net.learning_rate:g} in the cfg)"

    def lint(self) -> Iterator[Diagnostic]:
        """Yield a warning for each reason why the schedule does not train this data set."""
        yield from lint_mini_batch(self.network)
        yield from self._check_max_batches()
        yield from self._check_burn_in()

    def _check_max_batches(self) -> Iterator[Diagnostic]:
        max_batches, wanted = self.net.max_batches, recommend_batches(self.classes, self.images)
        drawn = max_batches * count_images_per_batch(self.network)
        if not max_batches or (self.images <= drawn and max_batches <= MAX_EXCESS * wanted):
            return
        message = (
            f"max_batches={max_batches} means {_format_epochs(drawn / max(self.images, 1))} of "
            f"{pluralize(self.images, 'image')}; {pluralize(self.classes, 'class', 'classes')} and "
            f"{pluralize(self.images, 'image')} take about {wanted:,} batches of {BATCH}: {REMEDY} sets them"
        )
        yield _make_finding(self.network, "max_batches", message)

    def _check_burn_in(self) -> Iterator[Diagnostic]:
        net, end = self.net, self.end
        if not 0 < end < net.burn_in:
            return
        length = f"--batches {self.batches}" if self.batches is not None else f"max_batches={net.max_batches}"
        rate = compute_rate(net, end)
        message = (
            f"{length} ends within burn_in={net.burn_in}: the learning rate only reaches {rate:.3g}, "
            f"{100 * rate / net.learning_rate if net.learning_rate else 0:.2g} % of learning_rate="
            f"{net.learning_rate:g}, and little is learned; train more than {net.burn_in:,} batches, or "
            f"{REMEDY.replace('DATA', f'DATA --batches {end}')} sets a schedule of that length"
        )
        yield _make_finding(self.network, "burn_in", message)


REMEDY = "`darkparse edit CFG --data DATA -o NEW`"


def lint_mini_batch(network: Network) -> Iterator[Diagnostic]:
    """Warn about mini-batches of one image: the shipped cfgs have `batch=1`, for inference."""
    images = max(network.net.batch // max(network.net.subdivisions, 1), 1)
    has_norm = any(map(_has_batch_norm, network.nodes))
    if images > 1 or not (has_norm or network.net.batch <= 1):
        return
    cause = "batch=1" if network.net.batch <= 1 else f"batch={network.net.batch} with as many subdivisions"
    effect = "batch norm normalizes each image by itself" if has_norm else "each update follows a single image"
    message = f"{cause} trains on mini-batches of 1 image, and {effect}: {REMEDY} sets batch={BATCH} and subdivisions="
    yield _make_finding(network, "batch" if network.net.batch <= 1 else "subdivisions", message)


def _format_epochs(epochs: float) -> str:
    return f"{epochs:,.{0 if epochs >= 10 else 1}f} epochs"


def check_batch_norm(network: Network, processes: int = 1) -> None:
    """Raise DarkparseError if batch norm would have a single value per channel, whose variance is 0.

    Args:
        network: Network to train.
        processes: Number of processes that share each mini-batch.
    """
    net = network.net
    images = max(net.batch // max(net.subdivisions * processes, 1), 1) * net.time_steps
    node = next((n for n in network.nodes if images * n.out_shape.area == 1 and _has_batch_norm(n)), None)
    if node is not None:
        raise DarkparseError(
            f"layer {node.index} [{node.kind}] ({node.section.span}): batch norm has one value per channel, got a "
            "mini-batch of 1 image and a map of 1×1; expected at least 2 values\n"
            "hint: increase batch= or the input size"
        )


def _has_batch_norm(node: Node) -> bool:
    return bool(getattr(node.layer, "normalized", False)) or node.kind == "batchnorm"


def _make_finding(network: Network, key: str, message: str) -> Diagnostic:
    return Diagnostic("warning", "schedule", message, network.config.net.locate(key))
