"""The Python side of the page, without a browser."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import darkparse
from tests.conftest import DATA

WEB = Path(__file__).parents[2] / "web"
BROKEN = "[net]\nwidth=8\nheight=8\nchannels=3\n# \U0001f600\n[convolutional]\nfilters=2\nsise=1\n[shortcut]\nfrom=-9\n"


@pytest.fixture(scope="module")
def bridge() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bridge", WEB / "bridge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(bridge: ModuleType, method: str, /, **values: Any) -> Any:
    answer = json.loads(bridge.call(method, json.dumps(values)))
    assert "result" in answer, answer
    return answer["result"]


def shipped(bridge: ModuleType, name: str) -> dict[str, str]:
    values: dict[str, str] = call(bridge, "shipped", name=name)
    return values


def test_check_findings_places_count_utf16_units(bridge: ModuleType) -> None:
    result = call(bridge, "check", name="my.cfg", text=BROKEN)
    assert result["network"] is None
    units = BROKEN.encode("utf-16-le")
    marked = [
        units[2 * place["start"] : 2 * place["end"]].decode("utf-16-le")
        for finding in result["findings"]
        for place in finding["places"]
    ]
    assert "sise=1" in marked
    assert {finding["severity"] for finding in result["findings"]} == {"error", "warning"}


def test_views_equal_those_of_the_library(bridge: ModuleType) -> None:
    cfg = shipped(bridge, "yolov3-tiny")
    network = darkparse.compile("yolov3-tiny")
    assert call(bridge, "source", **cfg)["text"] == darkparse.to_source(network)
    assert len(call(bridge, "show", **cfg)["rows"]) == len(network.nodes)
    assert network.name in call(bridge, "explain", **cfg)["paragraphs"][0]["lines"][0]
    assert call(bridge, "layer", index=3, **cfg)["index"] == 3
    assert call(bridge, "download", form="html", theme="light", **cfg)["text"].startswith("<!doctype html>")
    for view in ("overview", "layers"):
        assert "<style" not in call(bridge, view, **cfg)["svg"]


def test_compare_with_itself_is_same(bridge: ModuleType) -> None:
    cfg = shipped(bridge, "yolov3-tiny")
    assert call(bridge, "compare", other_name=cfg["name"], other_text=cfg["text"], **cfg)["same"]
    other = cfg["text"].replace("filters=16", "filters=24", 1)
    changed = call(bridge, "compare", other_name="other.cfg", other_text=other, **cfg)
    assert changed["layers"][0]["place"] == "L0"


def test_decode_foreign_bytes_reports_what_they_are(bridge: ModuleType) -> None:
    answer = json.loads(bridge.call("decode", json.dumps({"name": "x.cfg", "latin1": "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"})))
    assert "not a cfg" in answer["error"]
    assert call(bridge, "decode", name="x.cfg", latin1="[net]\n# \xc3\xa9\n")["text"] == "[net]\n# é\n"


def test_cfg_of_page_reads_no_file(bridge: ModuleType, tmp_path: Path) -> None:
    secret = tmp_path / "labels.tree"
    secret.write_text("secret -1\n", "utf-8")
    text = f"[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=1\n[softmax]\ntree={secret}\n"
    assert "secret" not in bridge.call("check", json.dumps({"name": "x.cfg", "text": text})).replace(str(secret), "")


def test_cfg_reads_opened_files_only_inside_their_folder(bridge: ModuleType, tmp_path: Path) -> None:
    head = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=5\n[softmax]\ntree="
    files = {"words.tree": (DATA / "kinds" / "words.tree").read_text("utf-8")}

    def list_codes(name: str, files: dict[str, str]) -> set[str]:
        found = call(bridge, "check", name="x.cfg", text=f"{head}{name}\n", files=files)["findings"]
        assert all(one["notes"] == [bridge.OPEN_FILE] for one in found if one["code"] == "no-file")
        return {one["code"] for one in found}

    assert "no-file" in list_codes("data/words.tree", {})
    assert "no-file" not in list_codes("data/words.tree", files)
    for outside in (f"{tmp_path}/words.tree", "../words.tree", "../../../../../../../../tmp/words.tree", "other.tree"):
        assert "no-file" in list_codes(outside, files)
    assert list(tmp_path.iterdir()) == []
    assert "no-file" in list_codes("data/words.tree", {})


def test_weights_that_do_not_fit_report_causes(bridge: ModuleType, tmp_path: Path) -> None:
    text, path = (DATA / "weights" / "plain.cfg").read_text("utf-8"), tmp_path / "plain.weights"
    shutil.copyfile(DATA / "weights" / "plain.weights", path)
    assert call(bridge, "weights", name="plain.cfg", text=text, path=str(path))["fits"]
    path.write_bytes(path.read_bytes()[:-8])
    report = call(bridge, "weights", name="plain.cfg", text=text, path=str(path))
    assert not report["fits"]
    assert "8 bytes too short" in report["message"]
    assert str(tmp_path) not in report["message"]


def test_bridge_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, json, bridge; cfg = json.loads(bridge.call('shipped', '{\"name\": \"yolov3-tiny\"}'))['result'];"
        "[bridge.call(view, json.dumps(cfg)) for view in ('check', 'overview', 'layers', 'explain', 'show', 'source')];"
        "print({'torch', 'numpy', 'click', 'rich', 'PIL'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=WEB, capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
