"""Free memory of the system or container."""

from __future__ import annotations

import os
import re
from pathlib import Path

UNKNOWN = 2**63
MEMINFO = Path("/proc/meminfo")
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Linux control groups, version 2 and version 1: path of the limit, name of the usage file beside it, and key in
`memory.stat` of the file cache that can be reclaimed.
"""


def free_memory() -> int:
    """Return the bytes that the process can still allocate, within the limits of its control group.

    Where the system does not report free memory (macOS), return its total memory; where it reports neither (Windows),
    return `UNKNOWN`.
    """
    return min((_system_memory(), *(_group_memory(Path(limit), *names) for limit, *names in CGROUPS)))


def _system_memory() -> int:
    if (free := _read_number(MEMINFO, r"MemAvailable:\s+(\d+)")) is not None:
        return free * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _group_memory(limit: Path, usage_name: str, cached: str) -> int:
    max_bytes, used = _read_number(limit, r"(\d+)"), _read_number(limit.with_name(usage_name), r"(\d+)")
    if max_bytes is None or used is None:
        return UNKNOWN
    return max(0, max_bytes - used + (_read_number(limit.with_name("memory.stat"), rf"(?m)^{cached} (\d+)") or 0))


def _read_number(file: Path, pattern: str) -> int | None:
    try:
        match = re.search(pattern, file.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return int(match[1]) if match else None
