"""Who executes a run's notebook now? One process at a time, whether a launcher started it or a person."""

from __future__ import annotations

import time
from collections.abc import Callable

from .layout import JobFiles
from .ownership import Lock, Owner, owner_of


def current_owner(files: JobFiles) -> Owner | None:
    """The process that executes a run's notebook now, on this machine or another; None if none does."""
    owners = (owner_of(lock) for lock in (files.owner_lock, files.lock))
    return next((owner for owner in owners if owner is not None), None)


def take_job(files: JobFiles, on_wait: Callable[[Owner], None]) -> Lock:
    """Owns the executions of a run's notebook, after whoever executes it now, who is told to `on_wait`."""
    files.folder.mkdir(parents=True, exist_ok=True)
    if (owner := current_owner(files)) is not None:
        on_wait(owner)
    lock = Lock.take(files.lock, patience_s=None)
    try:
        files.stop.unlink(missing_ok=True)
        while owner_of(files.owner_lock) is not None:
            time.sleep(0.5)  # for a notebook that a person executes, or for the kernel of a killed one
    except BaseException:
        lock.release()
        raise
    return lock
