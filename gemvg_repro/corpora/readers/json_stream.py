"""How is a JSON file larger than memory read? As a stream, grouped on disk."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import ijson

from ...files.validation import Refused


def items(file: Path, prefix: str) -> Iterator[Any]:
    """The values at an ijson prefix, such as "annotations.item", one at a time.

    Any Unicode encoding is read, with or without a byte order mark, as json.loads does.
    Raises Refused if the file is missing, empty, cut off or no JSON.
    """
    yield from _stream(file, lambda content: ijson.items(content, prefix, use_float=True))


def pairs(file: Path, prefix: str) -> Iterator[tuple[str, Any]]:
    """The keys and values of the object at a prefix, one at a time. Raises Refused like `items`."""
    yield from _stream(file, lambda content: ijson.kvitems(content, prefix, use_float=True))


@contextmanager
def utf8(file: Path) -> Iterator[BinaryIO]:
    """The content of a JSON file in UTF-8, without a byte order mark. Raises Refused if it is missing or empty."""
    try:
        with file.open("rb") as content:
            encoding = json.detect_encoding(content.read(4))
            content.seek(3 if encoding == "utf-8-sig" else 0)
            if os.fstat(content.fileno()).st_size == content.tell():
                raise Refused(f"{file} is empty; expected JSON")
            if not encoding.startswith(("utf-16", "utf-32")):
                yield content
                return
            with tempfile.TemporaryFile() as recoded:
                shutil.copyfileobj(codecs.getreader(encoding)(content), codecs.getwriter("utf-8")(recoded))
                recoded.seek(0)
                yield recoded
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refused(f"{file} is no JSON: {error}; is the download complete?") from error


def first_character(file: Path) -> str:
    """The first character that is no space, which distinguishes a list from an object. Raises Refused like `utf8`."""
    with utf8(file) as content:
        return content.read(4096).lstrip()[:1].decode("latin-1")


def _stream(file: Path, parse: Any) -> Iterator[Any]:
    try:
        with utf8(file) as content:
            yield from parse(content)
    except (ijson.JSONError, UnicodeDecodeError, ValueError, RecursionError) as error:
        if isinstance(error, Refused):
            raise
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise Refused(f"{file} is no JSON: {reason}; is the download complete?") from error


class Groups:
    """Records put in by key in any order and taken out by key: on disk, so that memory stays small.

    A context manager; its file is gone afterwards.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"groups-{os.getpid()}-{id(self)}.sqlite"
        self._file.unlink(missing_ok=True)
        self._base = sqlite3.connect(self._file, isolation_level=None)
        self._base.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;"
            "CREATE TABLE heads (n INTEGER PRIMARY KEY, key TEXT UNIQUE, twice INT, content TEXT);"
            "CREATE TABLE parts (key TEXT, content TEXT); BEGIN"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        self._file.unlink(missing_ok=True)

    def head(self, key: str, content: Any) -> bool:
        """A group's own record. False if the key is there already: then neither of the two is given out."""
        added = self._base.execute("INSERT OR IGNORE INTO heads VALUES (NULL, ?, 0, ?)", (key, json.dumps(content)))
        if not added.rowcount:
            self._base.execute("UPDATE heads SET twice = 1 WHERE key = ?", (key,))
        return bool(added.rowcount)

    def part(self, key: str, content: Any) -> None:
        """One of the records of a group."""
        self._base.execute("INSERT INTO parts VALUES (?, ?)", (key, json.dumps(content)))

    def contains(self, key: str) -> bool:
        return self._base.execute("SELECT 1 FROM heads WHERE key = ? AND NOT twice", (key,)).fetchone() is not None

    def groups(self) -> Iterator[tuple[Any, list[Any]]]:
        """Each head with its parts, in the order they were put in."""
        self._base.execute("CREATE INDEX by_key ON parts (key)")
        heads = self._base.execute("SELECT key, content FROM heads WHERE NOT twice ORDER BY n")
        for key, content in heads:
            parts = self._base.execute("SELECT content FROM parts WHERE key = ? ORDER BY rowid", (key,))
            yield json.loads(content), [json.loads(part) for (part,) in parts]
