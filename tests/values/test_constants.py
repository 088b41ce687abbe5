"""Constants and defaults of each package are those that were decided on; see `tests/values/description.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.values.description import describe_values

PACKAGES = (
    *("datasets", "detect", "evaluation", "export", "layers", "model"),
    *("network", "onnx", "syntax", "training", "transform", "weights"),
)


@pytest.mark.parametrize("package", PACKAGES)
def test_constants_and_defaults_equal_golden_text(package: str, golden: Callable[[str, str], None]) -> None:
    golden(f"values/{package}.txt", describe_values(f"darkparse.{package}"))
