"""Atomic writing: after a kill or on a full disk, a file has its old content or its new, never a part."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_LEAST_FREE = 65_536  # bytes: with less than this a disk counts as full, whatever error a library raises


class NotWritten(OSError):
    """A file was not written because the disk is full; its previous content is intact."""


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Turns any error of the block into NotWritten, with sizes, where the disk of `path` is full.

    Args:
        path: the file or folder that the block writes.
        size: its bytes, if known.

    Raises:
        NotWritten: in place of the library's own error; each library raises another one on a full disk.
    """
    try:
        yield
    except NotWritten:
        raise
    except Exception as error:
        free = shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free
        disk_error = isinstance(error, OSError) and error.errno in _FULL
        if not disk_error and free >= max(_LEAST_FREE, size or 0):
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
