"""Notebook output of detections: the image with its boxes, and a table."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from darkparse.detect.detection import Detection

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_SIDE = 800
"""Maximum side of the image in pixels; the notebook file stores it."""
MAX_ROWS = 50


def to_html(detections: Sequence[Detection], image: PillowImage | None) -> str:
    """Return HTML with an image, if given, and a table of the best detections."""
    head = "".join(f"<th>{name}</th>" for name in ("class", "score", "left", "top", "right", "bottom"))
    rows = [
        f"<tr><td>{escape(d.name)}</td><td>{d.score:.3f}</td>" + "".join(f"<td>{x:.1f}</td>" for x in d.xyxy) + "</tr>"
        for d in detections[:MAX_ROWS]
    ]
    more = f"<p>… and {len(detections) - MAX_ROWS} more</p>" if len(detections) > MAX_ROWS else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"{_to_img(image) if image else ''}{table if rows else '<p>no detections</p>'}{more}"


def _to_img(image: PillowImage) -> str:
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    file = io.BytesIO()
    image.save(file, "png")
    content = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="image with boxes" src="data:image/png;base64,{content}">'
