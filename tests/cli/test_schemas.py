"""Every JSON output matches its schema, which ships with the package."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

import darkparse
from darkparse.cli import main
from darkparse.cli.main import COMMANDS
from darkparse.datasets.data_file import DataFile
from darkparse.network.zoo import load_shipped_networks
from darkparse.syntax import find_shipped_cfgs

SCHEMAS: dict[str, dict[str, Any]] = {
    path.name.removesuffix(".json"): json.loads(path.read_text("utf-8"))
    for path in files("darkparse.cli").joinpath("schemas").iterdir()
}
REGISTRY: Registry[Any] = (
    Registry()
    .with_resources((f"{name}.json", DRAFT202012.create_resource(schema)) for name, schema in SCHEMAS.items())
    .crawl()
)
KINDS = sorted((Path(__file__).parents[1] / "data" / "kinds").glob("*.cfg"))
RECURRENT = (
    "[net]\nbatch=1\ntime_steps=3\ninputs=5\n[{}]\noutput=4\nbatch_normalize=1\n[connected]\noutput=5\n[softmax]\n"
)
CONVOLUTIONAL_LSTM = (
    "[net]\nheight=8\nwidth=8\nchannels=3\ntime_steps=2\n[conv_lstm]\noutput=4\nsize=3\nstride=1\npad=1\n"
    "[convolutional]\nfilters=7\n[yolo]\nclasses=2\nnum=1\nmask=0\nanchors=2,3\n"
)
BROKEN = (
    "[net]\nwidth=8\nheight=8\nchannels=3\nwidht=8\n[convolutional]\nfilters=0\nsise=3\n[nothing]\n[shortcut]\nfrom=9\n"
)
UNREADABLE = "[net\n"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run a command in this process; return its exit status and what it prints to standard output."""
    capsys.readouterr()
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0), capsys.readouterr().out
    return 0, capsys.readouterr().out


