"""Which process owns a folder? A lock file with flock(2) and a heartbeat, so that there is never a second writer.

Both, since neither is enough on every file system. The system releases a flock when its process ends, however it ends;
but some network file systems grant it to several machines at once, and others keep it for a machine that is dead. An
owner also touches its lock file every BEAT_S seconds. A process that wants the lock of an owner on another machine or
in another container watches the file for SILENCE_S seconds of its own clock, and takes the lock only if there was no
heartbeat meanwhile; no two clocks are ever compared for that.

An owner without a heartbeat for so long that lives after all (its machine slept) has lost the folder: `check` raises
before its next write.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from random import random
from typing import IO, Literal, Self

from ..files.file_system import NETWORK, file_system
from .layout import JobFiles
from .owner import Owner, this_process

BEAT_S = 5.0
SILENCE_S = 60.0
"""Long enough for an owner whose interpreter is held up by a long call, or its file system by a slow server."""

_held: dict[Path, Lock] = {}
"""The locks of this process: it may take one again (a notebook cell that is run twice), others may not."""


class OwnedError(RuntimeError):
    """Somebody else owns the folder."""


class Lock:
    """A lock file that this process holds: by flock, by its name in the file, and by a heartbeat."""

    def __init__(self, path: Path, file: IO[str], owner: Owner) -> None:
        self.path = path
        self._file = file
        self._owner = owner

    @classmethod
    def take(cls, path: Path, patience_s: float | None = 0.0, silence_s: float = SILENCE_S) -> Self:
        """Owns the lock file, waiting `patience_s` seconds (None: for ever) for another owner to end.

        An owner elsewhere, which may be dead, is watched for up to `silence_s` seconds, whatever the patience.

        Raises:
            OwnedError: naming the owner.
        """
        if (mine := _held.get(path.resolve())) is not None:
            mine.release()
        deadline = time.monotonic() + (patience_s if patience_s is not None else float("inf"))
        watch = _Watch(path, silence_s)
        while True:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="utf-8")
            granted, owner = _flock(file, fcntl.LOCK_EX), _read(file)
            sign = watch.look()
            foreign = owner is not None and not owner.here
            free = owner is None or (sign == "silent" or _is_local(path) if foreign else not owner.lives)
            if granted and free and (lock := cls._begin(path, file)) is not None:
                return lock
            file.close()
            if not granted and owner is not None and foreign and sign == "silent" and not _is_local(path):
                _remove(path, owner)
            elif time.monotonic() >= deadline and not (foreign and sign == "undecided"):
                raise OwnedError(
                    f"{path.parent} is being written to by {owner or 'another process'}; nothing was changed."
                    " Wait for it, or end it, and run the same command again."
                )
            time.sleep(min(0.2, silence_s / 5))

    @classmethod
    def _begin(cls, path: Path, file: IO[str]) -> Self | None:
        """Writes this process into the file; None if another did so at the same time, since flock let both."""
        lock = cls(path, file, this_process())
        file.seek(0)
        file.write(json.dumps(asdict(lock._owner)))
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
        if not _is_local(path):
            time.sleep(1 + random())  # whoever read the file when it was free has written by then: the last one stays
        if not lock.holds:
            return None
        _held[path.resolve()] = lock
        _start_heartbeat()
        return lock

    @property
    def holds(self) -> bool:
        """Whether the file at the path still names this acquisition."""
        with suppress(OSError, ValueError, TypeError), self.path.open(encoding="utf-8") as now:
            return Owner(**json.loads(now.read())).tenure == self._owner.tenure
        return False

    def check(self) -> None:
        """Called before a write.

        Raises:
            OwnedError: the lock was lost, since this process was silent for too long; or somebody removed it.
        """
        if not self.holds:
            with suppress(OSError), self.path.open(encoding="utf-8") as now:
                raise OwnedError(
                    f"{self.path.parent} is no longer this process's, which had no heartbeat for {SILENCE_S:.0f} s or"
                    f" more: {_read(now) or 'nobody'} has it. Nothing more is written; what was done is kept"
                )
            raise OwnedError(f"{self.path} was removed while this process wrote to the folder; give the command again")

    def beat(self) -> None:
        """Writes one heartbeat: touches the file."""
        with suppress(OSError, ValueError):
            os.utime(self._file.fileno())

    def release(self) -> None:
        """Releases the lock; a second call does nothing."""
        if _held.get(self.path.resolve()) is self:
            del _held[self.path.resolve()]
            if self.holds:
                self._file.truncate(0)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class _Watch:
    """Watches a lock file for heartbeats, by this process's own clock."""

    def __init__(self, path: Path, silence_s: float) -> None:
        self._path = path
        self._silence_s = silence_s
        self._seen: tuple[int, int] | None = None
        self._moved = False
        self._since = time.monotonic()

    def look(self) -> Literal["beats", "silent", "undecided"]:
        """Whether there was a heartbeat, or none for `silence_s` seconds; undecided while it is too early."""
        try:
            with self._path.open("rb") as file:  # opened anew: only so does NFS ask its server
                status = os.fstat(file.fileno())
        except FileNotFoundError:
            return "undecided"
        seen = status.st_ino, status.st_mtime_ns
        if seen != self._seen:
            self._moved = self._seen is not None
            self._seen, self._since = seen, time.monotonic()
        if time.monotonic() - self._since >= self._silence_s:
            return "silent"
        return "beats" if self._moved else "undecided"


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


def owner_of(path: Path) -> Owner | None:
    """The owner that holds this lock file now, or None; nothing is changed, and nothing is waited for.

    Of an owner on another machine, which flock does not show, the age of the last heartbeat decides, by the clock of
    the file system, which may be minutes off ours; it is no reason to take its lock.
    """
    try:
        with path.open(encoding="utf-8") as file:
            granted, owner = _flock(file, fcntl.LOCK_SH), _read(file)
            heartbeat = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    if not granted:
        return owner or Owner("unknown host", 0, "", 0.0, "just now", "")
    if owner is None:
        return None
    if owner.here:
        return owner if owner.lives else None
    return None if _is_local(path) or abs(_file_system_time(path.parent) - heartbeat) > SILENCE_S else owner


def _file_system_time(folder: Path) -> float:
    """Now, by the clock that dates the files of a folder: a server's, on a network file system."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # it may be read, and not written to
        return time.time()


def _start_heartbeat() -> None:
    """Starts this process's heartbeat thread, once; a process forked from it needs one of its own."""
    global _heartbeat_pid
    if _heartbeat_pid != os.getpid():
        _heartbeat_pid = os.getpid()
        threading.Thread(target=_beat, name="lock-heartbeat", daemon=True).start()


_heartbeat_pid: int | None = None


def _beat() -> None:
    while True:
        time.sleep(BEAT_S)
        for lock in list(_held.values()):
            lock.beat()


def _remove(path: Path, dead: Owner) -> None:
    """Removes a lock file that the server of the file system keeps locked for a machine that is dead."""
    with suppress(OSError), path.open(encoding="utf-8") as file:
        if _read(file) == dead:  # and not that of somebody who was quicker
            path.unlink()


def _is_local(path: Path) -> bool:
    """Whether the file is on a disk of this machine, where flock is reliable."""
    kind = file_system(path.parent)
    return kind != "unknown" and not kind.startswith(NETWORK)


@cache
def _read(file: IO[str]) -> Owner | None:
    file.seek(0)
    try:
        return Owner(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None  # empty: released in order; torn: being written, or its writer was killed


def _flock(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        error.add_note(f"{file.name} cannot be locked; put the runs on a file system that knows flock (--runs DIR)")
        raise
    return True
