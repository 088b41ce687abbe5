"""COCO's twelve metrics, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from typing import Any

from darkparse.datasets.annotations import Annotations, ImageAnnotation
from darkparse.detect.batch.results import coco_rows
from darkparse.detect.detections import Detections
from darkparse.errors import DarkparseError

COCO_METRICS = (
    ("AP", "IoU .50 to .95"),
    ("AP50", "IoU .50"),
    ("AP75", "IoU .75"),
    ("AP small", "objects up to 32² pixels"),
    ("AP medium", "32² to 96² pixels"),
    ("AP large", "from 96² pixels"),
    ("AR1", "1 detection per image"),
    ("AR10", "10 detections"),
    ("AR100", "100 detections"),
    ("AR small", "objects up to 32² pixels"),
    ("AR medium", "32² to 96² pixels"),
    ("AR large", "from 96² pixels"),
)
"""COCO's twelve metrics, with descriptions."""


def coco_map(
    annotations: Annotations,
    pairs: Sequence[tuple[ImageAnnotation, Detections]],
    *,
    selected: Sequence[int] | None = None,
) -> dict[str, float]:
    """Compute COCO's twelve metrics with pycocotools.

    Args:
        annotations: All images and their objects.
        pairs: The evaluated images, each with its detections.
        selected: Classes to evaluate; by default all.

    Raises:
        DarkparseError: pycocotools is missing.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise DarkparseError("COCO's metrics require pycocotools\nhint: pip install 'darkparse[evaluate]'") from None
    rows = [
        row
        for truth, detections in pairs
        for row in coco_rows(detections.to_dict(), image_id=truth.image_id, categories=annotations.categories)
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truths = COCO()
        truths.dataset = (
            _to_coco(annotations) if annotations.coco is None else json.loads(annotations.coco.read_text("utf-8"))
        )
        for number, annotation in enumerate(truths.dataset["annotations"], start=1):
            # pycocotools requires these fields, but not every program writes them.
            annotation.setdefault("id", number)
            annotation.setdefault("iscrowd", 0)
            annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
        truths.createIndex()
        if not rows:
            return dict.fromkeys((name for name, _ in COCO_METRICS), 0.0)
        evaluation = COCOeval(truths, truths.loadRes(rows), "bbox")
        evaluation.params.imgIds = [truth.image_id for truth, _ in pairs]
        categories = set(annotations.categories)
        if selected is not None:
            categories = {annotations.categories[i] for i in selected}
        evaluation.params.catIds = [category for category in evaluation.params.catIds if category in categories]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for (name, _), value in zip(COCO_METRICS, evaluation.stats, strict=True)}


def _to_coco(annotations: Annotations) -> dict[str, Any]:
    """Convert annotations of another format to a COCO dataset."""
    objects: list[dict[str, Any]] = []
    for truth in annotations.truths:
        for box, label, ignored in zip(
            truth.bboxes.tolist(), truth.classes.tolist(), truth.ignored.tolist(), strict=True
        ):
            annotation = {
                "id": len(objects) + 1,
                "image_id": truth.image_id,
                "category_id": annotations.categories[label],
            }
            objects.append(annotation | {"bbox": box, "area": box[2] * box[3], "iscrowd": int(ignored)})
    images = [{"id": t.image_id, "height": t.size[0], "width": t.size[1]} for t in annotations.truths]
    return {
        "images": images,
        "annotations": objects,
        "categories": [{"id": c, "name": str(c)} for c in annotations.categories],
    }
