"""How are the annotated frames of a source stored? In an SQLite index, queried by scene, view, time and phrase."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..files.validation import Refused
from .frames import EVERYTHING, AnnotatedFrame, Conversation, Instance, Skips, SourceQuestion
from .naming import Families

INDEX_VERSION = 7
"""Raised by hand when a reader or this file changes what an index holds."""

Split = Literal["train", "validation", "test"]


def split_of(source: str, scene: str) -> Split:
    """The split of a scene, by its hash: one in fifty is validation, one in fifty test."""
    digest = hashlib.blake2b(f"{source}/{scene}".encode(), digest_size=8).digest()
    held: dict[int, Split] = {0: "validation", 1: "test"}
    return held.get(int.from_bytes(digest, "big") % 50, "train")


def _unpacked(row: Sequence[Any]) -> AnnotatedFrame:
    id_, scene, view, time, content = row
    path, width, height, member, unclear, aliases, instances = json.loads(content)
    parsed = tuple(
        Instance(i, category, None if box is None else (box[0], box[1], box[2], box[3]), identity, tuple(attributes))
        for i, category, box, identity, attributes in instances
    )
    return AnnotatedFrame(
        id_, scene, path, width, height, parsed, view, time, member, frozenset(unclear), tuple(aliases)
    )  # fmt: skip


class Index:
    """A complete index, read only; frames by number, by id, or by scene, view and time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._base = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
            self._base.execute("PRAGMA mmap_size=268435456")
            self.facts = dict(self._base.execute("SELECT key, value FROM facts"))
        except sqlite3.Error as error:
            raise Refused(f"{file} is no index of a source: {error}; make it anew") from error
        if self.facts["version"] != str(INDEX_VERSION):
            raise Refused(
                f"{file} is of version {self.facts['version']}, not {INDEX_VERSION}; delete it to make it anew"
            )
        self.source = self.facts["source"]
        self.exhaustive = self.facts["exhaustive"] == "1"
        self.frame = lru_cache(maxsize=4096)(self._frame)
        self._recent: dict[str, int] = {}
        self.frames_with = lru_cache(maxsize=1024)(self._frames_with)
        self.view = lru_cache(maxsize=256)(self._view)
        self.in_scene = lru_cache(maxsize=256)(self._in_scene)
        self.total = lru_cache(maxsize=3)(self._total)

    def families(self) -> Families:
        """The phrases of each attribute that it was built with."""
        families: Families = json.loads(self.facts["families"])
        return families

    def skips(self) -> Skips:
        """Records that its reader left out."""
        content = json.loads(self.facts["skips"])
        return Skips(content["counts"], content["places"])

    def numbers(self) -> NDArray[np.int64]:
        """The numbers of all frames, in order."""
        return np.fromiter((n for (n,) in self._base.execute("SELECT n FROM frames ORDER BY n")), dtype=np.int64)

    def split(self, frame: AnnotatedFrame) -> Split:
        """The split of a frame; samples are composed of frames of one split."""
        return split_of(self.source, frame.scene)

    def _total(self, split: Split) -> NDArray[np.int64]:
        """The numbers of all frames of a split, in order."""
        rows = self._base.execute("SELECT n FROM frames WHERE split = ? ORDER BY n", (split,))
        return np.fromiter((n for (n,) in rows), dtype=np.int64)

    def _frame(self, n: int) -> AnnotatedFrame:
        row = self._base.execute("SELECT id, scene, view, time, content FROM frames WHERE n = ?", (n,)).fetchone()
        if len(self._recent) > 2**16:
            self._recent.clear()
        self._recent[row[0]] = n
        return _unpacked(row)

    def by_id(self, id_: str) -> AnnotatedFrame | None:
        """The frame of an id; recent numbers are cached."""
        n = self._recent.get(id_)
        if n is None:
            row = self._base.execute("SELECT n FROM frames WHERE id = ?", (id_,)).fetchone()
            n = row[0] if row else None
        return None if n is None else self.frame(n)

    def phrases(self) -> list[str]:
        """Every phrase that can be queried in some frame, by first occurrence."""
        return [phrase for (phrase,) in self._base.execute("SELECT phrase FROM phrases ORDER BY p")]

    def _frames_with(self, phrase: str, split: Split) -> NDArray[np.int32]:
        """The numbers of frames of a split that show the phrase clearly, in order."""
        rows = self._base.execute(
            "SELECT n FROM occurs WHERE p = (SELECT p FROM phrases WHERE phrase = ?) ORDER BY n", (phrase,)
        )
        numbers = np.fromiter((n for (n,) in rows), dtype=np.int32)
        return numbers[np.isin(numbers, self.total(split))]

    def occurrences(self) -> NDArray[np.int32]:
        """(phrase number from 1, frame number) of every occurrence, of shape (N, 2), in order."""
        rows = self._base.execute("SELECT p, n FROM occurs ORDER BY p, n")
        return np.fromiter((v for row in rows for v in row), dtype=np.int32).reshape(-1, 2)

    def moment(self, scene: str, time: int) -> list[int]:
        """Frames of a scene at a time, by view."""
        rows = self._base.execute("SELECT n FROM frames WHERE scene = ? AND time = ? ORDER BY view, n", (scene, time))
        return [n for (n,) in rows]

    def _view(self, scene: str, view: str) -> list[tuple[int, int]]:
        """(time, frame) of a view of a scene, in time."""
        rows = self._base.execute(
            "SELECT time, n FROM frames WHERE scene = ? AND view = ? ORDER BY time, n", (scene, view)
        )
        return rows.fetchall()

    def _in_scene(self, scene: str) -> list[int]:
        """Frames of a scene, in order."""
        return [n for (n,) in self._base.execute("SELECT n FROM frames WHERE scene = ? ORDER BY n", (scene,))]

    def questions(self) -> int:
        """How many questions there are; they are numbered from 1."""
        count: int = self._base.execute("SELECT coalesce(max(q), 0) FROM questions").fetchone()[0]
        return count

    def question(self, q: int) -> SourceQuestion | None:
        row = self._base.execute("SELECT id, content FROM questions WHERE q = ?", (q,)).fetchone()
        if row is None:
            return None
        scene, text, answer, frames = json.loads(row[1])
        return SourceQuestion(row[0], scene, text, answer, tuple(frames))

    def question_by_id(self, id_: str) -> SourceQuestion | None:
        row = self._base.execute("SELECT q FROM questions WHERE id = ?", (id_,)).fetchone()
        return self.question(row[0]) if row else None

    def conversations(self) -> int:
        """How many conversations there are; they are numbered from 1."""
        count: int = self._base.execute("SELECT coalesce(max(c), 0) FROM conversations").fetchone()[0]
        return count

    def conversation(self, c: int) -> Conversation | None:
        row = self._base.execute("SELECT id, content FROM conversations WHERE c = ?", (c,)).fetchone()
        if row is None:
            return None
        images, turns = json.loads(row[1])
        return Conversation(row[0], tuple(images), tuple((question, answer) for question, answer in turns))

    def conversation_by_id(self, id_: str) -> Conversation | None:
        row = self._base.execute("SELECT c FROM conversations WHERE id = ?", (id_,)).fetchone()
        return self.conversation(row[0]) if row else None


def unclear(frame: AnnotatedFrame, phrase: str) -> bool:
    """Whether the phrase cannot be queried in the frame."""
    return phrase in frame.unclear or EVERYTHING in frame.unclear
