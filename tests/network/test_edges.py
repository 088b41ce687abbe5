"""Corners of the two Darknets where a layer computes something else than its options seem to say,
or takes what looks unfit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import darkparse
from darkparse.syntax import read

NET = "[net]\nheight=6\nwidth=8\nchannels=4\n"


def _run(text: str, dialect: str) -> tuple[darkparse.Darknet, list[Tensor]]:
    """Return a network with initial weights, and the output of each layer for two images."""
    torch.manual_seed(0)
    model = darkparse.load(NET + text, dialect=dialect)
    with torch.inference_mode():
        return model, model.layer_outputs(_picture())


def _picture() -> Tensor:
    return torch.rand(2, 4, 6, 8, generator=torch.Generator().manual_seed(1)) - 0.5


@pytest.mark.parametrize(("dialect", "groups"), [("pjreddie", 2), ("alexeyab", 1)])
def test_xnor_convolution_ignores_groups_in_alexeyab_only(dialect: str, groups: int) -> None:
    model, outputs = _run("[convolutional]\nfilters=6\nsize=3\ngroups=2\nxnor=1\nactivation=linear\n", dialect)
    conv: Any = model.layers[0].conv
    assert conv.weight.shape == (6, 4 // groups, 3, 3)
    assert f"g{groups}" in model.network.nodes[0].summary or groups == 1
    weight = torch.where(conv.weight > 0, 1.0, -1.0) * conv.weight.abs().mean((1, 2, 3), keepdim=True)
    signs = torch.where(_picture() > 0, 1.0, -1.0)
    torch.testing.assert_close(outputs[0], F.conv2d(signs, weight.detach(), conv.bias.detach(), groups=groups))
    assert darkparse.from_yaml(model.network.to_yaml()).nodes[0].layer == model.network.nodes[0].layer


def test_deconvolution_numload_stores_that_many_filters() -> None:
    """pjreddie parser.c:1170: numload biases, scales, means and variances,
    then c·numload·size² weights from the start."""
    text = NET + "[deconvolutional]\nfilters=6\nsize=2\nbatch_normalize=1\nactivation=linear\nnumload=3\n"
    network = darkparse.compile(text)
    assert network.stored_floats == 4 * 3 + 4 * 3 * 2 * 2
    numbers = torch.arange(1.0, network.stored_floats + 1)
    header = bytes([0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, *bytes(8)])
    model: Any = darkparse.load(text, header + numbers.numpy().tobytes())
    assert model.layers[0].deconv.weight.shape == (4, 6, 2, 2)
    assert torch.equal(model.layers[0].deconv.weight.flatten()[:48], numbers[12:])
    assert torch.equal(model.layers[0].norm.bias[:3], numbers[:3])
    with pytest.raises(
        darkparse.CfgError, match="numload=1 of 6 filters would end a weights file within the weights of an input"
    ):
        darkparse.compile(text.replace("numload=3", "numload=1"))


VECTOR = "[connected]\noutput={}\nactivation=linear\n"
POINT = "[avgpool]\n[convolutional]\nfilters={}\nactivation=linear\n"


@pytest.mark.parametrize("gate", [VECTOR, POINT])
@pytest.mark.parametrize("kind", ["scale_channels", "sam"])
def test_gate_accepts_vector_or_1x1_map(kind: str, gate: str) -> None:
    """AlexeyAB's make_scale_channels_layer and make_sam_layer ask for w, h and c alone, which are 1, 1 and n."""
    model, outputs = _run(
        f"{VECTOR.format(5)}{gate.format(5)}[{kind}]\nfrom=0\n[convolutional]\nfilters=2\n", "alexeyab"
    )
    *_, product, behind = outputs
    torch.testing.assert_close(product.flatten(1), outputs[0] * outputs[-3].flatten(1))
    assert behind.shape == (2, 2, 1, 1)
    assert product.shape[1:] == model.network.nodes[-2].out_shape.tensor


