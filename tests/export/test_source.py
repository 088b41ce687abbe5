"""Emitted source: reads, runs, and computes what the module computes."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import darkparse
from darkparse.export.source.printing import make_class_name
from darkparse.weights import compute_layout
from tests.conftest import ROOT, SHARED, exhaustive, needs_shared, original_params, shipped_cfgs
from tests.layers.small_networks import SMALL
from tests.model.samples import mark_repeated
from tests.weights.weight_files import HEADERS, transposed_header, weights

both_forms = pytest.mark.parametrize(
    "flat", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["folded", "flat"]
)

RUFF, MYPY = (shutil.which(name, path=str(Path(sys.executable).parent)) for name in ("ruff", "mypy"))


def load_source(text: str) -> dict[str, Any]:
    """Run the text of a file, as an import would."""
    space: dict[str, Any] = {"__name__": "emitted"}
    exec(compile(text, "emitted.py", "exec"), space)
    return space


def class_of(space: dict[str, Any]) -> type[nn.Module]:
    """The network's class: the last of the file."""
    found: type[nn.Module] = [v for v in space.values() if isinstance(v, type) and v.__module__ == "emitted"][-1]
    return found


def initialized(network: darkparse.Network) -> darkparse.Darknet:
    """A module whose values neither fade nor grow from layer to layer:
    Darknet's start has a third of the variance for that."""
    torch.manual_seed(0)
    model = darkparse.build(network, initialize=True).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if "norm." in name:
                value.add_(torch.rand_like(value) / 4)
            elif value.dim() > 1:
                value.mul_(3**0.5)
    return model


