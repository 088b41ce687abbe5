"""Errors by kind as text and as JSON, for `darkparse evaluate --errors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from darkparse.cli.common import stdout

if TYPE_CHECKING:
    from darkparse.evaluation.error_analysis import ErrorAnalysis


def to_dict(analysis: ErrorAnalysis) -> dict[str, Any]:
    """Return the count of each kind of error and the average precision that it costs, as a fraction of 1."""
    costs = analysis.compute_costs()
    return {
        "score_threshold": analysis.score_threshold,
        "iou": analysis.matches.iou,
        "kinds": [
            {"kind": str(kind), "count": count, "ap_cost": round(costs[kind], 6)}
            for kind, count in analysis.counts.items()
        ],
    }


def print_errors(analysis: ErrorAnalysis) -> None:
    """Print the numbers of `to_dict` as a table, with their sums."""
    from rich import box
    from rich.table import Table

    from darkparse.evaluation.error_analysis import MEANINGS, ErrorKind

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for heading in ("error", "count", "mAP cost", "meaning"):
        table.add_column(heading, justify="right" if heading in ("count", "mAP cost") else "left")
    costs, counts = analysis.compute_costs(), analysis.counts
    for kind, count in counts.items():
        table.add_row(kind, f"{count:,}", f"{costs[kind] * 100:.2f} %", MEANINGS[kind])
    missed = counts[ErrorKind.MISSED]
    console = stdout()
    console.print(f"errors with a score over {analysis.score_threshold:g}", style="bold")
    console.print(table)
    console.print(f"sum: FP {sum(counts.values()) - missed:,}, FN {missed:,}")
