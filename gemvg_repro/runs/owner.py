"""Which process owns a lock file? Distinguishable from a later one with its number, and from one elsewhere."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil


@dataclass(frozen=True)
class Owner:
    """A process, distinguishable from a later one with its process number and from one on another machine.

    Attributes:
        host: for people; containers and cloned machines share names.
        place: within which a process number identifies a process: a boot of a kernel, and a container.
        started: seconds from the boot to the start of the process; setting the clock does not change it.
        tenure: unique to one acquisition of the lock.
    """

    host: str
    pid: int
    place: str
    started: float
    since: str
    tenure: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def here(self) -> bool:
        """Whether it is in this place, so that `lives` is certain."""
        return self.place == _place()

    @property
    def lives(self) -> bool:
        """Whether the process is known to live: true only for one of this place."""
        try:
            return self.here and abs(_started(self.pid) - self.started) < 0.1
        except (psutil.Error, OSError):
            return False


def _place() -> str:
    try:
        spaces = (os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "time"))
        return " ".join([Path("/proc/sys/kernel/random/boot_id").read_text().strip(), *spaces])
    except OSError:
        return platform.node()  # not Linux


def _started(pid: int) -> float:
    """Seconds from the boot to the start of a process: psutil's own number moves when the clock is set.

    Raises:
        psutil.Error, OSError: there is none, or it is a zombie.
    """
    if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
        raise psutil.ZombieProcess(pid)
    if not Path("/proc/self/stat").exists():
        return float(psutil.Process(pid).create_time())
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()  # proc(5): starttime is the 22nd
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def this_process() -> Owner:
    """This process as an owner, in a tenure of its own."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return Owner(platform.node(), os.getpid(), _place(), _started(os.getpid()), since, uuid4().hex)