def outputs(model: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        out = model(x)
    return out if isinstance(out, tuple) else (out,)


def assert_same_bits(network: darkparse.Network, *, flat: bool) -> None:
    model = initialized(network)
    with torch.device("meta"):
        emitted = class_of(load_source(darkparse.to_source(network, flat=flat)))().eval()
    emitted.load_state_dict(model.state_dict(), assign=True)
    x = torch.rand(2, *network.input_shape.tensor)
    for _ in range(3 if any(node.layer.has_state for node in network.nodes) else 1):
        for mine, theirs in zip(outputs(model, x), outputs(emitted, x), strict=True):
            assert torch.equal(mine.nan_to_num(7), theirs.nan_to_num(7))
    assert list(emitted.state_dict()) == list(model.state_dict())
    model.load_state_dict(emitted.state_dict(), assign=True)


def small_size(path: Path) -> darkparse.Network:
    """A network at a small input size where it has none of its own to keep."""
    network = darkparse.compile(path)
    fixed = {"connected", "local", "detection", "crop", "reorg"}
    if not network.net.has_image or network.net.height < 200 or any(node.kind in fixed for node in network.nodes):
        return network
    return darkparse.compile(path, size=128 if network.net.height % 64 else 64)


@both_forms
@pytest.mark.parametrize("path", mark_repeated(SMALL, by_option=True))
def test_emitted_source_computes_same_bits(path: Path, flat: bool) -> None:
    assert_same_bits(darkparse.compile(path), flat=flat)


@pytest.mark.slow
@pytest.mark.parametrize("flat", [False, True], ids=["folded", "flat"])
@pytest.mark.parametrize("path", shipped_cfgs(), ids=lambda path: path.stem)
def test_emitted_source_of_shipped_network_computes_same_bits(path: Path, flat: bool) -> None:
    assert_same_bits(small_size(path), flat=flat)


ORIGINALS = """
    alexeyab/Gaussian_yolov3_BDD alexeyab/cifar alexeyab/crnn.train alexeyab/csresnext50-panet-spp
    alexeyab/darknet53_448_xnor alexeyab/densenet201 alexeyab/efficientnet-lite3
    alexeyab/efficientnet_b0 alexeyab/enet-coco alexeyab/lstm.train alexeyab/resnet152_trident
    alexeyab/rnn alexeyab/yolov3-spp alexeyab/yolov3-tiny-prn alexeyab/yolov3-tiny_occlusion_track
    alexeyab/yolov4 alexeyab/yolov4-csp alexeyab/yolov4-sam-mish-csp-reorg-bfm alexeyab/yolov4-tiny
    alexeyab/yolov4-tiny_contrastive alexeyab/yolov7-tiny pjreddie/alexnet pjreddie/darknet9000
    pjreddie/extraction pjreddie/go pjreddie/gru pjreddie/resnet50 pjreddie/resnext50
    pjreddie/yolov1-tiny pjreddie/yolov2 pjreddie/yolov3
"""

ALONE = """
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "darkparse":
            raise ImportError("darkparse is not here")
sys.meta_path.insert(0, Refuse())
import importlib.util, torch
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("emitted", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with torch.device("meta"):
    model = getattr(module, sys.argv[2])().eval()
held = torch.load(sys.argv[3], mmap=True, weights_only=True)
model.load_state_dict(held["state"], assign=True)
with torch.no_grad():
    out = model(held["input"])
torch.save(out, sys.argv[4])
assert "darkparse" not in sys.modules
"""


def run_alone(network: darkparse.Network, folder: Path, *, flat: bool) -> None:
    """The file in a process that cannot import darkparse, with the parameters at the same places of the same file."""
    torch.save(
        {"state": initialized(network).state_dict(), "input": torch.rand(1, *network.input_shape.tensor)},
        folder / "state.pt",
    )
    held = torch.load(folder / "state.pt", mmap=True, weights_only=True)
    model = darkparse.build(network)
    model.load_state_dict(held["state"], assign=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = outputs(model, held["input"])
    torch.set_num_threads(threads)
    source = folder / "emitted.py"
    source.write_text(darkparse.to_source(network, flat=flat), "utf-8")
    arguments = [str(source), make_class_name(network.name), str(folder / "state.pt"), str(folder / "out.pt")]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(folder / "out.pt", weights_only=True)
    for mine, theirs in zip(expected, found if isinstance(found, tuple) else (found,), strict=True):
        assert torch.equal(mine.nan_to_num(7), theirs.nan_to_num(7))


@pytest.mark.slow
def test_emitted_file_runs_without_darkparse(tmp_path: Path) -> None:
    run_alone(darkparse.compile("yolov4-tiny", size=64), tmp_path, flat=False)


SOME = ("alexeyab/yolov4-csp", "alexeyab/efficientnet_b0", "pjreddie/resnet50", "alexeyab/rnn")


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("flat", [False, True], ids=["folded", "flat"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SOME else exhaustive) for name in ORIGINALS.split()]
)
def test_emitted_original_network_runs_without_darkparse(name: str, flat: bool, tmp_path: Path) -> None:
    run_alone(small_size(SHARED / "cfgs" / f"{name}.cfg"), tmp_path, flat=flat)


@pytest.mark.parametrize("dialect", [pytest.param("pjreddie", marks=pytest.mark.slow), "alexeyab"])
@both_forms
@pytest.mark.parametrize(
    "path",
    mark_repeated(
        (p for p in SMALL if re.match(r"conv|conn|batch|local|gru|lstm|rnn|deconv|implicit|shortcut_per", p.stem)),
        by_option=True,
    ),
)
def test_emitted_loader_reads_weights_file(path: Path, flat: bool, dialect: str, tmp_path: Path) -> None:
    network = darkparse.compile(path, dialect=dialect)
    model = initialized(network)
    darkparse.save_weights(model, tmp_path / "a.weights")
    space = load_source(darkparse.to_source(network, flat=flat))
    emitted = class_of(space)()
    space["load_darknet_weights"](emitted, str(tmp_path / "a.weights"))
    mine, theirs = model.state_dict(), emitted.state_dict()
    assert all(torch.equal(mine[entry.name], theirs[entry.name]) for entry in compute_layout(network))


NET = "[net]\nchannels=3\nheight=32\nwidth=32\n"
CONV = "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=leaky\nbatch_normalize=1\n"
CONV_REST = "pad=1\nactivation=leaky\nbatch_normalize=1\n"
CONNECTED = "[connected]\noutput=5\n"


@both_forms
@pytest.mark.parametrize("header", [*HEADERS, "transposed"])
@pytest.mark.parametrize(
    "layers",
    [
        CONV,
        CONV + CONNECTED,
        f"{CONV}flipped=1\n{CONV}{CONNECTED}",
        f"{CONV}numload=2\n{CONV}{CONNECTED}",
        f"{CONV}dontload=1\n{CONNECTED}",
        f"{CONV}{CONV}[shortcut]\nfrom=-2\nweights_type=per_channel\n{CONNECTED}",
    ],
    ids=["conv", "connected", "flipped", "numload", "dontload", "shortcut"],
)
def test_emitted_loader_reads_any_header_as_darkparse(layers: str, header: str, flat: bool, tmp_path: Path) -> None:
    network = darkparse.compile(NET + layers, dialect="alexeyab")
    data = weights(network, HEADERS.get(header) or transposed_header("alexeyab"))
    (tmp_path / "a.weights").write_bytes(data)
    mine = darkparse.load(network.config, tmp_path / "a.weights", dialect="alexeyab").state_dict()
    space = load_source(darkparse.to_source(network, flat=flat))
    emitted = class_of(space)()
    space["load_darknet_weights"](emitted, str(tmp_path / "a.weights"))
    theirs = emitted.state_dict()
    for entry in compute_layout(network):
        rows = slice(entry.tensor.rows)
        assert torch.equal(mine[entry.name][rows], theirs[entry.name][rows]), entry.name


@pytest.mark.parametrize("change", [-4, -1, 1, 3, 4])
def test_emitted_loader_of_wrong_size_raises(change: int, tmp_path: Path) -> None:
    network = darkparse.compile(NET + CONV)
    data = weights(network)
    (tmp_path / "a.weights").write_bytes((data + bytes(8))[: len(data) + change])
    space = load_source(darkparse.to_source(network))
    with pytest.raises(ValueError, match=f"got {len(data) + change} bytes; expected {len(data)}"):
        space["load_darknet_weights"](class_of(space)(), str(tmp_path / "a.weights"))
    (tmp_path / "a.weights").write_bytes(data[:5])
    with pytest.raises(ValueError, match="got 5 bytes; expected at least 16"):
        space["load_darknet_weights"](class_of(space)(), str(tmp_path / "a.weights"))


ODD = {
    "enlarged": "[upsample]\nstride=2\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[route]\nlayers=-1,-2\n"
    f"{CONV}[route]\nlayers=-1,0,1\n",
    "memory read twice": "[conv_lstm]\npad=1\n[shortcut]\nfrom=-1\n",
    "cost": "[cost]\n",
    "empty": "[empty]\n",
    "contrastive": "[contrastive]\n",
    "head inside": "[convolutional]\nfilters=16\nsize=1\nactivation=linear\n"
    f"[yolo]\nmask=0,1\nanchors=4,5,9,7\nclasses=3\nnum=2\n[route]\nlayers=0\n{CONV}",
    "nothing reads it": "[convolutional]\nfilters=16\nsize=1\nactivation=linear\n"
    f"[yolo]\nmask=0,1\nanchors=4,5,9,7\nclasses=3\nnum=2\n{CONV}{CONV}[shortcut]\nfrom=-2\n",
}
"""Networks with a stride below 1, a sum of a value with itself, no layer that computes,
and layers behind the only head."""


@both_forms
@pytest.mark.parametrize("layers", ODD.values(), ids=ODD)
def test_emitted_source_of_odd_network_computes_same_bits(layers: str, flat: bool) -> None:
    assert_same_bits(darkparse.compile(NET + layers, dialect="alexeyab"), flat=flat)


def test_emitted_recurrent_network_after_reset_repeats_first_output() -> None:
    network = darkparse.compile("[net]\nheight=4\nwidth=4\nchannels=3\n[crnn]\noutput=2\nhidden=2\nactivation=leaky\n")
    model = class_of(load_source(darkparse.to_source(network)))().eval()
    x = torch.rand(1, 3, 4, 4)
    with torch.no_grad():
        first, second = model(x), model(x)
        model.reset_state()  # type: ignore[operator]
        assert not torch.equal(first, second)
        assert torch.equal(first, model(x))


@pytest.mark.parametrize("name", ["yolov3", "yolov4", "yolov1", "yolov2"])
def test_emitted_source_matches_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"source/{name}.py.txt", darkparse.to_source(darkparse.compile(name)))


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("yolov3", {"Residual"}),
        ("yolov4", {"Residual", "CSP", "SPP"}),
        ("yolov4-tiny", {"CSP"}),
    ],
)
def test_emitted_blocks_have_conventional_names(name: str, blocks: set[str]) -> None:
    assert blocks <= set(class_names(darkparse.compile(name)))


