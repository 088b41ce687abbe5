"""Constants and defaults of the package are those that were decided on; see `tests/values.py`."""

from __future__ import annotations

from collections.abc import Callable

from tests.values import describe_values


def test_constants_and_defaults_equal_golden_text(golden: Callable[[str, str], None]) -> None:
    golden("values/transform.txt", describe_values("darkparse.transform"))
