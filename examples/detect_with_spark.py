"""The detector on Spark: `spark-submit examples/detect_with_spark.py CFG WEIGHTS PICTURES OUT`.

Each task loads the model once and keeps it for all its pictures; the weights are mapped, so that the tasks of a machine
share their pages. A picture that cannot be read comes out with its problem; Spark itself leaves out files of no bytes.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import darkparse
from darkparse.errors import ImageError

try:
    import pandas as pd
    from pyspark.sql import SparkSession
except ImportError:
    sys.exit("this example needs Spark: pip install pyspark pandas pyarrow")


def detecting(cfg: str, weights: str) -> Any:
    """A function for `DataFrame.mapInPandas`: `path` and `content` to `path`, `detections` (JSON) and `problem`."""

    def detect(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        detector = darkparse.Detector.load(cfg, weights)
        for part in parts:
            rows = [
                (path, *answer(detector, path, data)) for path, data in zip(part["path"], part["content"], strict=True)
            ]
            yield pd.DataFrame(rows, columns=["path", "detections", "problem"])

    return detect


def answer(detector: darkparse.Detector, path: str, data: bytes) -> tuple[str | None, str | None]:
    try:
        found = detector.detect(data)
    except ImageError as problem:
        return None, f"{path}: {problem}"
    return json.dumps([d.to_dict() for d in found]), None


def main(cfg: str, weights: str, pictures: str, out: str) -> None:
    spark = SparkSession.builder.getOrCreate()
    files = spark.read.format("binaryFile").load(pictures).select("path", "content")
    files.mapInPandas(detecting(cfg, weights), "path string, detections string, problem string").write.parquet(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
