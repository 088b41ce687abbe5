"""Average precision as text and as JSON, for `darkparse evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darkparse.cli.common import stdout

if TYPE_CHECKING:
    from rich.table import Table

    from darkparse.evaluation.average_precision import Counts, DarknetResult, Rule

RULES: tuple[tuple[Rule, str, str], ...] = (
    ("area", "area", "area under the curve"),
    ("points11", "11", "11 points"),
    ("points101", "101", "101 points"),
)
"""Rules of average precision: field of `ClassResult`, short name and description."""


def to_dict(
    darknet: DarknetResult | None, coco: dict[str, float] | None, names: tuple[str, ...], images: int
) -> dict[str, Any]:
    """Return all numbers as plain values, fractions of 1; None for rules that were not applied.

    Args:
        darknet: Result by Darknet's rules.
        coco: COCO's metrics by name.
        names: Name of each class in `darknet`.
        images: Number of images.
    """
    numbers: dict[str, Any] = {"images": images, "darknet": None, "coco": None, "classification": None}
    if darknet is not None:
        classes = [
            {
                "name": name,
                "objects": result.darknet.objects,
                "true_positives": result.darknet.true_positives,
                "false_positives": result.darknet.false_positives,
                "by_score": {
                    "true_positives": result.by_score.true_positives,
                    "false_positives": result.by_score.false_positives,
                },
                **{f"ap_{short}": round(getattr(result, rule), 6) for rule, short, _ in RULES},
            }
            for name, result in zip(names, darknet.classes, strict=True)
        ]
        numbers["darknet"] = {
            "iou": darknet.iou,
            **{f"map_{short}": round(darknet.mean_ap(rule), 6) for rule, short, _ in RULES},
            "score_threshold": darknet.score_threshold,
            **_count_values(darknet.darknet),
            "by_score": _count_values(darknet.by_score),
            "classes": classes,
        }
    if coco is not None:
        # pycocotools returns -1 where there is no such object.
        numbers["coco"] = {
            name.replace(" ", "_"): round(value, 6) if value >= 0 else None for name, value in coco.items()
        }
    return numbers


def _count_values(counts: Counts) -> dict[str, Any]:
    return {
        "true_positives": counts.true_positives,
        "false_positives": counts.false_positives,
        "false_negatives": counts.false_negatives,
        "precision": round(counts.precision, 6),
        "recall": round(counts.recall, 6),
        "f1": round(counts.f1, 6),
        "mean_iou": round(counts.mean_iou, 6),
    }


def print_result(
    darknet: DarknetResult | None, coco: dict[str, float] | None, names: tuple[str, ...], images: int
) -> None:
    """Print the numbers of `to_dict` as text."""
    from darkparse.evaluation.coco import COCO_METRICS

    console = stdout()
    if darknet is not None:
        console.print(_make_class_table(darknet, names))
        for rule, _, description in RULES:
            mean, occurring = (darknet.mean_ap(rule, occurring=only) * 100 for only in (False, True))
            console.print(
                f"mAP@{darknet.iou:.2f} = {mean:6.2f} %  {description}{_format_occurring(darknet, occurring)}"
            )
        console.print(f"detections with a score over {darknet.score_threshold:g}", style="bold")
        console.print(f"as Darknet counts  {_format_counts(darknet.darknet)}")
        console.print(f"by score           {_format_counts(darknet.by_score)}")
    if coco is not None:
        console.print("COCO metrics", style="bold")
        for name, meaning in COCO_METRICS:
            value = f"{coco[name] * 100:6.2f} %" if coco[name] >= 0 else "     –  "  # -1 means no such object
            console.print(f"{name:<10} {value}  {meaning}")
    console.print(f"{images} images", style="dim")


def _format_counts(counts: Counts) -> str:
    return (
        f"TP {counts.true_positives:,}, FP {counts.false_positives:,}, FN {counts.false_negatives:,}, "
        f"precision {counts.precision:.2f}, recall {counts.recall:.2f}, F1 {counts.f1:.2f}, "
        f"mean IoU {counts.mean_iou * 100:.2f} %"
    )


def _format_occurring(result: DarknetResult, mean: float) -> str:
    """Return text with the mean over the classes that occur, unless all do; Darknet's mean is over all classes."""
    some = sum(c.darknet.objects > 0 for c in result.classes)
    if some == len(result.classes):
        return ""
    return f"; {mean:.2f} % over the {some} of {len(result.classes)} classes that occur"


def _make_class_table(result: DarknetResult, names: tuple[str, ...]) -> Table:
    """Return a table with one row per class that occurs in the images or was detected."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    headings = ("class", "objects", "TP", "FP", "TP by score", "FP by score", *(f"AP {short}" for _, short, _ in RULES))
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, one in zip(names, result.classes, strict=True):
        if one.occurs:
            counts = [one.darknet.objects]
            for way in (one.darknet, one.by_score):
                counts += [way.true_positives, way.false_positives]
            averages = (f"{getattr(one, rule) * 100:.2f} %" for rule, _, _ in RULES)
            table.add_row(name, *(f"{count:,}" for count in counts), *averages)
    return table
