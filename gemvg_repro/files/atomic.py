"""Atomic writing: after a kill or on a full disk, a file has its old content or its new, never a part."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_LEAST_FREE = 65_536  # bytes: with less than this a disk counts as full, whatever error a library raises


class NotWritten(OSError):
    """A file was not written: the disk is full, or a quota or limit reached. Its previous content is intact."""


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
    except Exception as error:
        if isinstance(error, NotWritten) and size is None:
            raise  # it says which file of `path`, and its size
        free = shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free
        why = _why_full(error)
        if why is None and free >= max(_LEAST_FREE, size or 0):
            raise
        takes = f"it takes {size:,} bytes" if size is not None else "it takes more than there is"
        raise NotWritten(
            f"{path} was not written: {why or 'the disk is full'}; {takes}, and {free:,} are free there. What was there"
            " before is whole: free some room, and the same command goes on"
        ) from error


def _why_full(error: BaseException) -> str | None:
    """Why no more could be written, by the errors of Python, of Rust's libraries and of torch; None: another error.

    safetensors says "(os error 27)"; torch's writer keeps the reason to itself.
    """
    number = error.errno if isinstance(error, OSError) else None
    if match := re.search(r"\(os error (\d+)\)", str(error)):
        number = int(match[1])
    if number in _FULL:
        return os.strerror(number)
    if isinstance(error, RuntimeError) and re.search("PytorchStreamWriter failed writing|iostream error", str(error)):
        return "torch could not write it all"
    cause = error.__cause__ or error.__context__
    return None if cause is None else _why_full(cause)


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
