"""For everything that goes wrong with weights files: a file of that kind, and the message."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import darkparse
from darkparse.weights import Header, compute_layout
from darkparse.weights.diagnosis import corruption
from darkparse.weights.diagnosis.report import Report
from darkparse.weights.file_type import detect_file_type
from tests.weights.weight_files import ALEXEYAB, PJREDDIE, SMALL, floats, network, weights

NET = network()
DATA = weights(NET)
DEEP = network(
    "[net]\nwidth=8\nheight=8\nchannels=3\n" + "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\n" * 9
)
"""With so many batch norms that no shifted reading of its weights makes sense."""


def caught(
    data: bytes, cfg: str = SMALL, options: darkparse.ReadOptions | None = None, dialect: str | None = None
) -> darkparse.WeightsError:
    """The error of loading, which pickles, and carries the same causes as the report."""
    with pytest.raises(darkparse.WeightsError) as caught:
        darkparse.load(cfg, data, options or darkparse.ReadOptions(), dialect=dialect)
    error: darkparse.WeightsError = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert error.report is not None
    assert error.causes
    assert str(error.report) == str(error)
    return error


def test_diagnose_16_byte_header_read_as_20_is_header_width() -> None:
    error = caught(DATA[:16] + DATA[20:])
    assert error.causes[0].code == "header-width"
    assert "exactly after a header of 16 bytes, but version 0.2.0 has 20" in str(error)
    assert "header_size=16" in error.causes[0].remedy


def test_diagnose_20_byte_header_read_as_16_is_header_width() -> None:
    error = caught(Header(0, 1, 0, 5, 8).pack() + DATA[20:])
    assert error.causes[0].facts == {"header_bytes": 20, "expected_header_bytes": 16}


def test_diagnose_wrong_header_size_option_is_header_width() -> None:
    error = caught(DATA, options=darkparse.ReadOptions(header_size=16))
    assert [cause.code for cause in error.causes] == ["header-width"]
    assert "exactly after a header of 20 bytes, but header_size=16 was requested" in str(error)


@pytest.mark.parametrize(("front", "text"), [(b"", "no header"), (DATA[:12], "a version but no number of seen images")])
def test_diagnose_missing_header_is_named(front: bytes, text: str) -> None:
    error = caught(front + DATA[20:])
    assert error.causes[-1].code == "header-missing"
    assert text in str(error)


BATCHNORM = "[net]\nwidth=4\nheight=4\nchannels=6\n[batchnorm]\n[convolutional]\nfilters=3\nbatch_normalize=1\n"


@pytest.mark.parametrize(("read", "written"), [("pjreddie", "alexeyab"), ("alexeyab", "pjreddie")])
def test_diagnose_other_dialect_is_named(read: str, written: str) -> None:
    error = caught(weights(network(BATCHNORM, written)), BATCHNORM, dialect=read)
    assert error.causes[0].code == "dialect"
    assert error.causes[0].facts["dialect"] == written
    assert f"--dialect {written}" in str(error)


def test_inspect_other_dialect_of_same_size_finds_negative_variance() -> None:
    """A GRU's matrices stand in another order: the sizes fit, the variances betray it."""
    cfg = "[net]\ninputs=7\n[gru]\noutput=3\nbatch_normalize=1\n"
    report = darkparse.inspect_weights(network(cfg, "pjreddie"), weights(network(cfg, "alexeyab")))
    assert report.fits
    assert [finding.code for finding in report.findings] == ["dialect", "negative-variance"]
    assert not darkparse.inspect_weights(network(cfg, "pjreddie"), weights(network(cfg, "alexeyab"))[:-4]).findings


def test_load_wrong_filters_before_head_names_line_and_value() -> None:
    """The cfg does not compile: the file decides whether filters or classes are wrong."""
    wrong = SMALL.replace("filters=21", "filters=24")
    with pytest.raises(darkparse.CfgError) as caught:
        darkparse.load(wrong, DATA)
    text = str(caught.value)
    assert "this head requires 21 channels = 3 × (2 classes + 5)" in text
    assert "<text>:23:1: note: set filters=21 here: <bytes> then fits exactly" in text
    assert "<text>:46:1: note: set filters=21 here" in text
    three = weights(network(wrong.replace("classes=2", "classes=3")))
    with pytest.raises(
        darkparse.CfgError, match=r"<text>:30:1: note: set classes=3 here: <bytes> fits the current filters"
    ):
        darkparse.inspect_weights(wrong, three)
    with pytest.raises(darkparse.CfgError, match="note: set filters=21 here: <bytes> fits neither"):
        darkparse.load(wrong, DATA[:-4])


