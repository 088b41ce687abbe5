"""The web page with weights and images: the report, ONNX files, and boxes equal to those of `darkparse detect`."""

from __future__ import annotations

import json
import math
import re
import shutil
import struct
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import darkparse
from tests.conftest import DATA, ROOT
from tests.web.site import SITE, Opened, needs_site, serve
from tests.web.test_page import expect, type_text, wait

if TYPE_CHECKING:
    from PIL.Image import Image
    from playwright.sync_api import Browser

pytestmark = needs_site

SHAPES = ROOT / "cfgs" / "shapes"
FILES = (ROOT / "cfgs" / "shapes.cfg", SHAPES / "shapes.weights", ROOT / "cfgs" / "shapes.names")
REAL = ROOT.parent / "shared" / "models" / "yolo-fastest-1.1.cfg"


def drop_shapes(opened: Opened, *more: Path) -> None:
    opened.drop(FILES[2])
    opened.drop(FILES[0])
    wait(opened)
    opened.drop(FILES[1], *more)


def test_weights_that_fit_report_arrays(opened: Opened) -> None:
    drop_shapes(opened)
    expect(opened.find("pre.report")).to_contain_text("shapes.weights fits shapes")
    report = darkparse.inspect_weights(FILES[0], FILES[1])
    expect(opened.find("#panel tbody tr")).to_have_count(len(report.rows))
    opened.find("summary").click()
    expect(opened.find("#panel tbody tr").last).to_contain_text(f"{report.rows[-1].offset:,}")


