"""Who owns a folder, so that there is never a second writer?"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

import psutil

_held: dict[Path, Lock] = {}
"""The locks of this process: it may take one again (a notebook cell that is run twice), others may not."""


@dataclass(frozen=True)
class Owner:
    """A process, told apart from later ones with the same number by the time it was created at."""

    host: str
    pid: int
    created: float
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def lives(self) -> bool:
        """Whether the process is known to live: true only for one of this host."""
        try:
            return self.host == platform.node() and abs(_created(self.pid) - self.created) < 2
        except psutil.Error:
            return False


class OwnedError(RuntimeError):
    """Somebody else owns the folder."""


class Lock:
    """A lock file held by flock(2), which the system lets go of when its process ends, however it ends."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path = path
        self._file = file

    @classmethod
    def take(cls, path: Path, patience_s: float | None = 0.0) -> Self:
        """Owns the lock file, waiting `patience_s` seconds (None: for ever) for another owner to end.

        Raises:
            OwnedError: naming the owner.
        """
        if (mine := _held.get(path.resolve())) is not None:
            mine.release()
        deadline = time.monotonic() + (patience_s if patience_s is not None else float("inf"))
        file = path.open("a+", encoding="utf-8")
        while not _flock(file, fcntl.LOCK_EX) or _another_lives(file):
            if time.monotonic() >= deadline:
                owner = _read(file)
                file.close()
                raise OwnedError(
                    f"{path.parent} is being written to by {owner or 'another process'}; nothing was changed."
                    " Wait for it, or end it, and run the same command again."
                )
            time.sleep(0.2)
        file.truncate(0)
        file.write(json.dumps(asdict(_myself())))
        file.flush()
        lock = _held[path.resolve()] = cls(path, file)
        return lock

    def release(self) -> None:
        """Gives the lock up; once is enough."""
        if _held.get(self.path.resolve()) is self:
            del _held[self.path.resolve()]
            self._file.truncate(0)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def owner_of(path: Path) -> Owner | None:
    """Who holds this lock file now; None when nobody does. Asking changes nothing."""
    try:
        with path.open(encoding="utf-8") as file:
            if _flock(file, fcntl.LOCK_SH):
                return None
            return _read(file) or Owner(host="unknown host", pid=0, created=0.0, since="just now")
    except FileNotFoundError:
        return None


def _created(pid: int) -> float:
    return float(psutil.Process(pid).create_time())


def _myself() -> Owner:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return Owner(host=platform.node(), pid=os.getpid(), created=_created(os.getpid()), since=since)


def _read(file: IO[str]) -> Owner | None:
    file.seek(0)
    try:
        return Owner(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None  # empty: given up in order; torn: written right now, or its writer was killed


def _another_lives(file: IO[str]) -> bool:
    """For file systems that grant every flock: the owner that the file names may still live."""
    owner = _read(file)
    return owner is not None and owner.lives and owner.pid != os.getpid()


def _flock(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        error.add_note(f"{file.name} cannot be locked; put the runs on a file system that knows flock (--runs DIR)")
        raise
    return True
