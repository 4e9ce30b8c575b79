"""Hashing a checkpoint while it is written, and bringing it to the disk."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..files.hashing import sha256
from ..models.checkpoints import hashes
from . import processes


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of every parameter and buffer by name: shape, dtype and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class CheckpointHashing:
    """Hashes a checkpoint while it is written: at 7B it has 93 GB, of which SHA-256 takes 1.4 GB a second.

    In the first process the live weights are hashed from the beginning, and their files once they are written; in each,
    its share of the optimiser as it is written.

    Attributes:
        digests: the hash, by name, of each file that this process has saved.
    """

    def __init__(self, model: nn.Module, folder: Path):
        self._model = model
        self._folder = folder
        self.digests: dict[str, str] = {}
        self._pool = ThreadPoolExecutor(3)

    def __enter__(self) -> CheckpointHashing:
        if processes.rank() == 0:
            self._weights = self._pool.submit(weights_hash, self._model)
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=error != (None, None, None))

    def start(self) -> None:
        """Hashes the files that are in the folder now, in the background."""
        self._files: Future[dict[str, str]] = self._pool.submit(hashes, self._folder)

    def save(self, value: Any, name: str) -> None:
        """torch.save, hashed as it is written."""
        with (self._folder / name).open("wb") as content:
            file: Any = _HashedFile(content, self._pool)
            torch.save(value, file)
            self.digests[name] = str(file.digest())
            os.fsync(content.fileno())

    def results(self, shares: dict[str, str]) -> dict[str, Any]:
        """The live weights' hash, and that of every file by name; those that are not known yet are hashed now.

        `shares`: the `digests` of all processes, whose files a network file system may show later.
        """
        known = {**self._files.result(), **shares}
        names = sorted({*known, *(path.name for path in self._folder.iterdir())})
        files = {name: known.get(name) or sha256(self._folder / name) for name in names}
        return {"weights": self._weights.result(), "files": files}


class _HashedFile:
    """What torch.save writes to: hashes the content in another thread while it is written.

    An error of writing is kept until `digest`: torch's writer would end the process, should it meet one in its end.
    """

    def __init__(self, file: Any, pool: ThreadPoolExecutor):
        self._file = file
        self._pool = pool
        self._sha256 = hashlib.sha256()
        self._error: OSError | None = None

    def write(self, content: memoryview) -> int:
        hashed = self._pool.submit(self._sha256.update, content)
        try:
            if self._error is None:
                self._file.write(content)
        except OSError as error:
            self._error = error
        hashed.result()  # the memory is torch's, and only during this call
        return len(content)

    def flush(self) -> None:
        try:
            if self._error is None:
                self._file.flush()
        except OSError as error:
            self._error = error

    def digest(self) -> str:
        """The hash in hex. Raises the OSError that writing met."""
        if self._error is not None:
            raise self._error
        return self._sha256.hexdigest()


def sync(folder: Path) -> None:
    """Brings all files of a folder to the disk, and their names: a seal must not outlive them in a crash."""
    for path in (*folder.iterdir(), folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
