"""Files of results, written from records: JSON, CSV, COCO and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from darkparse._version import __version__
from darkparse.datasets.names import shipped_names
from darkparse.detect.batch.coco import save_coco
from darkparse.detect.batch.labels import save_labels
from darkparse.detect.batch.results import (
    Formatter,
    coco_rows,
    describe_coco_id_problems,
    find_image_id,
    format_records,
    get_coco_categories,
)

Record = dict[str, Any]


def make_record(image: str, *boxes: tuple[float, ...], **members: Any) -> Record:
    """Return the record of an image of 200×100 pixels; boxes are left, top, right and bottom."""
    detections = [
        {
            "class_id": number,
            "name": f"class {number}",
            "score": 0.75,
            "objectness": 0.8,
            "box": [(left + right) / 400, (top + bottom) / 200, (right - left) / 200, (bottom - top) / 100],
            "xyxy": [left, top, right, bottom],
        }
        for number, (left, top, right, bottom) in enumerate(boxes)
    ]
    return {"image": image, "width": 200, "height": 100, "detections": detections, **members}


ONE = make_record("a/7.jpg", (10, 20, 40.33, 90.5), (0, 0, 1, 2))
FRAME = make_record("b.mp4", (1, 2, 3, 4), frame=5)
NOTHING = make_record("ü.jpg")


@pytest.mark.parametrize("records", [[], [NOTHING], [ONE], [NOTHING, ONE, FRAME]], ids=len)
@pytest.mark.parametrize("head", [{}, {"model": "ü"}])
def test_json_is_one_object_of_all_images(records: list[Record], head: Record) -> None:
    text = "".join(format_records(records, Formatter("json", head=head)))
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    members = '"model": "ü", ' if head else ""
    expected = (
        "{" + members + '"images": [' + ",".join(f"\n{line}" for line in lines) + ("\n" if lines else "") + "]}\n"
    )
    assert text == expected
    assert json.loads(text) == {**head, "images": records}


def test_json_lines_have_one_object_each() -> None:
    text = "".join(format_records([NOTHING, ONE], Formatter("jsonl")))
    assert text == f"{json.dumps(NOTHING, ensure_ascii=False)}\n{json.dumps(ONE)}\n"
    assert "".join(format_records([], Formatter("jsonl"))) == ""


def test_csv_has_a_header_and_one_line_per_detection() -> None:
    header = "image,frame,class_id,name,score,objectness,left,top,right,bottom\n"
    quoted = make_record('x,"y".jpg', (1, 2, 3, 4))
    rows = (
        "a/7.jpg,,0,class 0,0.75,0.8,10,20,40.33,90.5\na/7.jpg,,1,class 1,0.75,0.8,0,0,1,2\n"
        'b.mp4,5,0,class 0,0.75,0.8,1,2,3,4\n"x,""y"".jpg",,0,class 0,0.75,0.8,1,2,3,4\n'
    )
    assert "".join(format_records([NOTHING, ONE, FRAME, quoted], Formatter("csv"))) == header + rows
    assert "".join(format_records([], Formatter("csv"))) == header


def test_coco_results_are_boxes_with_width_and_height() -> None:
    text = "".join(format_records([ONE, FRAME, NOTHING], Formatter("coco", categories=(11, 12))))
    assert json.loads(text) == [
        {"image_id": 7, "category_id": 11, "bbox": [10, 20, 30.33, 70.5], "score": 0.75},
        {"image_id": 7, "category_id": 12, "bbox": [0, 0, 1, 2], "score": 0.75},
        {"image_id": "b-5", "category_id": 11, "bbox": [1, 2, 2, 2], "score": 0.75},
    ]
    assert "".join(format_records([], Formatter("coco"))) == "[]\n"
    assert [row["category_id"] for row in coco_rows(ONE, image_id=3)] == [0, 1]
    assert {row["image_id"] for row in coco_rows(ONE, image_id=0)} == {0}
    assert coco_rows(ONE | {"image": None})[0]["image_id"] == ""


@pytest.mark.parametrize(
    ("image", "frame", "image_id"),
    [
        ("val/COCO_val2014_000000000042.jpg", None, 42),
        ("12/dog.jpg", None, "dog"),
        ("12b.jpg", None, "12b"),
        ("a1b2.3.jpg", None, 3),
        ("clip7.mp4", 0, "clip7-0"),
    ],
)
def test_image_id_is_the_number_at_the_end_of_the_name(image: str, frame: int | None, image_id: int | str) -> None:
    assert find_image_id(image, frame) == image_id


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        (["1.jpg", "a/2.jpg"], None),
        (["1.jpg", "a/1.jpg"], "several images have the ID 1"),
        (["dog.jpg", "1.jpg"], "'dog' without a number"),
        (["dog.jpg", "cat.jpg"], "'dog' and 1 more without a number"),
        (["dog.jpg", "cat.jpg", "b.jpg"], "'dog' and 2 more without a number"),
        (["1.jpg", "a1.jpg", "a/dog.jpg", "dog.jpg"], "several images have the ID 1; 'dog' without a number"),
    ],
)
def test_problems_of_coco_ids_are_named(images: list[str], problem: str | None) -> None:
    start = "COCO tools identify images by the number at the end of their names: "
    assert describe_coco_id_problems(images) == (None if problem is None else start + problem)


def test_coco_categories_are_those_of_cocos_classes_alone() -> None:
    names = shipped_names(80)
    assert names is not None
    categories = get_coco_categories(list(names))
    assert categories is not None
    assert dict(zip(names, categories, strict=True))["toothbrush"] == 90
    assert get_coco_categories(names[:-1]) is None


def save_as_coco(records: list[Record], folder: Path) -> Any:
    save_coco(lambda: iter(records), ["cat", "dög"], folder / "coco.json")
    return json.loads((folder / "coco.json").read_text("ascii"))


def test_coco_file_lists_images_boxes_and_classes(tmp_path: Path) -> None:
    images = [str(tmp_path / "set" / name) for name in ("a/7.jpg", "b/8.jpg")]
    document = save_as_coco([ONE | {"image": images[0]}, NOTHING | {"image": images[1]}], tmp_path)
    common = {"image_id": 7, "score": 0.75, "iscrowd": 0, "segmentation": []}
    assert document == {
        "info": {"description": f"darkparse {__version__}"},
        "licenses": [],
        "images": [
            {"id": 7, "file_name": "a/7.jpg", "width": 200, "height": 100},
            {"id": 8, "file_name": "b/8.jpg", "width": 200, "height": 100},
        ],
        "annotations": [
            {"id": 1, "category_id": 0, "bbox": [10, 20, 30.33, 70.5], "area": 2138.26, **common},
            {"id": 2, "category_id": 1, "bbox": [0, 0, 1, 2], "area": 2, **common},
        ],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dög"}],
    }


@pytest.mark.parametrize(
    ("images", "ids", "names"),
    [
        (["x/3.jpg", "x/5.jpg"], [3, 5], ["3.jpg", "5.jpg"]),
        (["x/3.jpg", "y/3.jpg"], [1, 2], ["x/3.jpg", "y/3.jpg"]),
        (["x/3.jpg", "x/dog.jpg"], [1, 2], ["3.jpg", "dog.jpg"]),
        (["https://host/3.jpg", "x/4.jpg"], [3, 4], ["https://host/3.jpg", "x/4.jpg"]),
        ([], [], []),
    ],
)
def test_coco_file_numbers_images_and_names_them_from_their_common_directory(
    images: list[str], ids: list[int], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    document = save_as_coco([NOTHING | {"image": image} for image in images], tmp_path)
    assert [image["id"] for image in document["images"]] == ids
    assert [image["file_name"] for image in document["images"]] == names


def test_coco_file_of_video_has_an_image_for_each_frame(tmp_path: Path) -> None:
    document = save_as_coco([FRAME, FRAME | {"frame": 6}], tmp_path)
    assert [(image["id"], image["frame"]) for image in document["images"]] == [(1, 5), (2, 6)]
    assert [row["image_id"] for row in document["annotations"]] == [1, 2]


VOC = """<annotation>
  <filename>7.jpg</filename>
  <size>
    <width>200</width>
    <height>100</height>
    <depth>3</depth>
  </size>
  <object>
    <name>class 0</name>
    <difficult>0</difficult>
    <score>0.75</score>
    <bndbox>
      <xmin>11</xmin>
      <ymin>21</ymin>
      <xmax>41</xmax>
      <ymax>91</ymax>
    </bndbox>
  </object>
