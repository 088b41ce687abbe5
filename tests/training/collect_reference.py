"""Collect a small set of Darknet's training steps, for machines without ../shared.

    python tests/training/collect_reference.py

Writes cfgs/*, numbers.json and schedules.json to tests/data/training. For each network, numbers.json has the layout,
truths, costs, and samples and root mean squares of each delta, gradient and change.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from tests.conftest import DATA, ROOT

SHARED = ROOT.parent / "shared" / "golden-training"
TRAINING = DATA / "training"
SAMPLES, DELTAS = 3, 24
NAMES = """
alexeyab/adam alexeyab/connected_bn alexeyab/cost_masked alexeyab/cost_smooth alexeyab/detection_forced
alexeyab/gaussian_ciou alexeyab/gaussian_left_top alexeyab/gaussian_options alexeyab/learning_rate_scale
alexeyab/region_classfix_soft alexeyab/region_crowded_ab alexeyab/region_early_ab alexeyab/region_focal
alexeyab/region_tree_ab alexeyab/scale_channels alexeyab/softmax_and_cost alexeyab/stopbackward
alexeyab/yolo_ciou_apart alexeyab/yolo_counters_iou alexeyab/yolo_diou_apart alexeyab/yolo_focal
alexeyab/yolo_giou_apart alexeyab/yolo_iou_thresh_kind alexeyab/yolo_label_smooth alexeyab/yolo_max_delta
alexeyab/yolo_new_coords_mse alexeyab/yolo_objectness_smooth alexeyab/yolo_truth_thresh_ab alexeyab/yolo_wrong_class
alexeyab/yolov4_csp_like pjreddie/clip_pj pjreddie/conv_bn pjreddie/cost_l1 pjreddie/detection pjreddie/logistic
pjreddie/region pjreddie/region_background pjreddie/region_early pjreddie/region_tree pjreddie/sgd_subdivisions
pjreddie/softmax_cost pjreddie/softmax_tree pjreddie/stopbackward pjreddie/yolo_crowded pjreddie/yolo_map
pjreddie/yolo_truth_thresh pjreddie/yolo_two_scales
"""
KEPT = ("name", "seed", "batch", "subdivisions", "iterations", "seen", "input", "heads", "truth", "arrays")


def main() -> None:
    """Write cfgs, numbers and schedules."""
    (TRAINING / "cfgs" / "data").mkdir(parents=True, exist_ok=True)
    for path in (SHARED / "data").iterdir():
        (TRAINING / "cfgs" / "data" / path.name).write_bytes(path.read_bytes())
    numbers = {}
    for name in NAMES.split():
        numbers[name] = _network(np.load(SHARED / f"{name}.npz"))
        cfg = f"{name.split('/')[1]}.cfg"
        (TRAINING / "cfgs" / cfg).write_bytes((SHARED / "cfg" / cfg).read_bytes())
    lines = [f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in numbers.items()]
    schedules = json.loads((SHARED / "schedules.json").read_text())
    (TRAINING / "numbers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    (TRAINING / "schedules.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in schedules) + "\n]\n")


def _network(golden: Any) -> dict[str, object]:
    meta = json.loads(str(golden["meta"]))
    deltas = {str(head): golden[f"delta{head}"][0] for head in meta["heads"] if f"delta{head}" in golden}
    return {
        **{key: meta[key] for key in KEPT},
        "truths": _short(golden["truth"]),
        "cost": _short(golden["cost"]),
        "delta": {head: [_some(d, DELTAS) for d in parts] for head, parts in deltas.items()},
        "gradient": [_short(values[:SAMPLES]) for values in golden["gradient_sample"]],
        "gradient_rms": _short(golden["gradient_rms"]),
        "change": [_short(values[:SAMPLES]) for values in golden["change_sample"][-1]],
        "change_rms": _short(golden["change_rms"][-1]),
    }


def _some(values: Any, count: int) -> dict[str, object]:
    """Return the root mean square and the largest values with their positions, because most of a delta is 0."""
    flat = values.ravel().astype(np.float64)
    place = np.argsort(-np.abs(flat), kind="stable")[:count]
    return {
        "size": flat.size,
        "rms": float(f"{np.sqrt(np.mean(flat**2)):.6g}"),
        "sum": float(f"{flat.sum():.7g}"),
        "at": place.tolist(),
        "is": _short(flat[place]),
    }


def _short(values: Any) -> Any:
    """Convert to nested lists of numbers, rounded to the precision of float32."""
    if np.ndim(values):
        return [_short(value) for value in values]
    return float(f"{float(values):.6g}")


if __name__ == "__main__":
    main()
