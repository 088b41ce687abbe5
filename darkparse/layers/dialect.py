"""What differs between the two Darknets, as values that the phases ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DialectName = Literal["pjreddie", "alexeyab"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One fork of Darknet. The fields name the place in its C where they come from."""

    name: DialectName
    title: str
    batchnorm_epsilon: float
    """Added to the variance, or to its root (`epsilon_on_root`); blas.c normalize_cpu."""
    epsilon_on_root: bool
    batchnorm_momentum: float
    """Weight of the newest batch in the running statistics; batchnorm_layer.c."""
    batchnorm_stores_biases: bool
    """Whether the file holds the biases of a `[batchnorm]` section; parser.c load_batchnorm_weights."""
    lstm_order: tuple[str, ...]
    """Order of an LSTM's matrices in the file; parser.c load_weights_upto."""
    gru_order: tuple[str, ...]
    rnn_state_is_output: bool
    """`[rnn]` has a state of the size of its output and no `hidden`; rnn_layer.c make_rnn_layer."""
    flat_recurrences: frozenset[str]
    """Kinds whose output has a length and no channels, so that no layer of maps can follow;
    rnn_layer.c, lstm_layer.c, gru_layer.c."""
    seen_limit: int | None
    """Header versions from this on store `seen` in 32 bits again; parser.c load_weights_upto."""
    region_interleaved: bool
    """Whether a region head's output lies cell by cell; region_layer.c forward_region_layer."""
    xnor_joins_groups: bool
    """An XNOR convolution has one group whatever `groups` says; convolutional_layer.c make_convolutional_layer."""
    xnor_pads_with_minus_one: bool
    """The bit path of XNOR convolutions pads with 0 bits, which stand for -1; convolutional_layer.c."""
    adds_one_size: bool
    """A shortcut of maps of two sizes ends the program; parser.c parse_shortcut."""
    resize: Literal["letterbox", "stretch"]
    """How `detector test` fits a picture to the network's input; examples/detector.c, src/detector.c."""
    version: tuple[int, int, int]
    """The header's version in the files that it writes; parser.c save_weights_upto."""


PJREDDIE = Dialect(
    name="pjreddie",
    title="pjreddie/darknet",
    batchnorm_epsilon=1e-6,
    epsilon_on_root=True,
    batchnorm_momentum=0.01,
    batchnorm_stores_biases=False,
    lstm_order=("wi", "wf", "wo", "wg", "ui", "uf", "uo", "ug"),
    gru_order=("wz", "wr", "wh", "uz", "ur", "uh"),
    rnn_state_is_output=True,
    flat_recurrences=frozenset({"rnn", "lstm", "gru"}),
    seen_limit=1000,
    region_interleaved=False,
    xnor_joins_groups=False,
    xnor_pads_with_minus_one=False,
    adds_one_size=False,
    resize="letterbox",
    version=(0, 2, 0),
)

ALEXEYAB = Dialect(
    name="alexeyab",
    title="AlexeyAB/darknet",
    batchnorm_epsilon=1e-5,
    epsilon_on_root=False,
    batchnorm_momentum=0.1,
    batchnorm_stores_biases=True,
    lstm_order=("wf", "wi", "wg", "wo", "uf", "ui", "ug", "uo"),
    gru_order=("uz", "ur", "uh", "wz", "wr", "wh"),
    rnn_state_is_output=False,
    flat_recurrences=frozenset({"gru"}),
    seen_limit=None,
    region_interleaved=True,
    xnor_joins_groups=True,
    xnor_pads_with_minus_one=True,
    adds_one_size=True,
    resize="stretch",
    version=(0, 2, 5),
)

DIALECTS: dict[DialectName, Dialect] = {"pjreddie": PJREDDIE, "alexeyab": ALEXEYAB}
