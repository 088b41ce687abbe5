"""The detector on a Ray cluster that you already have: `python examples/detect_with_ray.py CFG WEIGHTS PICTURES OUT`.

A picture that cannot be read comes out with its problem. `darkparse detect … --ray` does this and more: it
checks that the workers fit, and resumes.
"""

import json
import sys
from typing import Any

try:
    import ray.data
except ImportError:
    sys.exit("this example needs Ray Data: pip install 'darkparse[ray]'")

import darkparse
from darkparse.errors import ImageError


class Detect:
    def __init__(self, cfg: str, weights: str) -> None:
        self.detector = darkparse.Detector.load(cfg, weights)  # one model in each worker

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        answers = [self.answer(path, data) for path, data in zip(batch["path"], batch["bytes"], strict=True)]
        return {
            "path": batch["path"],
            "detections": [found for found, _ in answers],
            "problem": [problem for _, problem in answers],
        }

    def answer(self, path: str, data: bytes) -> tuple[str, str]:
        try:
            found = self.detector.detect(data)
        except ImageError as problem:
            return "[]", f"{path}: {problem}"
        return json.dumps([d.to_dict() for d in found]), ""


if __name__ == "__main__":
    cfg, weights, pictures, out = sys.argv[1:]
    data = ray.data.read_binary_files(pictures, include_paths=True)
    workers = ray.data.ActorPoolStrategy(size=2)
    data = data.map_batches(Detect, fn_constructor_args=(cfg, weights), batch_size=8, compute=workers, num_cpus=0.5)
    data.write_parquet(out)
