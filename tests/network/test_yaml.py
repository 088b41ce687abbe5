"""A network in YAML is read wherever a cfg is, and what is wrong with it is shown in the YAML."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import ValidationError

import darkparse
from darkparse.diagnostics import Source
from darkparse.syntax import parse, safe_yaml
from tests.cli.test_schemas import validate
from tests.commands import run_command
from tests.conftest import ROOT, needs_shared, original_cfgs, shipped_cfgs
from tests.layers.small_networks import SMALL
from tests.network.test_io import facts

SHAPES = ROOT / "cfgs" / "shapes" / "shapes.weights"
TEXT = """\
name: small
dialect: alexeyab
net:
  options: {width: 32, height: 32, channels: 3}
  training: {learning_rate: 0.01, steps: [10, 20]}
layers:
- kind: convolutional
  options:
    filters: 4
    pad: yes
    "size": 3
- options: {stride: 2}
  kind: maxpool
- kind: route
  options:
    layers:
    - -1
    - -1
"""


def assert_same(network: darkparse.Network, path: Path) -> None:
    """Assert that a network written as YAML and then as a cfg is the same, with the dialect detected again."""
    text = network.to_yaml()
    source = Source(str(path), text, path)  # files that it names lie beside the cfg
    again = darkparse.compile(parse(source))
    assert facts(again) == facts(network)
    assert again.to_yaml() == text
    back = darkparse.compile(parse(Source(str(path), again.to_cfg(), path)))
    assert facts(back) == facts(network)
    assert back.to_yaml() == text


@pytest.mark.parametrize("path", [*SMALL, *shipped_cfgs()[::4]], ids=lambda path: path.stem)
def test_cfg_to_yaml_and_back_is_same_network(path: Path) -> None:
    assert_same(darkparse.compile(path), path)


@needs_shared
@pytest.mark.long
@pytest.mark.parametrize("path", original_cfgs(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_original_cfg_to_yaml_and_back_is_same_network(path: Path) -> None:
    assert_same(darkparse.compile(path), path)


def test_compile_reads_yaml_as_text_and_file(tmp_path: Path) -> None:
    network = darkparse.compile(TEXT)
    assert (network.name, network.dialect.name, network.dialect_reason) == ("small", "alexeyab", "stated in the YAML")
    assert [tuple(node.out_shape) for node in network.nodes] == [(4, 32, 32), (4, 16, 16), (8, 16, 16)]
    assert [(o.key, o.text) for o in network.config.net.options][3:] == [("learning_rate", "0.01"), ("steps", "10,20")]
    assert str(network.config) == TEXT
    path = tmp_path / "other.yml"
    path.write_text(TEXT, "utf-8")
    assert facts(darkparse.compile(path)) == facts(network)
    assert darkparse.compile(path).name == "other"
    assert facts(darkparse.from_yaml(TEXT)) == facts(darkparse.from_yaml(path)) == facts(network)


def test_compile_dialect_overrides_that_of_yaml() -> None:
    assert darkparse.compile(TEXT, dialect="pjreddie").dialect.name == "pjreddie"
    assert darkparse.compile(TEXT.replace("dialect: alexeyab\n", "")).dialect.name == "pjreddie"
    assert darkparse.compile(TEXT.replace("alexeyab", "auto")).dialect.name == "pjreddie"


def test_options_of_yaml_have_their_places() -> None:
    for text in (TEXT, f"\ufeff{TEXT}", TEXT.replace("\n", "\r\n"), f"# é😀\n---\n{TEXT}"):
        config = darkparse.read(text)
        sections = (config.net, *config.sections)
        keys = [option.key_span.text.strip('"') for section in sections for option in section.options]
        assert keys == [option.key for section in sections for option in section.options]
        values = [option.value_span.text.replace("\r", "") for section in sections for option in section.options]
        assert values == ["32", "32", "3", "0.01", "[10, 20]", "4", "yes", "3", "2", "- -1\n    - -1"]
        assert [section.span.text for section in sections] == ["net", *(f"kind: {s.kind}" for s in config.sections)]
        assert config.sections[2].options[0].span.line == TEXT[: TEXT.index("    layers:")].count("\n") + 1 + (
            2 if "😀" in text else 0
        )


@pytest.mark.parametrize(
    ("before", "after", "place", "code"),
    [
        ("filters: 4", "filters: four", "9:14", "value"),
        ("filters: 4", "filters: 1_0", "9:14", "yaml"),
        ("filters: 4", "filters: .nan", "9:14", "yaml"),
        ("filters: 4", "filters: 99999999999999999999", "9:14", "value"),
        ("    filters: 4", "\tfilters: 4", "9:1", "yaml"),
        ("filters: 4", "filters: null", "9:14", "yaml"),
        ("filters: 4", "filters: {a: 1}", "9:14", "yaml"),
        ("filters: 4", "filters: 4\n    filters: 5", "10:5", "yaml"),
        ("filters: 4", "fil ters: 4", "9:5", "yaml"),
        ("filters: 4", "2: 4", "9:5", "unknown-option"),
        ("filters: 4", "? [a]\n    : 4", "9:7", "yaml"),
        ("filters: 4", "filters: &a 4", "9:14", "yaml"),
        ("filters: 4", "filters: !!int 4", "9:14", "yaml"),
        ("filters: 4", "filters: 4\x00", "9:15", "yaml"),
        ("kind: convolutional", "kind: convolutionl", "7:3", "unknown-kind"),
        ("kind: convolutional", "kind: 'a\\nb'", "7:3", "unknown-kind"),
        ("kind: convolutional", "knd: convolutional", "7:3", "yaml"),
        ("    - -1\n    - -1", "    - -1\n    - 7", "17:5", "no-layer"),
        ("stride: 2", "stride: two", "12:21", "value"),
        ("alexeyab", "alexeyba", "2:10", "yaml"),
        ("alexeyab", "[]", "2:10", "yaml"),
        ("name: small", "name: a/b", "1:7", "yaml"),
        ("net:", "nets:", "3:1", "yaml"),
        ("layers:\n- kind: conv", "layers: 3\nx:\n- kind: conv", "7:1", "yaml"),
        (TEXT[TEXT.index("layers:") :], "layers: []\n", "6:1", "no-layers"),
        (TEXT[TEXT.index("net:") : TEXT.index("layers:")], "", "1:1", "no-net"),
    ],
)
def test_compile_of_wrong_yaml_shows_place_in_it(before: str, after: str, place: str, code: str) -> None:
    assert before in TEXT
    with pytest.raises(darkparse.CfgError) as caught:
        darkparse.compile(TEXT.replace(before, after, 1), darkparse.CompileOptions(strict=True))
    found = [(f"{d.span.line}:{d.span.column}", d.code) for d in caught.value.diagnostics if d.span]
    assert (place, code) in found
    assert str(caught.value).startswith("<text>:")
    assert "^" in str(caught.value)


HOSTILE = {
    "bomb": "a: &a [1, 1]\nb: [*a, *a]\nlayers: []\n",
    "deep": f"layers: {'[' * 20_000}\n",
    "deep-block": "layers:\n" + "".join(f"{' ' * i}- a:\n" for i in range(1, 200)),
    "many": f"layers: [{'1,' * 2000}]\n",
    "long-version": f"%YAML {'1' * 5000}.1\n---\nlayers: []\n",
    "escape": 'layers: "\\U00110000"\n',
    "escape-of-byte": 'layers: "\\udce9 \\U00110000"\n',
    "byte": "layers: []  # \udce9\n",
    "two": "layers: []\n---\nlayers: []\n",
    "list": "layers:\n  kind: convolutional\n",
    "text": "layers: abc\n",
    "directive": "%TAG ! tag:a,2000:\n---\nlayers: !b []\n",
    "quote": "layers: 'abc\n",
    "surrogate-kind": 'net: {}\nlayers:\n- kind: "\\udce9"\n',
    "nul": 'net: {}\nlayers:\n- kind: convolutional\n  options: {filters: "1\\0"}\n- kind: "\\0"\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_check_of_hostile_yaml_prints_one_error_with_place_and_exits_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_yaml, "MAX_NODES", 1000)  # of 100,000, which take a second
    path = tmp_path / "hostile.yaml"
    path.write_bytes(HOSTILE[name].encode("utf-8", "surrogateescape"))
    for command in ("check", "show"):
        result = run_command(command, path)
        assert result.returncode == 2
        output = result.stdout + result.stderr
        assert "Traceback" not in output
        assert output.replace("\n", "").count(": error: ") == 1, output
        assert f"{path.name}:" in output.replace("\n", "")


def test_commands_take_yaml_in_place_of_cfg(tmp_path: Path) -> None:
    path, out = tmp_path / "shapes.yaml", tmp_path / "out"
    for arguments, expected in (
        (("edit", "shapes", "-o", path), "20 layers"),
        (("edit", path, "-o", tmp_path / "back.cfg"), "20 layers"),
        (("edit", path, "--classes", "2", "-o", tmp_path / "two.yaml"), "20 layers"),
        (("diff", path, "shapes"), "the same network"),
        (("diff", "shapes", tmp_path / "back.cfg"), "the same network"),
        (("show", tmp_path / "two.yaml"), "16×20×21"),
        (("check", path), "0 errors, 0 warnings; compiles, 20 layers, dialect alexeyab (stated in the YAML)"),
        (("explain", path, "--layer", "3"), "kind: convolutional"),
        (("emit", path, "-o", f"{out}.py"), "wrote"),
        (("draw", path, tmp_path / "two.yaml", "-o", f"{out}.svg"), "wrote"),
        (("classes", path, SHAPES, "--keep", "3,0", "-o", f"{out}.yaml", f"{out}.weights"), "wrote"),
        (("weights", path, SHAPES), "fits"),
        (("convert", path, SHAPES, "-o", f"{out}.safetensors"), "wrote"),
        (("convert", path, SHAPES, "-o", f"{out}.onnx"), "wrote"),
        (("weights", f"{out}.yaml", f"{out}.weights"), "fits"),
    ):
        result = run_command(*map(str, arguments))
        assert result.returncode == 0, result
        assert expected in result.stdout + result.stderr, result


def test_containers_of_yaml_network_hold_cfg(tmp_path: Path) -> None:
    import onnx

    model = darkparse.load(darkparse.compile("shapes").to_yaml(), SHAPES)
    assert model.network.config.source.is_cfg is False
    darkparse.save(model, tmp_path / "x.safetensors")
    assert facts(darkparse.load(tmp_path / "x.safetensors").network) == facts(model.network)
    darkparse.to_onnx(model, tmp_path / "x.onnx")
    properties = onnx.load(tmp_path / "x.onnx").metadata_props
    metadata = {item.key.removeprefix("darkparse."): item.value for item in properties}
    assert facts(darkparse.compile(metadata["cfg"], dialect=metadata["dialect"])) == facts(model.network)
    assert metadata["cfg"].startswith("[net]\n")


def test_format_of_yaml_exits_2_and_keeps_file(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(TEXT, "utf-8")
    result = run_command("format", path)
    assert (result.returncode, path.read_text("utf-8")) == (2, TEXT)
    assert "cannot format YAML" in result.stderr


def test_edit_to_cfg_without_evidence_names_dialect(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(TEXT, "utf-8")
    result = run_command("edit", tmp_path / "x.yaml", "-o", tmp_path / "x.cfg")
    assert "read it with --dialect alexeyab" in " ".join(result.stderr.split())
    same = run_command("diff", tmp_path / "x.yaml", tmp_path / "x.cfg", "--dialect", "alexeyab")
    assert "the same network" in same.stdout


def test_to_yaml_keeps_default_options_that_show_dialect() -> None:
    net = "[net]\nwidth=8\nheight=8\nchannels=3\n"
    network = darkparse.compile(f"{net}[convolutional]\nfilters=2\nsize=1\ndilation=1\n")
    assert network.dialect.name == "alexeyab"
    assert darkparse.compile(darkparse.compile(network.to_yaml()).to_cfg()).dialect.name == "alexeyab"


def test_strict_dialect_reads_yaml() -> None:
    text = darkparse.compile("yolov3-tiny", dialect="hank-ai").to_yaml()
    network = darkparse.compile(text)
    assert (network.dialect.name, network.diagnostics) == ("hank-ai", ())
    with pytest.raises(darkparse.CfgError, match=r":\d+:\d+: error: .* rejects this: \[maxpool\] has no option 'x'"):
        darkparse.compile(text.replace("  kind: maxpool\n  options:\n", "  kind: maxpool\n  options:\n    x: 1\n", 1))


def test_weights_that_do_not_fit_yaml_name_its_lines() -> None:
    text = darkparse.compile("shapes").to_yaml().replace("filters: 27", "filters: 30")
    with pytest.raises(darkparse.CfgError, match="set filters=27 here") as caught:
        darkparse.load(text, SHAPES)
    assert "| " in str(caught.value)


def test_yaml_in_docs_compiles_and_matches_schema() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "howto" / "yaml.md").read_text("utf-8"), re.M | re.S)
    assert [tuple(node.out_shape) for node in darkparse.compile(text).nodes] == [(16, 64, 64), (16, 32, 32)]
    validate(json.dumps(yaml.safe_load(text)), "network-yaml")


@pytest.mark.slow
def test_schema_of_yaml_accepts_networks_and_rejects_others() -> None:
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    documents = [yaml.load(darkparse.compile(path).to_yaml(), loader) for path in SMALL]
    for document in [*documents, yaml.safe_load(TEXT)]:
        validate(json.dumps(document), "network-yaml")
    for wrong in (
        {"layers": documents[0]["layers"]},
        documents[0] | {"more": 1},
        documents[0] | {"layers": []},
        documents[0] | {"layers": [{"kind": "route", "layers": [1]}]},
        documents[0] | {"layers": [{"kind": "route", "options": {"layers": [[1]]}}]},
    ):
        with pytest.raises(ValidationError):
            validate(json.dumps(wrong), "network-yaml")
        with pytest.raises(darkparse.CfgError):
            darkparse.compile(json.dumps(wrong, indent=1).replace("{\n", "---\n{\n", 1))


def test_yaml_writes_lists_of_numbers_on_one_line() -> None:
    text = darkparse.compile(TEXT).to_yaml()
    assert "\ninput: [3, 32, 32]\noutputs: [2]\n" in text
    assert re.search(r"^ +layers: \[-1, -1\]$", text, re.MULTILINE)
    assert "\nlayers:\n- index: 0\n  kind: convolutional\n" in text
