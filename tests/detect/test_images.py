"""Pictures as people have them: turned, cut off, with odd bands, of several pages, enormous."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
import wave
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

import darkparse
from darkparse.detect import Detector
from darkparse.detect.images import ORIENTATIONS, Pixels, _read_head, apply_orientation, as_image, open_image
from darkparse.errors import DarkparseError, DarkparseWarning, ImageError
from tests.conftest import DATA, SHARED
from tests.detect.reference import TINY, picture, tiny_weights
from tests.detect.test_command import journal, run

CASES = DATA / "images"
NOT_FOLLOWED = 'EXIF orientation "rotated by 90°" was not applied'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    cfg, weights = tiny_weights(tmp_path_factory.mktemp("tiny"))
    return str(cfg), str(weights)


def of_channels(channels: int, folder: Path) -> Detector:
    """A small network that takes so many channels."""
    cfg, weights = TINY.replace("channels=3", f"channels={channels}"), folder / f"{channels}.weights"
    torch.manual_seed(channels)
    darkparse.save_weights(darkparse.build(cfg, initialize=True), weights)
    return Detector.load(cfg, weights)


def noted(pixels: Pixels, orientation: int) -> bytes:
    """A PNG with an EXIF note."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, "png", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 10))
def test_as_image_applies_exif_as_pillow_does(orientation: int) -> None:
    from PIL import ImageOps

    data = noted(picture(3)[:20], orientation)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    followed, stored = (as_image(data, apply_exif=turn) for turn in (True, False))
    assert np.array_equal(followed.pixels, upright)
    assert np.array_equal(stored.pixels, picture(3)[:20])
    assert (followed.orientation, stored.orientation) == (orientation if orientation in ORIENTATIONS else 1, 1)
    assert not followed.warnings
    assert len(stored.warnings) == (orientation in ORIENTATIONS)


@pytest.mark.parametrize(("dialect", "exif", "turns"), [
    ("alexeyab", "auto", True),
    ("alexeyab", "off", False),
    ("pjreddie", "auto", False),
    ("pjreddie", "on", True),
])  # fmt: skip
def test_detect_exif_is_applied_or_warned_about(
    model: tuple[str, str], dialect: str, exif: Literal["auto", "on", "off"], turns: bool
) -> None:
    detector, path = Detector.load(*model, dialect=dialect), CASES / "exif6.jpg"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = detector.detect(path, darkparse.DetectionSettings(exif=exif))
    assert [str(one.message) for one in told] == ([] if turns else [f"{path}: {NOT_FOLLOWED}"])
    assert all(issubclass(one.category, DarkparseWarning) and one.filename == __file__ for one in told)
    upright = (
        np.rot90(open_image(path, apply_exif=False).pixels, -1) if turns else open_image(path, apply_exif=False).pixels
    )
    assert (found.height, found.width) == upright.shape[:2]
    assert list(found) == list(detector.detect(np.ascontiguousarray(upright)))
    assert found.draw().size == (found.width, found.height)
    assert found.to_dict().get("orientation", 1) == (6 if turns else 1)