def test_scale_channels_by_vector_scales_map() -> None:
    _, outputs = _run(f"[convolutional]\nfilters=5\n{VECTOR.format(5)}[scale_channels]\nfrom=0\n", "alexeyab")
    torch.testing.assert_close(outputs[2], outputs[0] * outputs[1][..., None, None])


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab"])
@pytest.mark.parametrize(("first", "second"), [(VECTOR, POINT), (POINT, VECTOR), (VECTOR, VECTOR)])
def test_route_joins_vectors_and_1x1_maps(first: str, second: str, dialect: str) -> None:
    """parse_route compares out_w and out_h, 1 for both, and adds up out_c."""
    text = f"{first.format(5)}{second.format(3)}"
    count = text.count("[")
    text += f"[route]\nlayers=-1,{count - second.count('[') - 1}\n[convolutional]\nfilters=2\n"
    model, outputs = _run(text, dialect)
    torch.testing.assert_close(
        outputs[-2].flatten(1), torch.cat([outputs[-3].flatten(1), outputs[-3 - second.count("[")].flatten(1)], 1)
    )
    assert outputs[-2].shape[1:] == model.network.nodes[-2].out_shape.tensor
    assert outputs[-1].shape == (2, 2, 1, 1)


@pytest.mark.parametrize(
    "options", ["", "alpha=.5\nbeta=-2\n", "weights_type=per_channel\nweights_normalization=relu\n"]
)
@pytest.mark.parametrize(("first", "n"), [(VECTOR, 5), (POINT, 5), (VECTOR, 3), (POINT, 7)])
def test_shortcut_adds_vectors_and_1x1_maps(first: str, n: int, options: str) -> None:
    """shortcut_cpu and shortcut_multilayer_cpu: what both have is added, the rest stays."""
    text = (
        f"{first.format(n)}{VECTOR.format(5)}[shortcut]\nfrom=-2\n{options}activation=leaky\n[convolutional]\n"
        "filters=2\n"
    )
    dialect = "alexeyab" if "weights" in options else "pjreddie"
    model, outputs = _run(text, dialect)
    alpha, beta = (0.5, -2.0) if "alpha" in options else (1 / (2 + 1e-4),) * 2 if "weights" in options else (1.0, 1.0)
    other = F.pad(outputs[-4].flatten(1), (0, 5 - n)) if n < 5 else outputs[-4].flatten(1)[:, :5]
    own = torch.full((5,), alpha)
    own[n:] = alpha if "weights" in options else 1.0
    torch.testing.assert_close(outputs[-2], F.leaky_relu(outputs[-3] * own + beta * other, 0.1), rtol=1e-5, atol=1e-6)
    assert model.network.nodes[-2].out_shape.tensor == (5,)


def test_layer_after_alexeyab_region_reads_its_buffer_as_planes() -> None:
    head = "[convolutional]\nfilters=7\n[region]\nclasses=2\n"
    model, outputs = _run(f"{head}[convolutional]\nfilters=2\nactivation=linear\n", "alexeyab")
    conv: Any = model.layers[2].conv
    assert outputs[1].shape == (2, 6, 8, 7)
    torch.testing.assert_close(
        outputs[2], F.conv2d(outputs[1].reshape(2, 7, 6, 8), conv.weight.detach(), conv.bias.detach())
    )
    with pytest.raises(
        darkparse.CfgError, match="the output of this head is ordered cell by cell and cannot be joined"
    ):
        darkparse.compile(f"{NET}{head}[route]\nlayers=0,1\n", dialect="alexeyab")


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("pjreddie", "[rnn]\noutput=5\n"),
        ("pjreddie", "[lstm]\noutput=5\n"),
        ("pjreddie", "[gru]\noutput=5\n"),
        ("alexeyab", "[gru]\noutput=5\n"),
        ("pjreddie", "[softmax]\nspatial=1\n"),
        ("alexeyab", "[softmax]\nspatial=1\n"),
    ],
)
def test_convolution_after_layer_without_channels_is_error(dialect: str, text: str) -> None:
    """Their make_… functions leave out_w, out_h and out_c at 0;
    "layer before convolutional layer must output image"."""
    _run(f"{text}[connected]\noutput=3\n", dialect)
    for follower in ("[convolutional]\n", "[l2norm]\n"):
        with pytest.raises(darkparse.CfgError, match=r"requires a map, got a vector of \d+ values"):
            darkparse.compile(f"{NET}{text}{follower}", dialect=dialect)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_convolution_after_alexeyab_rnn_or_lstm_compiles(kind: str) -> None:
    _, outputs = _run(f"[{kind}]\noutput=5\n[convolutional]\nfilters=2\n", "alexeyab")
    assert outputs[1].shape == (2, 2, 1, 1)