def test_weights_that_do_not_fit_report_causes(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "cut.weights"
    path.write_bytes(FILES[1].read_bytes()[:-400])
    opened.drop(FILES[0])
    wait(opened)
    opened.drop(path)
    expect(opened.find("pre.report.error")).to_contain_text("400 bytes too short")
    expect(opened.find("pre.report")).to_contain_text("hint: ")
    page = tmp_path / "page.weights"
    page.write_text("<!doctype html><title>Sign in</title>", "utf-8")
    opened.drop(page)
    expect(opened.find("pre.report.error")).to_contain_text("an HTML page titled “Sign in”")


@pytest.mark.parametrize("heads", ["nms", "raw"])
def test_saved_onnx_files_equal_those_of_convert(opened: Opened, tmp_path: Path, heads: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    drop_shapes(opened)
    opened.page.select_option("#heads", heads)
    for name in ("Save one file", "Save the graph alone"):
        with opened.page.expect_download() as download:
            opened.page.get_by_role("button", name=name).click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    shutil.copy(FILES[1], tmp_path)
    darkparse.to_onnx(FILES[0], tmp_path / "native.onnx", weights=FILES[1], heads=heads, fold=False)  # type: ignore[arg-type]
    image = np.random.default_rng(0).random((1, 3, *darkparse.compile(FILES[0]).input_shape.tensor[1:]), np.float32)

    def run(name: str) -> list[np.ndarray]:
        session = onnxruntime.InferenceSession(str(tmp_path / name), providers=["CPUExecutionProvider"])
        assert "darkparse.names" in session.get_modelmeta().custom_metadata_map or name == "native.onnx"
        outputs: list[np.ndarray] = session.run(None, {"image": image})
        return outputs

    for name in ("shapes.onnx", "shapes.graph.onnx"):
        assert all(np.array_equal(one, other) for one, other in zip(run(name), run("native.onnx"), strict=True))


def plain(image: Image, path: Path) -> None:
    image.save(path)


def with_gamma(image: Image, path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100_000))
    image.save(path, pnginfo=info)


def with_swapped_profile(image: Image, path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"?XYZ", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"?XYZ", b"bXYZ", 1)
    assert swapped != profile
    image.save(path, icc_profile=swapped)


def with_alpha(image: Image, path: Path) -> None:
    from PIL import Image as Images

    image.putalpha(Images.linear_gradient("L").resize(image.size))
    image.save(path)


def with_palette(image: Image, path: Path) -> None:
    image.quantize(64).save(path)


def assert_boxes_equal(opened: Opened, number: int, expected: darkparse.Detections, tolerance: float = 1e-3) -> None:
    figure = opened.find("figure[data-boxes]").nth(number)
    boxes = json.loads(figure.get_attribute("data-boxes") or "")
    assert [box["name"] for box in boxes] == [detection.name for detection in expected]
    for box, detection in zip(boxes, expected, strict=True):
        assert box["score"] == pytest.approx(detection.score, abs=tolerance)
        assert box["box"] is None or box["box"] == pytest.approx(detection.box, abs=tolerance)
        assert (box["box"] is None) == detection.is_whole


WRITERS: tuple[Callable[[Image, Path], None], ...] = (
    plain,
    with_gamma,
    with_swapped_profile,
    with_alpha,
    with_palette,
)


def test_boxes_equal_those_of_detect(opened: Opened, tmp_path: Path) -> None:
    from PIL import Image as Images

    paths = [tmp_path / f"{write.__name__}.png" for write in WRITERS]
    for number, (write, path) in enumerate(zip(WRITERS, paths, strict=True)):
        with Images.open(SHAPES / f"shapes{number % 3 + 1}.jpg") as image:
            write(image.convert("RGB").resize((300 + 40 * number, 210)), path)
    drop_shapes(opened, *paths)
    expect(opened.find("figure[data-boxes]")).to_have_count(len(paths))
    results = darkparse.Detector.load(FILES[0], FILES[1]).detect([*paths])
    assert all(results)
    for number, detections in enumerate(results):
        assert_boxes_equal(opened, number, detections)


@pytest.mark.parametrize("applies_exif", [True, False])
def test_rotated_images_are_read_as_the_fork_does(opened: Opened, tmp_path: Path, applies_exif: bool) -> None:
    from PIL import Image as Images

    text, data = FILES[0].read_text("utf-8"), FILES[1].read_bytes()
    if not applies_exif:  # pjreddie's Darknet has neither these options and this header nor OpenCV's rotation
        text = re.sub(r"^(iou_loss|iou_normalizer|scale_x_y)=.*\n", "", text, flags=re.MULTILINE)
        data = struct.pack("<iiii", 0, 1, 0, 0) + data[20:]
    cfg, weights = tmp_path / "rotated.cfg", tmp_path / "rotated.weights"
    cfg.write_text(text, "utf-8")
    weights.write_bytes(data)
    assert darkparse.compile(cfg).dialect.applies_exif == applies_exif
    exif = Images.Exif()
    exif[274] = 6
    # Chromium does not rotate WebP.
    paths = [tmp_path / f"rotated.{ending}" for ending in ("png", "jpg", *(() if applies_exif else ("webp",)))]
    with Images.open(SHAPES / "shapes1.jpg") as image:
        turned = image.convert("RGB").transpose(Images.Transpose.ROTATE_90)
        for path in paths:
            turned.save(path, exif=exif, quality=100, lossless=True)
    opened.drop(cfg)
    wait(opened)
    opened.drop(weights, *paths)
    expect(opened.find("figure[data-boxes]")).to_have_count(len(paths))
    warns = pytest.warns(darkparse.DarkparseWarning, match="was not applied")
    with nullcontext() if applies_exif else warns:
        results = darkparse.Detector.load(cfg, weights).detect(paths)
    for number, (path, detections) in enumerate(zip(paths, results, strict=True)):
        assert detections
        assert_boxes_equal(opened, number, detections, 0.02 if path.suffix == ".jpg" else 1e-3)
        size = opened.find("figure canvas").nth(number).evaluate("canvas => [canvas.width, canvas.height]")
        assert tuple(size) == (image.size if applies_exif else turned.size)


TREES = {
    "region": "[convolutional]\nfilters=20\nactivation=linear\n"
    "[region]\nanchors=1,1,2,2\nclasses=5\nnum=2\nsoftmax=1\ntree=data/words.tree\n",
    "softmax": "[convolutional]\nfilters=5\nactivation=linear\n[avgpool]\n[softmax]\ntree=data/words.tree\n",
}


@pytest.mark.parametrize("head", TREES)
def test_word_tree_that_is_dropped_is_used(opened: Opened, tmp_path: Path, head: str) -> None:
    from PIL import Image as Images

    cfg, weights, image = tmp_path / "tree.cfg", tmp_path / "tree.weights", tmp_path / "1.png"
    cfg.write_text(f"[net]\nwidth=8\nheight=8\nchannels=3\n{TREES[head]}", "utf-8")
    (tmp_path / "data").mkdir()
    tree = Path(shutil.copy(DATA / "kinds" / "words.tree", tmp_path / "data"))
    generator = np.random.default_rng(3)
    floats = generator.normal(0, 2, darkparse.compile(cfg).stored_floats).astype("<f4")
    weights.write_bytes(struct.pack("<iiiq", 0, 2, 5, 0) + floats.tobytes())
    Images.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(image)
    opened.drop(cfg)
    expect(opened.find("#findings")).to_contain_text("Open or drop the file of this name")
    opened.drop(tree)
    expect(opened.find("#findings")).not_to_contain_text("no such file")
    opened.drop(weights, image)
    expect(opened.find("figure[data-boxes]")).to_have_count(1)
    detections = darkparse.Detector.load(cfg, weights).detect(image)
    assert {detection.name for detection in detections} <= {"animal", "thing", "cat", "dog", "cow"}
    assert len(detections) > 3
    assert_boxes_equal(opened, 0, detections)


def test_images_work_offline_before_the_first_one(browser: Browser) -> None:
    context = browser.new_context()
    with serve(SITE) as server:
        opened = Opened.open(context, server.url)
        opened.drop(FILES[0])
        wait(opened)
        opened.find("#tab-weights").click()
        opened.page.get_by_role("button", name="Store what images need offline").click()
        expect(opened.find("#panel")).to_contain_text("Images work offline, too")
    opened.drop(FILES[1], SHAPES / "shapes1.jpg")
    expect(opened.find("figure[data-boxes]")).to_have_count(1)
    context.close()


@pytest.mark.skipif(not REAL.is_file(), reason="needs trained models in ../shared/models, which are not published")
def test_boxes_of_trained_model_equal_those_of_detect(opened: Opened) -> None:
    image = REAL.parents[1] / "images" / "dog.png"
    opened.drop(REAL)
    wait(opened)
    opened.drop(REAL.with_suffix(".weights"), image)
    expect(opened.find("figure[data-boxes]")).to_have_count(1)
    detections = darkparse.Detector.load(REAL, REAL.with_suffix(".weights")).detect(image)
    assert len(detections) > 2
    assert_boxes_equal(opened, 0, detections)


def test_damaged_image_reports_error(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    drop_shapes(opened, path)
    expect(opened.find("figcaption.error")).to_contain_text("cut.png: ")


def test_large_network_states_time_and_waits(opened: Opened, tmp_path: Path) -> None:
    text = (
        "[net]\nwidth=608\nheight=608\nchannels=3\n[convolutional]\nfilters=64\nsize=3\npad=1\nactivation=linear\n"
        "[convolutional]\nfilters=64\nsize=3\npad=1\nactivation=linear\n"
    )
    network = darkparse.compile(text)
    weights, image = tmp_path / "large.weights", tmp_path / "1.jpg"
    weights.write_bytes(struct.pack("<iiiq", 0, 2, 5, 0) + bytes(4 * network.stored_floats))
    shutil.copy(SHAPES / "shapes1.jpg", image)
    type_text(opened, text)
    wait(opened)
    opened.drop(weights, image)
    expect(opened.find("#images")).to_contain_text(f"about {math.ceil(network.bflops / 6)} s in the browser")
    expect(opened.page.get_by_role("button", name="Run it")).to_be_visible()
    assert len(opened.page.workers) == 1