def test_detect_with_exif_keeps_drawings_and_boxes_in_one_orientation(
    model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, labels, out = tmp_path / "pictures", tmp_path / "labels", tmp_path / "out"
    pictures.mkdir()
    labels.mkdir()
    (pictures / "a.png").write_bytes(noted(picture(3)[:20], 6))
    (labels / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert run("detect", *model, pictures, "--out", out, "--dialect", "alexeyab", "--engine", "torch") == 0
    with Image.open(out / "a.png") as drawing:
        assert drawing.size == (20, picture(3).shape[1])
    assert not capsys.readouterr().err
    files = ("--images", pictures, "--annotations", labels)
    common = (*files, "--rule", "darknet", "--dialect", "alexeyab", "--json", "--engine", "torch")
    assert run("evaluate", *model, *common) == 0
    turned = capsys.readouterr()
    assert run("evaluate", *model, *common, "--exif", "off") == 0
    stored = capsys.readouterr()
    assert turned.out != stored.out
    assert NOT_FOLLOWED in stored.err
    assert not turned.err
    assert run("detect", *model, pictures, "--out", labels, "--save", "voc", "--exif", "off", "--no-images") == 0
    assert run("evaluate", *model, *common) == 0
    assert "a.png: height and width are swapped in the annotation; try --exif on or off" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(
    not (SHARED / "models").is_dir(), reason="needs trained models in ../shared/models, which are not published"
)
def test_trained_network_finds_same_objects_in_rotated_image() -> None:
    path = SHARED / "models" / "yolo-fastest-1.1-xl"
    detector = Detector.load(f"{path}.cfg", f"{path}.weights")
    for file in ("exif6.jpg", "exif6_upright.jpg"):
        assert {"car", "bicycle", "dog"} <= {one.name for one in detector.detect(CASES / file)}


def test_detect_image_of_several_pages_reports_skipped_pages(
    model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.fromarray(picture(n)) for n in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    for path, which in ((CASES / "pages.tif", "2 pages"), (tmp_path / "a.gif", "3 frames")):
        assert run("detect", *model, path, "--engine", "torch") == 0
        assert capsys.readouterr().err.strip() == f"{path}: only the first of {which} is used"


def test_detect_many_warnings_are_summarized(
    model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(noted(picture(number), 6))
    assert run("detect", *model, tmp_path, "--exif", "off", "--engine", "torch") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "… and 2 more"


def made(kind: str, path: Path) -> Path:
    """A picture that cannot be taken as it is."""
    pixels = picture(0)
    if kind == "cut":
        file = io.BytesIO()
        Image.fromarray(pixels).resize((300, 200)).save(file, "jpeg")
        path.write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    elif kind == "float":
        Image.fromarray(pixels[..., 0].astype(np.float32)).save(path, "tiff")
    elif kind == "32 bit":
        Image.fromarray(pixels[..., 0].astype(np.int32) * 70_000).save(path, "tiff")
    else:
        Image.new("1", (14_000, 14_000)).save(path, "png", compress_level=1)
    return path


@pytest.mark.parametrize("kind", ["cut", "float", "32 bit", pytest.param("196 megapixels", marks=pytest.mark.slow)])
def test_detect_unreadable_image_names_file(
    kind: str, model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(kind, tmp_path / "a.img")
    for file in (path, *([CASES / "float.tif"] if kind == "float" else [])):
        with pytest.raises(ImageError, match=f"{file.name}: "):
            Detector.load(*model).detect(file)
        assert run("detect", *model, file, "--engine", "torch") == 1
        told = capsys.readouterr()
        assert told.err.splitlines()[0].startswith(f"{file}: ")
        assert not told.out


@pytest.mark.slow
def test_detect_image_of_90_megapixels_does_not_warn(model: tuple[str, str], tmp_path: Path) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (950, 950, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((9500, 9500), Image.Resampling.NEAREST).save(tmp_path / "a.jpg", quality=50)
    command = [sys.executable, "-W", "always", "-m", "darkparse", "detect", *model, str(tmp_path / "a.jpg")]
    command += ["--engine", "torch"]  # the engine that is selected by default is printed
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout
    assert not told.stderr


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "P", "L", "LA", "RGBA", "I;16", "1"])
def test_open_image_reads_every_mode(mode: str, model: tuple[str, str], tmp_path: Path) -> None:
    pixels, path = picture(0), tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        pixels = np.repeat(pixels[..., :1], 3, axis=2)
    else:
        image = image.convert(mode)
        pixels = np.asarray(image.convert("RGB"))
    image.save(path)
    assert np.array_equal(open_image(path, apply_exif=False).pixels, pixels)
    assert not open_image(path, apply_exif=True).warnings


def test_open_image_of_palette_with_transparency_does_not_warn(tmp_path: Path) -> None:
    image = Image.fromarray(picture(0)).convert("P")
    image.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    assert np.array_equal(open_image(tmp_path / "a.png", apply_exif=False).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("channels", [1, 3, 5, *(pytest.param(c, marks=pytest.mark.slow) for c in (2, 4, 6))])
def test_detector_of_any_channels_accepts_arrays_tensors_and_files(channels: int, tmp_path: Path) -> None:
    detector = of_channels(channels, tmp_path)
    pixels = np.random.RandomState(channels).randint(0, 256, (24, 40, channels)).astype(np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    np.save(tmp_path / "f.npy", pixels / np.float32(255))
    want = detector.detect(pixels, threshold=0.1)
    assert want
    tensor = torch.from_numpy(pixels).movedim(2, 0)
    same: list[Any] = [tensor, tensor / 255, tmp_path / "a.npy", tmp_path / "f.npy", (tmp_path / "a.npy").read_bytes()]
    if channels in (1, 3, 4):
        Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
        same.append(tmp_path / "a.png")
    else:
        tifffile = pytest.importorskip("tifffile")
        if channels > 4:
            tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
            tifffile.imwrite(
                tmp_path / "p.tif", np.moveaxis(pixels, 2, 0), photometric="minisblack", planarconfig="separate"
            )
            same += [tmp_path / "a.tif", tmp_path / "p.tif"]
    for one in same:
        assert list(detector.detect(one, threshold=0.1)) == list(want), one
    for batch in (np.stack([pixels] * 3), torch.stack([tensor] * 3), [pixels] * 3):
        results = detector.detect(list(batch), threshold=0.1), detector.detect(batch, threshold=0.1)
        assert [list(found) for found in results[0]] == [list(want)] * 3
        assert results[1] == results[0]
    assert want.draw(pixels).size == (40, 24)
    assert detector.detect(tmp_path / "a.npy", threshold=0.1).draw().size == (40, 24)
    with pytest.raises(ImageError, match=f"wrong number of image channels, got 7; expected {channels}"):
        detector.detect(np.zeros((8, 8, 7), np.uint8))


def test_detect_with_4_channels_reads_fourth_channel_from_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = (CASES / "ch4.cfg", CASES / "ch4.weights")
    assert run("detect", *model, CASES / "rgbd.png", "--out", tmp_path / "out") == 0
    (found,) = journal(tmp_path / "out").values()
    assert len(capsys.readouterr().out.splitlines()) == len(found)
    pixels = np.asarray(Image.open(CASES / "rgbd.png"))
    assert pixels.shape[2] == 4
    assert [one.to_dict() for one in Detector.load(*model).detect(pixels)] == found


def test_evaluate_with_4_channels_measures_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rgbd.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "rgbd.png").write_bytes((CASES / "rgbd.png").read_bytes())
    model = (CASES / "ch4.cfg", CASES / "ch4.weights")
    assert run("evaluate", *model, "--images", tmp_path, "--annotations", tmp_path, "--rule", "darknet") == 0
    assert "1 image" in capsys.readouterr().out


def test_detect_channels_bgr_swaps_channels(
    model: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector, pixels = Detector.load(*model), picture(0)
    frame = np.ascontiguousarray(pixels[..., ::-1])
    want, bgr = list(detector.detect(pixels)), darkparse.DetectionSettings(channels="bgr")
    assert list(detector.detect(frame, bgr)) == want
    assert list(detector.detect(torch.from_numpy(frame).movedim(2, 0), bgr)) == want
    assert list(detector.detect(Image.fromarray(pixels), bgr)) == want
    with pytest.raises(DarkparseError, match="channels must be one of rgb, bgr, got 'gbr'"):
        detector.detect(frame, darkparse.DetectionSettings(channels="gbr"))  # type: ignore[arg-type]
    np.save(tmp_path / "a.npy", frame)
    assert run("detect", *model, tmp_path / "a.npy", "--channels", "bgr") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(want)


def test_state_dict_script_runs_as_with_any_module() -> None:
    told = subprocess.run([sys.executable, CASES / "state_dict.py"], capture_output=True, text=True, check=True)
    assert told.stdout == "ok\n"


def test_names_of_orientations_state_the_transform() -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    for number, name in ORIENTATIONS.items():
        quarters = int(name.split()[2].removesuffix("°")) // 90 if name.startswith("rotated") else 0
        expected = np.rot90(pixels, -quarters)
        expected = expected[:, ::-1] if name.endswith("mirrored") else expected
        np.testing.assert_array_equal(apply_orientation(pixels, number), expected, name)
    assert list(ORIENTATIONS) == [*range(2, 9)]


def test_open_image_reads_array_from_the_position_of_a_stream() -> None:
    """The size of a file, which limits what it may unpack to, is that of the rest of the stream."""
    pixels, stream = picture(1), io.BytesIO(b"before")
    stream.seek(6)
    np.save(stream, pixels)
    stream.seek(6)
    assert _read_head(stream) == (len(stream.getvalue()) - 6, b"\x93NUMPY\x01\0")
    np.testing.assert_array_equal(open_image(stream, apply_exif=False).pixels, pixels)


def test_video_without_video_track_raises(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs PyAV: pip install 'darkparse[video]'")
    from darkparse.detect.video import Video

    with wave.open(str(tmp_path / "sound.mp4"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(16000))
    with pytest.raises(darkparse.ImageError, match=r"sound.mp4: no video track"):
        Video(tmp_path / "sound.mp4")