</annotation>
"""


def test_voc_labels_count_pixels_from_1(tmp_path: Path) -> None:
    record = make_record(str(tmp_path / "7.jpg"), (10, 20, 40.33, 90.4))
    for _ in range(2):  # the second run finds the directory
        save_labels(lambda: iter([record]), "voc", tmp_path / "out" / "new")
    assert (tmp_path / "out" / "new" / "7.xml").read_text("utf-8") == VOC


@pytest.mark.parametrize(
    ("box", "line"),
    [
        ((0, 0, 200, 100), "0.5000 0.5000 1.0000 1.0000"),
        ((150, 50, 250, 150), "1.0000 1.0000 0.5000 1.0000"),  # Darknet's reader accepts a center on the edge
        ((150, 50, 252, 150), "0.8750 0.7500 0.2500 0.5000"),
        ((150, 60, 250, 142), "0.8750 0.8000 0.2500 0.4000"),
        ((-20, 20, 180, 60), "0.4000 0.4000 1.0000 0.4000"),
        ((20, -20, 60, 80), "0.2000 0.3000 0.2000 1.0000"),
        ((-50, 20, 50, 60), "0.1250 0.4000 0.2500 0.4000"),
        ((20, -30, 60, 30), "0.2000 0.1500 0.2000 0.3000"),
        ((-1, 20, 201, 60), "0.5000 0.4000 1.0000 0.4000"),
        ((20, -1, 60, 101), "0.2000 0.5000 0.2000 1.0000"),
        ((20, 30, 20.01, 30), "0.1000 0.3000 0.0001 0.0001"),
    ],
)
def test_yolo_labels_are_clipped_where_darknet_rejects_them(box: Any, line: str, tmp_path: Path) -> None:
    record = make_record(str(tmp_path / "a.jpg"), box)
    left, top, right, bottom = box
    record["detections"][0]["xyxy"] = [max(left, 0), max(top, 0), min(right, 200), min(bottom, 100)]
    save_labels(lambda: iter([record]), "yolo", tmp_path)
    assert (tmp_path / "a.txt").read_text("utf-8") == f"0 {line}\n"


def test_labels_lie_beside_drawings_or_as_the_images_do(tmp_path: Path) -> None:
    images = [str(tmp_path / "set" / name) for name in ("a/1.jpg", "b/2.jpg", "3.jpg")]
    records = [NOTHING | {"image": image} for image in images]
    records += [NOTHING | {"drawing": "d/4.png"}, FRAME | {"drawing": "5.mp4", "frame": 1234567}]
    out = tmp_path / "out"
    save_labels(lambda: iter(records), "yolo", out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {"a/1.txt", "b/2.txt", "3.txt", "d/4.txt", "5_1234567.txt"}
