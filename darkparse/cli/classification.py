"""Accuracy of a classifier as text and as JSON, for `darkparse evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darkparse.cli.common import stdout

if TYPE_CHECKING:
    from rich.table import Table

    from darkparse.evaluation.classification import ClassificationResult

MAX_MATRIX_CLASSES = 20
"""Maximum number of classes for which the confusion matrix is printed; beyond it, the most frequent confusions are."""
NO_LABEL = "(no label)"


def to_dict(result: ClassificationResult, names: tuple[str, ...]) -> dict[str, Any]:
    """Return all numbers as plain values, fractions of 1."""
    return {
        "images": result.images,
        "darknet": None,
        "coco": None,
        "errors": None,
        "classification": {
            "top": result.top,
            "top1": round(result.top1, 6),
            "topk": round(result.topk, 6),
            "unlabeled": result.unlabeled,
            "classes": [
                {
                    "name": name,
                    "images": one.images,
                    "top1": round(one.first / one.images, 6) if one.images else None,
                    "topk": round(one.among_top / one.images, 6) if one.images else None,
                }
                for name, one in zip(names, result.classes, strict=True)
            ],
            "confusion": [
                {"label": _get_name(names, label), "predicted": _get_name(names, predicted), "images": count}
                for (label, predicted), count in sorted(result.confusion.items())
            ],
        },
    }


def _get_name(names: tuple[str, ...], label: int) -> str | None:
    return names[label] if label >= 0 else None


def print_result(result: ClassificationResult, names: tuple[str, ...]) -> None:
    """Print the numbers of `to_dict` as text."""
    console = stdout()
    console.print(_make_class_table(result, names))
    confusion = _make_matrix if len(names) <= MAX_MATRIX_CLASSES else _make_confusion_list
    console.print(confusion(result, names))
    first, among_top = (sum(getattr(c, field) for c in result.classes) for field in ("first", "among_top"))
    console.print(f"top-1 = {result.top1 * 100:6.2f} %  {first:,} of {result.images:,} images")
    if result.top > 1:
        console.print(f"top-{result.top} = {result.topk * 100:6.2f} %  {among_top:,} of {result.images:,} images")


def _make_class_table(result: ClassificationResult, names: tuple[str, ...]) -> Table:
    """Return a table with one row per class that has images."""
    headings = ("class", "images", "top-1", *([f"top-{result.top}"] if result.top > 1 else ()))
    table = _make_table(headings)
    for name, one in zip(names, result.classes, strict=True):
        if one.images:
            hits = (one.first, one.among_top)[: len(headings) - 2]
            table.add_row(name, f"{one.images:,}", *(f"{count / one.images * 100:.2f} %" for count in hits))
    return table


def _make_matrix(result: ClassificationResult, names: tuple[str, ...]) -> Table:
    """Return the confusion matrix, with one row per true class and one column per predicted class."""
    table = _make_table(("true \\ predicted", *names))
    for label, name in enumerate(names):
        counts = (result.confusion.get((label, predicted), 0) for predicted in range(len(names)))
        table.add_row(name, *(f"{count:,}" if count else "·" for count in counts))
    return table


def _make_confusion_list(result: ClassificationResult, names: tuple[str, ...]) -> Table:
    """Return a table of the most frequent wrong predictions."""
    table = _make_table(("true class", "images", "predicted"))
    for label, predicted, count in result.confused[:MAX_MATRIX_CLASSES]:
        table.add_row(_get_name(names, label) or NO_LABEL, f"{count:,}", _get_name(names, predicted) or "–")
    return table


def _make_table(headings: tuple[str, ...]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    return table
