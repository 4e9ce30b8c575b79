"""Is this the file that the published numbers were measured on?

A fingerprint is the file's hash and its numbers of records by task. Files of one benchmark circulate in several
revisions under one name, and tables mix them: revisions.yaml lists those that are known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ..files.hashing import sha256


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of an annotation file: SHA-256 in hex, counts, and the known revision that it is, or None.

    `certain`: the hash is that of the revision; otherwise only the counts are.
    """

    file: str
    sha256: str
    counts: Mapping[str, int]
    revision: str | None = None
    certain: bool = False

    @property
    def warning(self) -> str | None:
        """A warning for whoever reads the score; None if the file is known by its hash."""
        if self.certain:
            return None
        if self.revision:
            return f"note: {self.file} has the counts of {self.revision!r}; its hash is not on record"
        many = ", ".join(f"{task} {count}" for task, count in list(self.counts.items())[:12])
        return f"warning: {self.file} is no revision that is known ({many}); published numbers may not compare"

    def as_json(self) -> dict[str, Any]:
        """As it is stored beside a score."""
        return asdict(self)


def fingerprint(name: str, file: Path, counts: Mapping[str, int]) -> Fingerprint:
    """The fingerprint of a file of benchmark `name`, or of a folder of files, with its counts."""
    digest = _digest(file)
    revisions = [each for each in _revisions() if name in each["benchmarks"]]
    by_hash = next((each for each in revisions if each.get("sha256") == digest), None)
    match = by_hash or next((each for each in revisions if _same_counts(each["counts"], counts)), None)
    revision = match["revision"] if match else None
    return Fingerprint(str(file), digest, dict(counts), revision, by_hash is not None)


def annotation_files(file: Path) -> list[Path]:
    """The file itself; of a folder, the annotation files in it."""
    if not file.is_dir():
        return [file]
    return [path for path in file.rglob("*") if path.suffix in (".json", ".parquet", ".p") and path.is_file()]


def _same_counts(recorded: Mapping[str, int], counts: Mapping[str, int]) -> bool:
    """Whether the file has every recorded count."""
    return all(counts.get(task) == count for task, count in recorded.items())


def _digest(file: Path) -> str:
    """Of a file; of a folder, of the hashes of the annotation files in it, by path."""
    if file.is_file():
        return sha256(file)
    parts = sorted((path.relative_to(file).as_posix(), sha256(path)) for path in annotation_files(file))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@cache
def _revisions() -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = yaml.safe_load((files(__package__) / "revisions.yaml").read_text("utf-8"))
    return content