def validate(text: str, schema: str) -> Any:
    """Parse strict JSON, check it against a schema, and return it."""

    def reject(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    value = json.loads(text, parse_constant=reject)
    Draft202012Validator({"$ref": f"{schema}.json"}, registry=REGISTRY).validate(value)
    return value


def run_document(capsys: pytest.CaptureFixture[str], schema: str, *arguments: object, status: int = 0) -> Any:
    """Run a command with `--json` and return its document, which matches a schema and names it."""
    code, out = run(capsys, *arguments, "--json")
    assert code == status
    document = validate(out, schema)
    assert document["schema"] == f"darkparse/{schema}/1"
    return document


@pytest.fixture
def model(tmp_path: Path) -> list[str]:
    from tests.detect.reference import tiny_weights

    return [str(path) for path in tiny_weights(tmp_path)]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pillow = pytest.importorskip("PIL.Image")
    from tests.detect.reference import picture

    path = tmp_path / "images" / "7.png"
    path.parent.mkdir()
    pillow.fromarray(picture(0)).save(path)
    return path


def _subschemas(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _subschemas(item)
    elif isinstance(value, list):
        for item in value:
            yield from _subschemas(item)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_valid_and_closed(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    objects = [schema for schema in _subschemas(SCHEMAS[name]) if schema.get("type") == "object"]
    assert objects
    assert all("additionalProperties" in schema for schema in objects)
    assert all(schema["additionalProperties"] is False for schema in objects if "properties" in schema)


def test_schema_rejects_document_with_unknown_or_missing_member(capsys: pytest.CaptureFixture[str]) -> None:
    document = run_document(capsys, "show", "show", "yolov1")
    network = document["network"]
    for wrong in (
        document | {"more": 1},
        document | {"network": network | {"input": [1]}},
        {"schema": document["schema"]},
    ):
        with pytest.raises(ValidationError):
            validate(json.dumps(wrong), "show")


@pytest.mark.parametrize("command", COMMANDS)
def test_command_with_json_format_has_schema_and_json_option(command: str) -> None:
    parameters = import_module(f"darkparse.cli.{command}").command.params
    formats = [p for p in parameters if p.name == "form" and "json" in getattr(p.type, "choices", ())]
    aliases = [p for p in parameters if "--json" in p.opts]
    assert len(formats) == len(aliases)
    assert (command in SCHEMAS) == bool(formats)
    assert all(p.default == "text" and p.opts == ["--format"] for p in formats)


def test_json_option_with_another_format_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--json", "--format", "csv"], ["--format", "text", "--json"], ["--format", "table", "--json"]):
        with pytest.raises(SystemExit) as stop:
            main(["show", "yolov1", *arguments])
        assert stop.value.code == 2
        assert "--json cannot be combined with --format" in capsys.readouterr().err
    assert run(capsys, "show", "yolov1", "--json", "--format", "json") == run(capsys, "show", "yolov1", "--json")


def test_format_aliases_print_same_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "show", "yolov1", "--format", "table") == run(capsys, "show", "yolov1")
    for arguments in (["explain", "yolov1"], ["diff", "yolov1", "yolov1-tiny"]):
        markdown = run(capsys, *arguments, "--format", "markdown")
        assert markdown[1].startswith(("#", "**"))
        assert run(capsys, *arguments, "--format", "md") == markdown


@pytest.fixture
def written(tmp_path: Path) -> list[Path]:
    texts = {kind: RECURRENT.format(kind) for kind in ("rnn", "gru", "lstm")} | {"conv_lstm": CONVOLUTIONAL_LSTM}
    for name, text in texts.items():
        (tmp_path / f"{name}.cfg").write_text(text)
    return sorted(tmp_path.glob("*.cfg"))


@pytest.mark.slow
def test_json_of_network_views_matches_schemas(capsys: pytest.CaptureFixture[str], written: list[Path]) -> None:
    cfgs: list[str | Path] = ["yolov1", "yolov3-tiny", "darknet19", *KINDS, *written]
    for cfg in cfgs:
        network = darkparse.compile(cfg)
        shown = run_document(capsys, "show", "show", cfg, "--columns", "memory,receptive")
        assert shown["network"]["totals"]["parameters"] == sum(layer["parameters"] for layer in shown["layers"])
        assert [head["layer"] for head in shown["network"]["heads"]] == list(network.heads)
        shapes = [(n.out_shape.c, n.out_shape.h, n.out_shape.w) for n in network.nodes]
        assert [tuple(layer["output"]) for layer in shown["layers"]] == shapes
        explained = run_document(capsys, "explain", "explain", cfg)
        assert explained["network"] == shown["network"]
        last = run_document(capsys, "explain-layer", "explain", cfg, "--layer", len(shapes) - 1)
        assert last["layer"] == explained["layers"][-1]
        layout = run_document(capsys, "weights", "weights", cfg)
        assert sum(row["floats"] for row in layout["arrays"]) == network.stored_floats
        assert run_document(capsys, "check", "check", cfg)["cfgs"][0]["network"] == shown["network"]


@pytest.mark.slow
def test_list_json_matches_schema_and_formats_agree(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_shipped_networks()  # compiled once instead of by each command
    monkeypatch.setattr("darkparse.cli.list.load_shipped_networks", lambda: shipped)
    networks = run_document(capsys, "list", "list")["networks"]
    assert sorted(network["name"] for network in networks) == sorted(find_shipped_cfgs())
    assert [row["name"] for row in csv.DictReader(io.StringIO(run(capsys, "list", "--format", "csv")[1]))] == [
        network["name"] for network in networks
    ]
    text = run(capsys, "list")[1]
    assert all(f"\n{network['name']} " in text and f"{network['parameters']:,}" in text for network in networks)
    yolov3 = next(network for network in networks if network["name"] == "yolov3")
    assert yolov3["input"] == [3, 608, 608]
    assert yolov3["paper"]["year"] == 2018
    assert yolov3["weights_bytes"] == 248_007_048


@pytest.mark.parametrize("dialect", ["pjreddie", "alexeyab", "hank-ai"])
def test_show_json_names_dialect(capsys: pytest.CaptureFixture[str], dialect: str) -> None:
    document = run_document(capsys, "show", "show", "yolov3-tiny", "--dialect", dialect)
    assert document["network"]["dialect"] == dialect


def test_diff_of_networks_json_matches_schema(capsys: pytest.CaptureFixture[str], written: list[Path]) -> None:
    document = run_document(capsys, "diff", "diff", "yolov3-tiny", "yolov4-tiny", status=1)
    assert {layer["change"] for layer in document["layers"]} == {"added", "removed", "changed"}
    assert not document["same"]
    assert run_document(capsys, "diff", "diff", written[0], written[0])["same"]
    run_document(capsys, "diff", "diff", "darknet19", written[1], status=1)


def test_check_of_failing_files_json_matches_schema(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, text in (
        ("a-broken", BROKEN),
        ("b-unreadable", UNREADABLE),
        ("c-odd", "[net]\ninputs=4\n[connected]\nx=1\n"),
    ):
        (tmp_path / f"{name}.cfg").write_text(text)
    (tmp_path / "images.txt").write_text(f"{tmp_path}/none.png\n")
    (tmp_path / "my.data").write_text("classes=1\ntrain=images.txt\nnames=no.names\n")
    document = run_document(
        capsys, "check", "check", tmp_path, tmp_path / "no.cfg", tmp_path / "my.data", tmp_path / "no.data", status=2
    )
    assert [(cfg["compiles"], bool(cfg["findings"])) for cfg in document["cfgs"]] == [
        (False, True),
        (False, True),
        (True, True),
        (False, True),
    ]
    assert all(cfg["network"] is None for cfg in document["cfgs"] if not cfg["compiles"])
    assert len(document["datasets"]) == 2
    results = (*document["cfgs"], *document["datasets"])
    severities = [finding["severity"] for result in results for finding in result["findings"]]
    assert document["totals"] == {"errors": severities.count("error"), "warnings": severities.count("warning")}


@pytest.mark.slow
def test_weights_that_do_not_fit_json_matches_schema(
    capsys: pytest.CaptureFixture[str], model: list[str], tmp_path: Path
) -> None:
    cfg, weights = model
    assert run_document(capsys, "weights", "weights", cfg, weights)["fits"]
    data, bad = Path(weights).read_bytes(), tmp_path / "bad.weights"
    nan = np.frombuffer(data[20:], "<f4").copy()
    nan[-1] = np.nan
    for changed in (
        data[:-5],
        data + bytes(400),
        b"",
        b"PK\3\4" * 30,
        data[:10],
        data[:20] + nan.tobytes(),
        bytes(len(data)),
    ):
        bad.write_bytes(changed)
        document = run_document(capsys, "weights", "weights", cfg, bad, status=2)
        assert document["causes"] or document["findings"]
        assert document["fits"] == (not document["causes"])


def test_diff_of_weights_with_nan_json_matches_schema(
    capsys: pytest.CaptureFixture[str], model: list[str], tmp_path: Path
) -> None:
    cfg, weights = model
    assert run_document(capsys, "diff-weights", "diff", weights, weights, "--cfg", cfg)["tensors"] == []
    values = np.frombuffer(Path(weights).read_bytes()[20:], "<f4").copy()
    values[-1] = np.nan
    other = tmp_path / "other.weights"
    other.write_bytes(Path(weights).read_bytes()[:20] + values.tobytes())
    document = run_document(capsys, "diff-weights", "diff", weights, other, "--cfg", cfg, status=1)
    assert document["tensors"][0]["largest"] is None
    assert run(capsys, "diff", weights, other, "--cfg", cfg, "--format", "markdown")[0] == 2


@pytest.mark.slow
def test_detect_json_matches_schemas(
    capsys: pytest.CaptureFixture[str], model: list[str], image: Path, tmp_path: Path
) -> None:
    document = run_document(capsys, "detect", "detect", *model, image, "--threshold", "0.01")
    assert document["images"][0]["detections"]
    assert document["network"]["heads"]
    lines = run(capsys, "detect", *model, image, "--format", "jsonl", "--threshold", "0.01")[1].splitlines()
    assert [validate(line, "detect-image") for line in lines] == document["images"]
    out = tmp_path / "out"
    assert run(capsys, "detect", *model, image, "--out", out, "--save", "json", "--threshold", "0.01")[0] == 0
    saved = validate((out / "detections.json").read_text("utf-8"), "detect")
    assert saved["network"] == document["network"]
    assert validate((out / "detections.jsonl").read_text("utf-8"), "detect-image") == saved["images"][0]
    image.write_bytes(b"broken")
    assert run_document(capsys, "detect", "detect", *model, image, status=1)["images"] == []


def test_detect_with_classifier_json_matches_schema(
    capsys: pytest.CaptureFixture[str], image: Path, tmp_path: Path
) -> None:
    cfg, weights = tmp_path / "c.cfg", tmp_path / "c.weights"
    cfg.write_text(
        "[net]\nheight=8\nwidth=8\nchannels=3\n[convolutional]\nfilters=4\nsize=3\npad=1\n[avgpool]\n[softmax]\n"
    )
    darkparse.save_weights(darkparse.load(cfg), weights)
    document = run_document(capsys, "detect", "detect", cfg, weights, image, "--top", "2")
    assert len(document["images"][0]["detections"]) == 2
    assert document["network"]["heads"] == []


@pytest.mark.parametrize("rule", ["all", "darknet"])
def test_evaluate_json_matches_schema(
    capsys: pytest.CaptureFixture[str], model: list[str], image: Path, rule: str
) -> None:
    image.with_suffix(".txt").write_text("1 0.5 0.5 0.4 0.4\n")
    document = run_document(capsys, "evaluate", "evaluate", *model, "--images", image.parent, "--rule", rule)
    assert document["images"] == 1
    assert document["darknet"]["classes"][1]["objects"] == 1
    if rule == "darknet":
        assert document["coco"] is None


def test_compare_json_matches_schema(
    capsys: pytest.CaptureFixture[str], model: list[str], image: Path, tmp_path: Path
) -> None:
    import torch

    detector = darkparse.Detector.load(model[0], model[1], fold=False, engine="torch")
    with torch.inference_mode():
        outputs = detector.model.layer_outputs(torch.from_numpy(detector.prepare(image).values[None]))
    dump: dict[str, Any] = {str(i): output.numpy() for i, output in enumerate(outputs)}
    for name, factor, first in (("good", 1, None), ("bad", 1.5, 1), ("nan", np.nan, 1)):
        path = tmp_path / f"{name}.npz"
        np.savez(path, **(dump | {"1": factor * dump["1"]}))
        document = run_document(
            capsys, "compare", "compare", *model, image, "--against", path, status=0 if first is None else 1
        )
        assert document["first"] == first


def test_compare_with_onnx_boxes_json_matches_schema(
    capsys: pytest.CaptureFixture[str], model: list[str], image: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "x.onnx"
    assert run(capsys, "convert", *model, "-o", path, "--heads", "decoded")[0] == 0
    document = run_document(capsys, "compare", "compare", *model, image, "--against", path)
    assert [d["quantity"] for d in document["boxes"]["differences"]] == ["centers", "sizes", "scores"]
    assert run(capsys, "convert", *model, "-o", path, "--heads", "raw")[0] == 0
    document = run_document(capsys, "compare", "compare", *model, image, "--against", path)
    assert document["boxes"]["not_compared"]


def test_anchors_json_matches_schema_and_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    from tests.training.small_network import draw

    path = draw(tmp_path)
    assert DataFile.read(path).train
    document = run_document(capsys, "anchors", "anchors", path, "--clusters", "2", "--size", "64x96")
    assert document["size"] == [64, 96]
    line = run(capsys, "anchors", path, "--clusters", "2", "--size", "64x96")[1]
    assert line.strip() == "anchors = " + ", ".join(f"{w:.0f},{h:.0f}" for w, h in document["anchors"])


@pytest.mark.slow
def test_train_log_matches_schema(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PIL")
    from tests.training.small_network import cfg, draw

    monkeypatch.chdir(tmp_path)  # where the chart is written
    log = tmp_path / "log.jsonl"
    assert run(capsys, "train", draw(tmp_path), cfg(tmp_path), "--batches", "2", "--workers", "0", "--log", log)[0] == 0
    steps = [validate(line, "train-step") for line in log.read_text("utf-8").splitlines()]
    assert [step["batch"] for step in steps] == [1, 2]


@pytest.mark.parametrize("command", ["detect", "evaluate"])
def test_map_option_names_use_class_map(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "yolov2", "yolov2.weights", "--map"])
    assert stop.value.code == 2
    assert "unknown option '--map'\nhint: " in (err := capsys.readouterr().err)
    assert "--use-class-map" in err
    options = [name for p in _command(command).params for name in p.opts]
    assert "--use-class-map" in options


def test_map_option_of_show_gets_no_class_map_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["show", "yolov2", "--map"])
    assert "class-map" not in capsys.readouterr().err


def _command(name: str) -> click.Command:
    command: click.Command = import_module(f"darkparse.cli.{name}").command
    return command