@needs_shared
@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("alexeyab/yolov7-tiny", {"ELAN", "SPP"}),
        ("pjreddie/densenet201", {"Dense"}),
        ("alexeyab/efficientnet_b0", {"MBConv", "ResidualMBConv", "SqueezeExcite"}),
    ],
)
def test_emitted_blocks_of_original_networks_have_conventional_names(name: str, blocks: set[str]) -> None:
    assert blocks <= set(class_names(darkparse.compile(SHARED / "cfgs" / f"{name}.cfg")))


@pytest.mark.parametrize("path", original_params())
def test_emitted_class_names_are_unique(path: Path) -> None:
    try:
        network = darkparse.compile(path)
    except darkparse.CfgError:
        pytest.skip("not possible: the cfg does not compile")
    names = class_names(network)
    assert len(names) == len(set(names))


def class_names(network: darkparse.Network) -> list[str]:
    """Return the classes that the emitted source defines."""
    return [node.name for node in ast.parse(darkparse.to_source(network)).body if isinstance(node, ast.ClassDef)]


def test_emitted_yolov3_has_at_most_220_lines() -> None:
    text = darkparse.to_source(darkparse.compile("yolov3"))
    assert text.count("\n") <= 220
    for part in ("# Darknet-53", "Stage(256, 512, 8)", "# Up to 38×38", "# Up to 76×76", "self.head3 = Head(128)"):
        assert part in text


