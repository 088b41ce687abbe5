"""Networks with some of their classes: the same rows, boxes and scores for those that stay."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import darkparse
from darkparse.cli import main
from darkparse.datasets.names import read_names
from darkparse.detect.engines.engine import ENGINES
from darkparse.detect.engines.runtimes import RUNTIMES
from darkparse.network import Network
from darkparse.network.compile_options import CompileOptions
from darkparse.transform import SelectClasses, apply, count_classes
from darkparse.weights import LazyArray, LoadedArrays, read
from darkparse.weights.layout import get_tensors
from tests.conftest import ROOT, needs_shared, original_params, shipped_cfgs

INSTALLED_ENGINES = [
    # OpenVINO's compiler takes longer than all else.
    pytest.param(name, marks=pytest.mark.slow if name == "openvino" else ())
    for name in ENGINES
    if name == "torch" or find_spec(name)
]
SHAPES = ROOT / "cfgs" / "shapes" / "shapes.weights"
NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"


def draw(seed: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.random.default_rng(seed).random(shape, np.float32)


def make_arrays(network: Network) -> dict[str, LazyArray]:
    """Return random arrays, which are drawn when they are read."""
    tensors = get_tensors(network).items()
    return {
        key: LazyArray(tensor.shape, "float32", partial(draw, seed, tensor.shape))
        for seed, (key, (_, tensor)) in enumerate(tensors)
    }


def check_every_selection(path: Path) -> None:
    """Keep all classes, then all in reverse order, and check the cfg, each array, and the rows of each class."""
    network = darkparse.compile(path)
    try:
        count = count_classes(network)
    except darkparse.DarkparseError:
        pytest.skip("not possible: the network has no classes")
    if any(getattr(node.layer, "tree", None) for node in network.nodes):
        pytest.skip("not possible: the network has a word tree")
    arrays = make_arrays(network)
    if path.stem.startswith("go"):
        with pytest.raises(darkparse.CfgError, match="mixes channels"):  # moves on a board, no classes
            SelectClasses((0,), renormalize=True)(network, arrays)
        return
    same, same_arrays = SelectClasses(tuple(range(count)))(network, arrays)
    assert darkparse.to_cfg(same) == darkparse.to_cfg(network)
    changed = [key for key in arrays if same_arrays[key] is not arrays[key]]
    assert {key.split(".")[1] for key in changed} != set()
    for key in changed:
        assert same_arrays[key].read().tobytes() == arrays[key].read().tobytes()
    sections = [network.nodes[index].section for index in network.heads]
    if any(section.find(key) for section in sections for key in ("map", "counters_per_class")):
        with pytest.raises(darkparse.CfgError, match="the old classes; remove the line"):
            SelectClasses((0,))(network, arrays)
        return
    reverse = SelectClasses(tuple(range(count))[::-1])
    back, back_arrays = reverse(*reverse(network, arrays))
    assert [node.layer for node in back.nodes] == [node.layer for node in network.nodes]
    for key in changed:
        assert back_arrays[key].read().tobytes() == arrays[key].read().tobytes()
    few, few_arrays = SelectClasses((count - 1,), renormalize=True)(network, arrays)
    assert count_classes(few) == 1
    assert {key: array.shape for key, array in few_arrays.items()} == {
        key: tensor.shape for key, (_, tensor) in get_tensors(few).items()
    }


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in ("yolov3-tiny", "shapes") else pytest.mark.slow)
        for path in shipped_cfgs()
    ],
)
def test_select_classes_all_of_a_shipped_cfg_changes_nothing(path: Path) -> None:
    check_every_selection(path)


@needs_shared
@pytest.mark.parametrize("path", original_params())
def test_select_classes_all_of_an_original_cfg_changes_nothing(path: Path) -> None:
    check_every_selection(path)


def test_classes_command_that_keeps_all_writes_the_same_bytes(tmp_path: Path) -> None:
    cfg, weights = tmp_path / "all.cfg", tmp_path / "all.weights"
    main(["classes", "shapes", str(SHAPES), "--keep", "0,1,2,3", "-o", str(cfg), str(weights)])
    assert weights.read_bytes() == SHAPES.read_bytes()
    assert cfg.read_bytes() == (ROOT / "cfgs" / "shapes.cfg").read_bytes()


HEADS = {
    "yolo": "[convolutional]\nfilters=16\n{}[yolo]\nmask=0,1\nanchors=1,2,3,4\nnum=2\nclasses=3\n",
    "new-coords": "[convolutional]\nfilters=16\nactivation=logistic\n{}[yolo]\nmask=0,1\nanchors=1,2,3,4\nnum=2\n"
    "classes=3\nnew_coords=1\nscale_x_y=2\n",
    "gaussian": "[convolutional]\nfilters=24\n{}[Gaussian_yolo]\nmask=0,1\nanchors=1,2,3,4\nnum=2\nclasses=3\n",
    "region": "[convolutional]\nfilters=16\n{}[region]\nanchors=1,2,3,4\nnum=2\nclasses=3\ncoords=4\n",
    "detection": "[connected]\noutput=52\n{}[detection]\nside=2\nnum=2\nclasses=3\ncoords=4\n",
    "iseg": "[convolutional]\nfilters=7\n{}[iseg]\nclasses=3\nids=4\n",
}
BETWEEN = {
    "nothing": "",
    "dropout": "[dropout]\n",
    "activation": "[activation]\nactivation=logistic\n",
}


def run(network: Network, arrays: dict[str, Any]) -> torch.Tensor:
    """Return the output of the layer before the head."""
    loaded = darkparse.build(network)
    loaded.load_state_dict({key: array.to_tensor() for key, array in arrays.items()}, assign=True)
    x = torch.from_numpy(draw(7, tuple(network.input_shape)))[None]
    with torch.inference_mode():
        return list(loaded.eval().layer_outputs(x))[-2].flatten(1)


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("head", HEADS)
def test_select_classes_of_every_head_keeps_its_values(head: str, between: str) -> None:
    """The channels before a head are those of the kept classes, in their order, and all other values of a box."""
    dialect = "pjreddie" if head == "iseg" else "alexeyab"
    network = darkparse.compile(NET.replace("16", "2") + HEADS[head].format(BETWEEN[between]), dialect=dialect)
    arrays = make_arrays(network)
    selected, selected_arrays = SelectClasses((2, 0))(network, arrays)
    before, after = run(network, arrays), run(selected, dict(selected_arrays))
    layer = network.nodes[network.heads[0]].layer
    channels = torch.tensor(layer.select_channels((2, 0)))  # type: ignore[attr-defined]
    if head != "detection":
        channels = (channels[:, None] * 4 + torch.arange(4)).flatten()
    torch.testing.assert_close(after, before[:, channels], atol=1e-5, rtol=1e-5)


def test_select_channels_of_a_head_are_its_classes() -> None:
    """The order of each head's channels, as its layer has it in Darknet."""
    layouts = {"yolo": (2, 5), "gaussian": (2, 9), "region": (2, 5)}
    for head, (anchors, first) in layouts.items():
        layer = darkparse.compile(NET + HEADS[head].format(""), dialect="alexeyab").nodes[-1].layer
        expected = [a * (first + 3) + i for a in range(anchors) for i in (*range(first), first + 2, first)]
        assert layer.select_channels((2, 0)) == expected  # type: ignore[attr-defined]
    detection = darkparse.compile(NET + HEADS["detection"].format("")).nodes[-1].layer
    assert detection.select_channels((1,)) == [1, 4, 7, 10, *range(12, 52)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["[softmax]\n", "[softmax]\n[cost]\n", "[avgpool]\n[softmax]\ntemperature=2\n"])