def test_diagnose_other_class_count_names_lines() -> None:
    error = caught(weights(network(SMALL.replace("filters=21", "filters=255").replace("classes=2", "classes=80"))))
    assert error.causes[0].code == "classes"
    assert error.causes[0].facts["classes"] == 80
    assert (
        "classes=80: filters=255 in line 23, classes=80 in line 30, filters=255 in line 46, classes=80 in line 53"
        in str(error)
    )


def test_diagnose_other_class_count_of_v1_head_and_classifier() -> None:
    v1 = (
        "[net]\nwidth=8\nheight=8\nchannels=3\n[connected]\noutput={0}\n[detection]\nclasses={1}\ncoords=4\nnum=2\n"
        "side=3\n"
    )
    error = caught(weights(network(v1.format(9 * (2 * 5 + 7), 7))), v1.format(9 * (2 * 5 + 4), 4))
    assert (error.causes[0].code, error.causes[0].facts["classes"]) == ("classes", 7)
    classifier = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters={0}\n[avgpool]\n[softmax]\n"
    error = caught(weights(network(classifier.format(10))), classifier.format(1000))
    assert (error.causes[0].code, error.causes[0].facts["classes"]) == ("classes", 10)


def test_diagnose_backbone_is_named() -> None:
    error = caught(weights(NET, upto=2))
    assert error.causes[0].code == "backbone"
    assert error.causes[0].facts == {"layer": 1, "upto": 2}
    assert (
        "ends exactly after layer 1 [convolutional]: it is a backbone with the first 2 layers (like *.conv.2)"
        in str(error)
    )
    assert error.layer == 2


def test_diagnose_missing_heads_are_named() -> None:
    error = caught(weights(NET, upto=4))
    assert error.causes[0].code == "missing-heads"
    assert "ends exactly after the head in layer 3, without the last 1 head of the cfg, layers 4 to 8" in str(error)


@pytest.fixture
def sparse(tmp_path: Path) -> Callable[[str], Path]:
    """A file of the size that a shipped cfg needs, of a header and zeros that take no room on the disk."""

    def make(name: str) -> Path:
        path = tmp_path / f"{name}.weights"
        with path.open("wb") as file:
            file.write(PJREDDIE.pack())
            file.truncate(20 + 4 * darkparse.compile(name).stored_floats)
        return path

    return make


def test_diagnose_extra_heads_are_named(sparse: Callable[[str], Path]) -> None:
    one_head = SMALL[: SMALL.index("\n[route]")]
    error = caught(DATA, one_head)
    assert error.causes[0].code == "extra-heads"
    assert "all variances are in range" in str(error)
    tiny = str(darkparse.read("yolov3-tiny"))
    with pytest.raises(darkparse.WeightsError) as misfit:
        darkparse.load(tiny[: tiny.index("[route]")], sparse("yolov3-tiny"))
    assert misfit.value.causes[0].code == "extra-heads"
    assert misfit.value.causes[0].facts == {"cfg": "yolov3-tiny", "heads": 1}


def test_diagnose_shipped_cfg_of_same_size_is_named(sparse: Callable[[str], Path]) -> None:
    with pytest.raises(darkparse.WeightsError) as caught:
        darkparse.load("yolov4-tiny", sparse("yolov3-tiny"))
    assert caught.value.causes[0].code == "shipped-cfg"
    assert "exactly the 8,858,734 floats of yolov3-tiny, which ships with darkparse" in str(caught.value)


def test_diagnose_truncated_file_names_missing_bytes() -> None:
    error = caught(DATA[:-1001])
    assert error.causes[0].code == "truncated"
    assert error.causes[0].facts["missing_bytes"] == 1001
    assert "1,001 bytes of" in str(error)
    assert "1,001 bytes too short" in str(error)
    assert isinstance(error.report, Report)
    assert error.report.missing_bytes == 1001


@pytest.mark.parametrize("cut", [4, 8, 16, 20])
def test_diagnose_file_truncated_by_header_difference_is_truncated(cut: int) -> None:
    error = caught(weights(DEEP)[:-cut], str(DEEP.config))
    assert [cause.code for cause in error.causes] == ["truncated"]


