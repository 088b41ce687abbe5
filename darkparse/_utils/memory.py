"""How much memory is free."""

from __future__ import annotations

import os
import re
from pathlib import Path

UNKNOWN = 2**63
SYSTEM = Path("/proc/meminfo")
GROUPS = (
    ("/sys/fs/cgroup/memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Linux's control groups, second and first version: what a container may take, what it has taken, and what of that are
pages of files that go first."""


def free_memory() -> int:
    """Bytes that a process can still take: what the system says, within what its control group may have. Where no
    system says what is free (macOS) what there is; the largest number where it tells nothing (Windows)."""
    return min((_of_system(), *(_of_group(Path(limit), *names) for limit, *names in GROUPS)))


def _of_system() -> int:
    if (free := _number(SYSTEM, r"MemAvailable:\s+(\d+)")) is not None:
        return free * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _of_group(limit: Path, taken: str, cached: str) -> int:
    most, used = _number(limit, r"(\d+)"), _number(limit.with_name(taken), r"(\d+)")
    if most is None or used is None:
        return UNKNOWN
    return max(0, most - used + (_number(limit.with_name("memory.stat"), rf"(?m)^{cached} (\d+)") or 0))


def _number(file: Path, pattern: str) -> int | None:
    try:
        found = re.search(pattern, file.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return int(found[1]) if found else None
