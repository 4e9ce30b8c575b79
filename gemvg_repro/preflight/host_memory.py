"""How much memory can this process still take on its machine, within the limits of its cgroups?

A Slurm job or a container sees all of a machine's memory, and is killed at the limit of its own cgroup.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

_FILES = {
    "cgroup2": ("memory.max", "memory.current", "inactive_file"),
    "cgroup": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""By version: the limit, what is used, and of it in memory.stat the cache of files, which the kernel gives up."""


def available_memory(membership: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes: the least that the machine and each cgroup that this process is in has left."""
    return min([float(psutil.virtual_memory().available), *_left(membership, mounted)])


def _left(membership: Path, mounted: Path) -> Iterator[float]:
    """What the limits of each cgroup with one leave."""
    for line in membership.read_text().splitlines() if membership.is_file() else []:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            version, root = "cgroup2", mounted
        elif "memory" in controllers.split(","):
            version, root = "cgroup", mounted / "memory"
        else:
            continue
        folder = root / path.lstrip("/")
        for each in (folder, *folder.parents):
            if each.is_relative_to(root):
                yield from _left_in(each, *_FILES[version])


def _left_in(folder: Path, limit: str, used: str, cache: str) -> Iterator[float]:
    try:
        most, taken = (folder / limit).read_text().strip(), int((folder / used).read_text())
        entries = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:  # the root of version 2 has no limit; a container does not see the cgroups above its own
        return
    if most != "max":
        yield float(int(most) - taken + int(entries.get(cache, 0)))
