"""How is a file written so that a kill or a full disk costs nothing that was there?"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_ROOM = 65_536  # bytes: with less than this a disk is full, whatever a library says of its error


class NotWritten(OSError):
    """A file was not written, for want of room; what was there before is whole."""


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """While something is written to `path`, a file or a folder: a full disk is told with what that takes.

    Args:
        path: what is written.
        size: how many bytes it takes, if that is known.

    Raises:
        NotWritten: in place of whatever error the disk's being full had brought about: each library has its own.
    """
    try:
        yield
    except NotWritten:
        raise
    except Exception as error:
        free = shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free
        told = isinstance(error, OSError) and error.errno in _FULL
        if not told and free >= max(_ROOM, size or 0):
            raise
        why = error.strerror if isinstance(error, OSError) and error.strerror else "the disk is full"
        takes = f"it takes {size:,} bytes" if size is not None else "it takes more than there is"
        raise NotWritten(
            f"{path} was not written: {why}; {takes}, and {free:,} are free there. What was there before is whole:"
            " free some room, and the same command goes on"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file as a whole: whoever reads it, even after a crash, finds the old content or the new.

    Raises:
        NotWritten: the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path, len(content)):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a crash of the machine may forget the new name
    finally:
        os.close(folder)
