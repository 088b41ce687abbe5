"""Random seeds."""

from __future__ import annotations

from darkparse.errors import DarkparseError

MAX_SEED = 2**63 - 1
"""Maximum seed that both torch and numpy support."""


def check_seed(seed: int) -> None:
    """Raise DarkparseError for a seed that the random number generators do not support."""
    if not 0 <= seed <= MAX_SEED:
        raise DarkparseError(f"seed is out of range, got {seed}; expected 0 to {MAX_SEED}")