@pytest.mark.parametrize("lacking", [0, 8, 16, 20])
def test_diagnose_noise_is_not_weights(lacking: int) -> None:
    for noise in (b"\xff" * len(DATA), np.random.default_rng(2).bytes(len(DATA))):
        assert caught(noise[lacking:]).causes[0].code == "not-weights"


def test_diagnose_file_of_other_network_is_named() -> None:
    values = np.random.default_rng(1).standard_normal(500, np.float32)
    error = caught(PJREDDIE.pack() + values.tobytes())
    assert error.causes[0].code == "other-network"


def test_diagnose_longer_file_names_extra_bytes() -> None:
    error = caught(DATA + b"\n")
    assert error.causes[0].code == "longer"
    assert "continues for 1 byte after the last layer" in str(error)


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def _zip(**members: bytes) -> bytes:
    def save(stream: io.BytesIO) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            for name, data in members.items():
                archive.writestr(name.replace("_", "."), data)

    return _saved(save)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 248007048\n"
HTML = b"\n<!DOCTYPE html><html><head><title>Google Drive -\n Quota exceeded</title></head>"
FOREIGN = {
    "lfs-pointer": (LFS, "a Git LFS pointer to a file of 248,007,048 bytes", "git lfs pull"),
    "html": (HTML, "an HTML page titled “Google Drive - Quota exceeded”", "download the file from its direct link"),
    "html in UTF-16": (
        HTML.decode().lstrip().encode("utf-16"),
        "titled “Google Drive - Quota exceeded”",
        "direct link",
    ),
    "zip": (_zip(yolov3_weights=DATA), "a zip archive", "it contains yolov3.weights"),
    "onnx": (
        b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\x80\x01" + bytes(200),
        "an ONNX model",
        "the original .weights file",
    ),
    "empty": (b"", "empty, 0 bytes", "download or copy it again"),
    "zeros": (bytes(len(DATA)), f"a file of {len(DATA):,} zero bytes", "download it again"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(99), "a gzip archive", "gunzip"),
    "cfg": (SMALL.encode(), "a cfg", "the cfg first"),
    "text": (b"404: Not Found", "a text file that starts with “404: Not Found”", "original .weights"),
    "text of one line": (b"a" * 99, f"a text file that starts with “{'a' * 60}”", "original .weights"),
    "header": (b"\0\0\0\0\2\0\0\0\0\0\0\0\1", "got 13 bytes; expected at least 20", "again"),
}


@pytest.mark.parametrize("code", FOREIGN)
def test_diagnose_other_file_type_is_named(code: str) -> None:
    data, title, remedy = FOREIGN[code]
    error = caught(data)
    assert error.causes[0].code == code.split()[0]
    assert title in str(error)
    assert remedy in str(error)
    assert "layer 0 [convolutional]" in str(error)
    assert f"network requires {len(DATA):,} bytes" in str(error)
    assert f"got {len(data):,}" in str(error)


@pytest.mark.parametrize(
    ("code", "offset", "magic"),
    [
        ("tflite", 4, b"TFL3"),
        ("gguf", 0, b"GGUF"),
        ("npy", 0, b"\x93NUMPY"),
        ("bzip2", 0, b"BZh"),
        ("xz", 0, b"\xfd7zXZ"),
        ("zstd", 0, b"\x28\xb5\x2f\xfd"),
        ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
        ("rar", 0, b"Rar!"),
        ("tar", 257, b"ustar"),
        ("jpeg", 0, b"\xff\xd8\xff"),
        ("png", 0, b"\x89PNG"),
        ("pdf", 0, b"%PDF"),
    ],
)
def test_detect_file_type_finds_magic_number_at_its_place(code: str, offset: int, magic: bytes) -> None:
    found = detect_file_type(memoryview(bytes(offset) + magic + bytes(300)))
    assert found is not None
    assert found.code == code
    elsewhere = detect_file_type(memoryview(bytes(offset + 1) + magic + bytes(300)))
    assert elsewhere is None or elsewhere.code != code


def test_count_pattern_finds_it_at_both_ends_and_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corruption, "CHUNK_BYTES", 4)
    case: Any = SimpleNamespace(file=SimpleNamespace(blob=SimpleNamespace(data=memoryview(b"\r\n.\r\n.\r\n"))))
    assert corruption._count_pattern(case, b"\r\n") == 3


