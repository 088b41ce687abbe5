"""The detector on each engine beside that engine called by hand.

    python benchmarks/engines.py CFG WEIGHTS IMAGE [rounds]

Steady state: one image that is ready, through the same graph with the same threads; by hand is the runtime's own call
and nothing behind it. First boxes: whole processes, by hand one that imports the runtime, reads a ready ONNX file and a
picture, and runs it once. They take turns; the least of all rounds is printed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import darkparse
from darkparse.detect.engine import ENGINES

BY_HAND = {
    "onnxruntime": """
session = __import__("onnxruntime").InferenceSession(path)
run = lambda x: session.run(None, {"image": x})
""",
    "openvino": """
run = __import__("openvino").Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
""",
}
FIRST_BY_HAND = """
import sys
import numpy as np
from PIL import Image
path, image, height, width = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
{load}
pixels = np.asarray(Image.open(image).convert("RGB").resize((width, height)), np.float32) / 255
run(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None]))
"""
FIRST = "import sys, darkparse; darkparse.Detector.load(*sys.argv[1:3], engine=sys.argv[4]).detect(sys.argv[3])"
RUNS = 20
"""Of each in a round."""


def main() -> None:
    """Print milliseconds in steady state and seconds to the first boxes."""
    cfg, weights, image = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    steady: dict[str, list[float]] = {}
    whole: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        runners: dict[str, Any] = {}
        commands: dict[str, list[str]] = {}
        for engine in filter(find_spec, ENGINES):
            detector = darkparse.Detector.load(cfg, weights, engine=engine)
            ready, settings = [detector.prepare(image)], darkparse.DetectionSettings()
            runners[engine] = lambda detector=detector, ready=ready, settings=settings: detector.run(ready, settings)
            commands[engine] = [sys.executable, "-c", FIRST, cfg, weights, image, engine]
            if engine in BY_HAND:
                path = str(Path(folder) / f"{engine}.onnx")
                darkparse.to_onnx(detector.network, path, weights=weights, heads="decoded", dynamic_batch=False)
                names: dict[str, Any] = {"path": path}
                exec(BY_HAND[engine], names)
                x = ready[0].values[None]
                runners[f"{engine} by hand"] = lambda run=names["run"], x=x: run(x)
                size = map(str, detector.input_size)
                script = FIRST_BY_HAND.format(load=BY_HAND[engine])
                commands[f"{engine} by hand"] = [sys.executable, "-c", script, path, image, *size]
        for _ in range(rounds):
            for name, run in runners.items():
                for _ in range(RUNS):
                    start = time.perf_counter()
                    run()
                    steady.setdefault(name, []).append(time.perf_counter() - start)
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                whole.setdefault(name, []).append(time.perf_counter() - start)
    print(f"{'':22} {'steady, ms':>12} {'first boxes, s':>16}   {os.cpu_count()} cores, {rounds} rounds")
    for name in runners:
        print(f"{name:22} {1000 * min(steady[name]):12.1f} {min(whole[name]):16.2f}")


if __name__ == "__main__":
    main()