def test_select_classes_of_a_softmax_is_the_softmax_of_fewer(end: str) -> None:
    kind = "[convolutional]\nfilters=5\n" if "avgpool" in end else "[connected]\noutput=5\nactivation=linear\n"
    network = darkparse.compile(NET + kind + end)
    with pytest.raises(darkparse.CfgError, match="fewer classes have larger scores; accept them with --renormalize"):
        SelectClasses((4, 1))(network, make_arrays(network))
    selected, arrays = SelectClasses((4, 1), renormalize=True)(network, make_arrays(network))
    assert selected.nodes[selected.outputs[0]].out_shape.size == 2
    assert arrays["layers.0.linear.bias" if "avgpool" not in end else "layers.0.conv.bias"].shape == (2,)


def test_select_classes_of_a_classifier_without_softmax_is_exact() -> None:
    network = darkparse.compile(NET + "[connected]\noutput=5\nactivation=logistic\n[dropout]\n")
    selected, arrays = SelectClasses((4, 1))(network, before := make_arrays(network))
    assert selected.nodes[-1].out_shape.size == 2
    assert np.array_equal(arrays["layers.0.linear.weight"].read(), before["layers.0.linear.weight"].read()[[4, 1]])


CONVOLUTION = "[convolutional]\nfilters=16\n"
YOLO = "[yolo]\nmask=0,1\nanchors=1,2,3,4\nnum=2\nclasses=3\n"
REFUSED = [
    (CONVOLUTION + YOLO + "[route]\nlayers=0\n[convolutional]\n", "also reads the scores of layer 0"),
    (CONVOLUTION + YOLO + "map=x.map\n", "lists the old classes"),
    (CONVOLUTION + YOLO + "counters_per_class=1,2,3\n", "counts objects of the old classes"),
    (CONVOLUTION + "groups=1\n[convolutional]\nfilters=16\ngroups=2\n" + YOLO, "with 2 groups"),
    (CONVOLUTION.replace("16", "8") + "[convolutional]\nfilters=8\n[route]\nlayers=-1,-2\n" + YOLO, "mixes channels"),
    (2 * CONVOLUTION + "[convolutional]\nfilters=16\nshare_index=1\n" + YOLO, "shares its weights with layer 1"),
    (HEADS["region"].format("") + "softmax=1\n", "fewer classes have larger scores"),
    ("[connected]\noutput=6\n[softmax]\ngroups=2\n", "a softmax with several groups"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_select_classes_inexact_raises_with_place(text: str, message: str) -> None:
    network = darkparse.compile(NET + text, dialect="alexeyab")
    with pytest.raises(darkparse.CfgError, match=message) as caught:
        SelectClasses((0,))(network, make_arrays(network))
    assert caught.value.diagnostics[0].code == "inexact"
    assert caught.value.diagnostics[0].span is not None


def test_select_classes_of_a_word_tree_raises(tmp_path: Path) -> None:
    (tmp_path / "x.tree").write_text("a -1\nb -1\nc -1\n", "utf-8")
    (tmp_path / "x.cfg").write_text(NET + HEADS["region"].format("") + "softmax=1\ntree=x.tree\n", "utf-8")
    network = darkparse.compile(tmp_path / "x.cfg")
    with pytest.raises(darkparse.CfgError, match="cannot select classes of a word tree"):
        SelectClasses((0,), renormalize=True)(network, make_arrays(network))


@pytest.mark.parametrize("engine", INSTALLED_ENGINES)
def test_select_classes_detect_the_same_boxes_on_every_engine(engine: str, tmp_path: Path) -> None:
    network, arrays = darkparse.select_classes("shapes", SHAPES, [3, 0])
    names = read_names(ROOT / "cfgs" / "shapes.names")
    before = darkparse.Detector.load("shapes", SHAPES, engine=engine)
    after = darkparse.Detector.load(network, arrays, engine=engine, names=[names[3], names[0]])
    for image in sorted((ROOT / "cfgs" / "shapes").glob("*.jpg")):
        expected = [d for d in before.detect(image) if d.class_id in (3, 0)]
        actual = list(after.detect(image))
        assert [d.name for d in actual] == [d.name for d in expected]
        assert len(actual) > 0
        for a, b in zip(actual, expected, strict=True):
            assert abs(a.score - b.score) < 1e-5
            np.testing.assert_allclose(a.box, b.box, atol=1e-6)


def run_heads(engine: str, loaded: LoadedArrays, image: NDArray[Any], path: Path) -> list[NDArray[Any]]:
    """Return the output of each head; the graph of an engine is exported to `path`."""
    model = darkparse.load(loaded.network, loaded)
    if engine == "torch":
        with torch.inference_mode():
            return [head.numpy() for head in model.eval()(torch.from_numpy(image))]
    darkparse.to_onnx(model, path, heads="raw")
    return [np.asarray(head) for head in RUNTIMES[engine](path.read_bytes(), 1, 0, "float32")({"image": image})]


def write_varied_weights(name: str, path: Path) -> Path:
    """Write random weights with which the scores of the heads vary."""
    torch.manual_seed(3)
    model = darkparse.build(name, initialize=True)
    with torch.no_grad():
        for index in model.network.heads:
            model.layers[index - 1].conv.weight.mul_(1000)  # type: ignore[operator, union-attr]
    darkparse.save_weights(model, path)
    return path


@pytest.mark.parametrize("engine", INSTALLED_ENGINES)
@pytest.mark.parametrize("name", ["shapes", pytest.param("yolov4-tiny", marks=pytest.mark.slow)])
def test_select_classes_heads_agree_on_every_engine(name: str, engine: str, tmp_path: Path) -> None:
    weights = SHAPES if name == "shapes" else write_varied_weights(name, tmp_path / "x.weights")
    options = CompileOptions(size=(128, 160))
    loaded = read(name, weights, compile_options=options)
    assert loaded is not None
    keep = tuple(range(count_classes(loaded.network)))[::-2][:5]
    selected = apply(SelectClasses(keep), loaded)
    image = draw(5, (1, *loaded.network.input_shape))
    before, after = (run_heads(engine, x, image, tmp_path / "x.onnx") for x in (loaded, selected))
    for index, expected, actual in zip(loaded.network.heads, before, after, strict=True):
        channels = loaded.network.nodes[index].layer.select_channels(keep)  # type: ignore[attr-defined]
        rms = np.sqrt(np.square(expected, dtype=np.float64).mean())
        assert expected.std() > 0.1
        assert np.abs(expected[:, channels] - actual).max() <= 1e-5 * rms


def test_classes_command_writes_names_in_the_new_order(tmp_path: Path) -> None:
    out = [str(tmp_path / "two.cfg"), str(tmp_path / "two.weights")]
    main(["classes", "shapes", str(SHAPES), "--keep", "star, circle", "-o", *out])
    assert read_names(tmp_path / "two.names") == ("star", "circle")
    main(["classes", *out, "--drop", "star", "-o", str(tmp_path / "one.cfg"), str(tmp_path / "one.safetensors")])
    assert read_names(tmp_path / "one.names") == ("circle",)
    assert darkparse.load(tmp_path / "one.safetensors").network.nodes[-1].layer.classes == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep", "stär"], "did you mean 'star'"),
        (["--keep", "star,3,star"], "listed twice"),
        (["--drop", "0,1,2,3"], "no class remains"),
        ([], "expected either --keep or --drop"),
        (["--keep", "0", "--names", "none.names"], "none.names"),
    ],
)
def test_classes_command_with_wrong_classes_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [tmp_path / "out.cfg", tmp_path / "out.weights"]
    with pytest.raises(SystemExit) as stopped:
        main(["classes", "shapes", str(SHAPES), *arguments, "-o", *map(str, out)])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_classes_command_does_not_overwrite_other_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "coco.names").write_text("mine\n", "utf-8")
    out = [str(tmp_path / "coco.cfg"), str(tmp_path / "x.weights")]
    with pytest.raises(SystemExit):
        main(["classes", "shapes", str(SHAPES), "--keep", "0", "-o", *out])
    assert "already contains other class names" in capsys.readouterr().err
    assert (tmp_path / "coco.names").read_text("utf-8") == "mine\n"