def test_inspect_names_container_type() -> None:
    pytest.importorskip("safetensors")
    from safetensors.torch import save

    tensors = {"a": torch.zeros(3)}
    files = {
        "pickle": _saved(lambda stream: torch.save(tensors, stream)),
        "safetensors": save(tensors),
        "npz": _saved(lambda stream: np.savez(stream, a=np.zeros(3))),
    }
    h5py = pytest.importorskip("h5py")
    keras = io.BytesIO()
    with h5py.File(keras, "w") as file:
        file["dense/kernel:0"] = np.zeros((3, 3), np.float32)
    files["hdf5"] = keras.getvalue()
    files["old pickle"] = _saved(lambda stream: torch.save(tensors, stream, _use_new_zipfile_serialization=False))
    for code, data in files.items():
        report = darkparse.inspect_weights(NET, data)
        assert [cause.code for cause in report.causes] == [code.removeprefix("old ")]
        assert "`darkparse convert CFG <bytes> -o OUT.weights`" in str(report)
        with pytest.raises(darkparse.WeightsError, match="does not fit"):
            darkparse.load(SMALL, data)


def test_inspect_zeros_and_non_finite_values_are_findings() -> None:
    report = darkparse.inspect_weights(NET, ALEXEYAB.pack() + bytes(len(DATA) - 20))
    assert report.fits
    assert report.findings[0].code == "zeros"
    assert "zero" in str(report)
    values = floats(NET)
    entry = compute_layout(NET)[8]
    values[entry.start + 3], values[entry.start + 5] = np.nan, np.inf
    report = darkparse.inspect_weights(NET, PJREDDIE.pack() + values.tobytes())
    assert report.findings[0].code == "not-finite"
    assert "2 NaN or infinite values, the first in norm.running_var of layer 1" in str(report)
    assert [row.non_finite for row in report.rows if row.non_finite] == [2]


def test_inspect_report_has_numbers_of_every_array() -> None:
    report = darkparse.inspect_weights(SMALL, DATA)
    assert report.fits
    assert str(report).endswith(f"{len(DATA):,} bytes, 20 for the header and {NET.stored_floats:,} floats")
    for row, entry in zip(report.rows, compute_layout(NET), strict=True):
        values = floats(NET)[entry.start : entry.end].astype(np.float64)
        assert row.offset == 20 + 4 * entry.start
        assert row.line == entry.node.section.span.line
        assert row.mean == pytest.approx(values.mean(), abs=1e-9)
        assert row.deviation == pytest.approx(values.std(), rel=1e-6)
        assert (row.minimum, row.maximum) == (values.min(), values.max())


def test_inspect_denormal_negative_variance_is_no_finding() -> None:
    values = floats(NET)
    entry = next(e for e in compute_layout(NET) if e.tensor.path.endswith("running_var"))
    values[entry.start] = -7e-44
    assert not darkparse.inspect_weights(NET, PJREDDIE.pack() + values.tobytes()).findings


def test_load_file_cut_at_layer_boundary_names_layer_and_keeps_model(tmp_path: Path) -> None:
    """At it, one byte before and one after: an error that names the layer, and an untouched model."""
    from darkparse.weights.layout import get_layer_ends

    path = tmp_path / "cut.weights"
    model = darkparse.load(SMALL, DATA)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    other = weights(NET, seed=1)
    indices = list(get_layer_ends(compute_layout(NET)))
    for number, end in enumerate([0, *list(get_layer_ends(compute_layout(NET)).values())[:-1]]):
        for shift in (-1, 0, 1):
            size = 20 + 4 * end + shift
            path.write_bytes(other[:size])
            with pytest.raises(darkparse.WeightsError) as caught:
                darkparse.load_weights(model, path)
            layer = indices[max(number - (shift < 0), 0)]
            assert caught.value.layer == layer
            assert f"layer {layer} [convolutional]" in str(caught.value)
            assert f"got {size:,}" in str(caught.value)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    for size in (0, 1, 11, 12, 15, 16, 19):
        with pytest.raises(darkparse.WeightsError, match=f"got {size}"):
            darkparse.load_weights(model, other[:size])


def test_report_to_dict_is_plain_data() -> None:
    import json

    data = json.loads(json.dumps(darkparse.inspect_weights(NET, DATA[:-5]).to_dict()))
    assert data["causes"][0]["code"] == "truncated"
    assert data["file_bytes"] == len(DATA) - 5
    assert data["arrays"][-1]["floats_in_file"] == data["arrays"][-1]["floats"] - 2