def test_shortcut_weights_without_normalization_warn() -> None:
    text = "[convolutional]\nfilters=4\n[shortcut]\nfrom=-1\nweights_type=per_feature\n"
    found = darkparse.compile(NET + text, dialect="alexeyab").diagnostics
    assert [str(d.message) for d in found] == [
        "AlexeyAB/darknet rejects weights_type= without weights_normalization= (parser.c:935); darkparse uses the "
        "weights unnormalized"
    ]


@pytest.mark.parametrize(
    ("behind", "has_activation"),
    [
        ("[convolutional]\n", False),
        ("[maxpool]\n", False),
        ("[route]\nlayers=0\n", True),
        ("[convolutional]\nfilters=4\n[shortcut]\nfrom=0\n", True),
        ("[convolutional]\nfilters=4\n[convolutional]\nfilters=4\n[shortcut]\nfrom=1,0\n", False),
        ("[convolutional]\nfilters=4\n[sam]\nfrom=0\n", True),
        ("[avgpool]\n[scale_channels]\nfrom=0\n", True),
    ],
)
def test_join_after_bin_output_restores_activation(behind: str, has_activation: bool) -> None:
    """AlexeyAB's parser.c:1489-1509 sets use_bin_output to 0: of all that a route reads, of the first two otherwise."""
    text = f"{NET}[convolutional]\nfilters=4\nxnor=1\nbin_output=1\nactivation=leaky\n{behind}"
    chain = darkparse.compile(text, dialect="alexeyab").nodes[0].modules
    assert [spec.name for spec in chain] == (["conv", "activation"] if has_activation else ["conv"])


@pytest.mark.parametrize("place", ["cfgs/part", "cfgs", "work"])
def test_file_of_an_option_is_found_beside_the_cfg_above_it_and_in_the_working_directory(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("cfgs/part", "work", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    cfg = tmp_path / "cfgs" / "part" / "x.cfg"
    cfg.write_text("[net]\ninputs=2\n[softmax]\ntree=x.tree\n")
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "elsewhere" / "x.tree").write_text("a -1\nb -1\n")
    codes = [[found.code for found in darkparse.compile(cfg).diagnostics]]
    (tmp_path / place / "x.tree").write_text("a -1\nb -1\n")
    codes.append([found.code for found in darkparse.compile(cfg).diagnostics])
    assert codes == [["no-file"], []]


@pytest.mark.parametrize(
    ("folders", "places"), [(None, "the working directory, the"), ([], "only the directories that")]
)
def test_warning_about_missing_file_names_directories_searched(folders: list[Path] | None, places: str) -> None:
    config = read("[net]\ninputs=2\n[softmax]\ntree=nowhere.tree\n", folders=folders)
    (warning,) = darkparse.compile(config).diagnostics
    assert warning.message.startswith(f"nowhere.tree: no such file; darkparse searches {places}")


def test_networks_with_other_warnings_are_equal() -> None:
    network = darkparse.compile(NET + "[convolutional]\nsise=3\n")
    assert network.diagnostics
    assert replace(network, diagnostics=()) == network


@pytest.mark.parametrize(
    ("folders", "cwd", "home", "is_found"),
    [
        (["given"], "other", "", True),
        (["given/.."], "other", "", True),
        (["other"], "given", "", False),
        ([], "given", "", False),
        (None, "given", "", True),
        (None, "given", "given", False),
    ],
)
def test_file_of_cfg_text_is_found_in_folders_it_may_read(
    folders: list[str] | None, cwd: str, home: str, is_found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without folders this is the working directory, unless it is the home directory."""
    for name in ("given", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "given" / "x.tree").write_text("a -1\nb -1\n")
    monkeypatch.chdir(tmp_path / cwd)
    monkeypatch.setenv("HOME", str(tmp_path / home) if home else "/nowhere")
    tree = "given/x.tree" if folders == ["given/.."] else "x.tree"
    places = None if folders is None else [tmp_path / folder for folder in folders]
    network = darkparse.compile(read(f"[net]\ninputs=2\n[softmax]\ntree={tree}\n", folders=places))
    assert [found.code for found in network.diagnostics] == ([] if is_found else ["no-file"])
