"""What is the SHA-256 of a file's content? Each file is read once in a process."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

SETTLED_S = 2.0
"""The coarsest time of change that file systems keep (FAT's). A file that changed within this time may change again
without a sign of it, and is not remembered (git's "racily clean" entries)."""

_digests: dict[tuple[Path, int, int], str] = {}


def sha256(file: Path) -> str:
    """The hash as 64 hex digits, remembered by absolute path, size and time of change.

    Raises:
        OSError: the file cannot be read.
    """
    status = file.stat()
    key = (file.absolute(), status.st_size, status.st_mtime_ns)
    if key not in _digests:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if time.time() - status.st_mtime > SETTLED_S:
            _digests[key] = digest
        return digest
    return _digests[key]
