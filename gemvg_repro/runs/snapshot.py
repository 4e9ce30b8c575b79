"""Which code does a launched study run? A copy of the project, which later edits do not change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files.atomic import NotWritten, writing

PACKAGE = Path(__file__).resolve().parents[1]
PARTS = ("notebooks", "sweeps")
"""The folders of a project that a snapshot has besides the package."""

RECORD = "code.json"


@dataclass(frozen=True)
class Code:
    """The commit that code was checked out from, and the difference between the two as a patch.

    `commit` is None where there is no git; `difference` has new files too, and is empty for a clean checkout.
    """

    commit: str | None
    difference: str


def current() -> Code:
    """The code of this process: that of the snapshot it runs in, else that of the checkout."""
    record = PACKAGE.parent / RECORD
    if record.is_file():
        return Code(**json.loads(record.read_text(encoding="utf-8")))
    return of_checkout(PACKAGE.parent)


def of_checkout(root: Path) -> Code:
    """The commit and the difference of a checkout."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return Code(None, "")
    difference = _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff") or ""
    parts = [part for part in (PACKAGE.name, *PARTS) if (root / part).exists()]
    for name in (_git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *parts) or "").split("\0"):
        if name:  # `diff --no-index` ends with status 1 when it finds a difference
            difference += _git(root, "diff", "--no-color", "--no-index", "--", os.devnull, name, fine=(0, 1)) or ""
    return Code(commit.strip(), difference)


@dataclass(frozen=True)
class Snapshot:
    """A copy of package, notebooks and sweeps, named by its content: `make` writes it unless it exists.

    Attributes:
        folder: of the copy; jobs run in it and import the package from it.
    """

    folder: Path
    root: Path
    code: Code

    @classmethod
    def of(cls, root: Path, below: Path) -> Snapshot:
        """The copy of the project `root` and of this package, in a folder below `below`; writes nothing."""
        code = of_checkout(PACKAGE.parent)
        digest = hashlib.sha256(json.dumps(asdict(code)).encode())
        for name, file in sorted(_files(root)):
            digest.update(f"{name}\n{file.stat().st_size}\n".encode() + file.read_bytes())
        return cls(below / digest.hexdigest()[:12], root, code)

    def make(self) -> Path:
        """Writes the copy, atomically; returns its folder.

        Raises:
            NotWritten: the disk is full.
        """
        if not self.folder.exists():
            partial = self.folder.with_name(f".{self.folder.name}.{os.getpid()}")
            shutil.rmtree(partial, ignore_errors=True)
            files = list(_files(self.root))
            try:
                with writing(self.folder, sum(file.stat().st_size for _, file in files)):
                    for name, file in files:
                        target = partial / name
                        target.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(file, target)
                    (partial / RECORD).write_text(json.dumps(asdict(self.code)), encoding="utf-8")
            except NotWritten:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            try:
                partial.rename(self.folder)
            except OSError:
                if not self.folder.exists():
                    raise
                shutil.rmtree(partial)  # another launcher was first
        return self.folder


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for part, folder in ((PACKAGE.name, PACKAGE), *((name, root / name) for name in PARTS)):
        for file in folder.rglob("*"):
            inside = file.relative_to(folder)
            hidden = any(p == "__pycache__" or p.startswith(".") for p in inside.parts)
            if file.is_file() and not hidden:
                yield f"{part}/{inside.as_posix()}", file


def _git(root: Path, *arguments: str, fine: tuple[int, ...] = (0,)) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode in fine else None
