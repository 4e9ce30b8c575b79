"""Is a checkpoint what was saved? SHA-256 of every file of it, beside them, as `sha256sum` writes and checks it."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUMS = "SHA256SUMS"


class AlteredCheckpoint(ValueError):
    """A file of a checkpoint is missing, was altered, or is not wholly there."""


def write_sums(folder: Path) -> None:
    """Writes SUMS for all files in the folder (not in folders below)."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS)
    (folder / SUMS).write_text("".join(f"{_sha256(path)}  {path.name}\n" for path in files), "utf-8")


def check_sums(folder: Path) -> None:
    """Compares every file that SUMS names, all weights among them; a folder without SUMS, of others, passes.

    Raises:
        AlteredCheckpoint: naming the file, and what to do.
    """
    if not (folder / SUMS).is_file():
        return
    lines = [line.partition("  ") for line in (folder / SUMS).read_text("utf-8", "replace").splitlines()]
    expected = dict.fromkeys((path.name for path in folder.glob("*.safetensors")), "nothing")
    expected |= {Path(name).name: digest for digest, _, name in lines}  # never outside of the folder
    for name, digest in expected.items():
        path = folder / name
        found = _sha256(path) if path.is_file() else "missing"
        if found != digest:
            raise AlteredCheckpoint(
                f"{path} is not the file that was saved: {SUMS} says {digest[:12]}, its sha256 is {found[:12]}. "
                "It was altered, or only half of it was written. A file of this package is restored by `git checkout`, "
                "or by installing it again; a run's model is made again once its run directory is moved away"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