def calls_to_emit(layers: int) -> int:
    """Python function calls and steps of generators that it takes to emit so many convolutions of many makes."""
    makes = [f"{filters=}\n{size=}\n{CONV_REST}" for filters in (8, 12, 16, 24, 40) for size in (1, 3, 5, 7)]
    sections = [f"[convolutional]\n{makes[i * i * 7 % 23 % len(makes)]}" for i in range(layers)]
    network = darkparse.compile(NET + "".join(sections))
    count = 0

    def counting(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counting)
    darkparse.to_source(network)
    sys.setprofile(None)
    return count


@pytest.mark.slow
def test_to_source_of_twice_the_layers_takes_twice_the_calls() -> None:
    calls_to_emit(20)
    assert calls_to_emit(200) < 2.5 * calls_to_emit(100)


def emitted_files(folder: Path) -> list[Path]:
    """Files of many shapes: every small cfg, odd ones, one with a long name, the shipped ones, both forms."""
    files: list[Path] = []
    long = folder / f"{'a-name-' * 20}.cfg"
    long.write_text(NET + CONV, "utf-8")
    odd = [darkparse.compile(NET + layers, dialect="alexeyab") for layers in ODD.values()]
    for network in [*odd, *map(darkparse.compile, [long, *SMALL, *shipped_cfgs()])]:
        for flat in (False, True):
            file = (
                folder
                / f"{re.sub('[^a-z0-9]', '_', network.name.lower())}_{'flat' if flat else 'folded'}_{len(files)}.py"
            )
            file.write_text(darkparse.to_source(network, flat=flat), "utf-8")
            files.append(file)
    return files


@pytest.mark.slow
@pytest.mark.skipif(RUFF is None, reason="needs ruff: pip install ruff")
def test_emitted_files_pass_ruff(tmp_path: Path) -> None:
    emitted_files(tmp_path)
    assert RUFF is not None
    for arguments in (
        ["format", "--isolated", "--check"],
        ["check", "--isolated"],
        ["check", "--config", str(ROOT / "pyproject.toml")],
    ):
        done = subprocess.run(
            [RUFF, *arguments, "--no-cache", str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.skipif(MYPY is None, reason="needs mypy: pip install mypy")
def test_emitted_files_pass_mypy(tmp_path: Path) -> None:
    files = emitted_files(tmp_path)
    assert MYPY is not None
    config = [
        "--config-file=",
        "--strict",
        "--warn-unreachable",
        "--python-version",
        "3.11",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    done = subprocess.run([MYPY, *config, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    "name", ['x""";import os;"""', "a\nb", "ü", "123", "class", "\\", "Gru", "con\u202ev", "None", "Any", "LAYERS"]
)
def test_to_source_of_hostile_name_keeps_it_out_of_code(name: str, tmp_path: Path) -> None:
    text = (ROOT / "cfgs" / "yolov3-tiny.cfg").read_text("utf-8")
    path = tmp_path / f"{name}.cfg"
    path.write_text(text, "utf-8")
    space = load_source(darkparse.to_source(darkparse.compile(path)))
    assert class_of(space).__name__.isidentifier()
    assert "os" not in space


def test_make_class_name_follows_convention() -> None:
    names = {
        name: make_class_name(name) for name in ("yolov3-tiny", "resnet50", "vgg-16", "darknet53_448", "Gru", "3d", "")
    }
    assert names == {
        "yolov3-tiny": "YOLOv3Tiny",
        "resnet50": "ResNet50",
        "vgg-16": "VGG16",
        "darknet53_448": "Darknet53448",
        "Gru": "GruNetwork",
        "3d": "Network3d",
        "": "Network",
    }


@pytest.mark.slow
def test_class_names_avoid_names_of_file_and_python() -> None:
    """All that emitted files import and define, and the names without which they do not run."""
    found = {"None", "True", "ValueError", "SHARES", "STORED"}
    for path in [*SMALL, *shipped_cfgs()]:
        for statement in ast.parse(darkparse.to_source(darkparse.compile(path))).body:
            match statement:
                case ast.Import(names) | ast.ImportFrom(names=names):
                    found |= {alias.asname or alias.name for alias in names}
                case ast.ClassDef(name) | ast.FunctionDef(name) if name != make_class_name(path.stem):
                    found.add(name)
                case ast.Assign(targets=[ast.Name(name)]):
                    found.add(name)
    assert {"F", "Tensor", "LeakyConv", "Residual", "ConvPair", "LAYERS", "Any", "Callable"} <= found
    assert [name for name in sorted(found) if make_class_name(name) == name] == []
    assert len(make_class_name("a-name-" * 20)) <= 60 + len("Network")
