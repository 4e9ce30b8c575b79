"""How is the index of a source built, and how are frames excluded from it?"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from ..files.validation import Refused
from .frames import AnnotatedFrame, Conversation, Skips, SourceQuestion
from .index import INDEX_VERSION, Index, split_of
from .naming import Families, with_attributes

_TABLES = """
PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE frames (n INTEGER PRIMARY KEY, id TEXT UNIQUE, scene TEXT, view TEXT, time INT, split TEXT, content TEXT);
CREATE TABLE phrases (p INTEGER PRIMARY KEY, phrase TEXT UNIQUE);
CREATE TABLE occurs (p INT, n INT, PRIMARY KEY (p, n)) WITHOUT ROWID;
CREATE TABLE questions (q INTEGER PRIMARY KEY, id TEXT UNIQUE, content TEXT);
CREATE TABLE conversations (c INTEGER PRIMARY KEY, id TEXT UNIQUE, content TEXT);
BEGIN;
"""
_INDEXES = """
CREATE INDEX by_moment ON frames (scene, time, view);
CREATE INDEX by_view ON frames (scene, view, time);
CREATE INDEX by_frame ON occurs (n);
CREATE INDEX by_split ON frames (split);
PRAGMA optimize;
"""

Record = AnnotatedFrame | SourceQuestion | Conversation
"""A reader's output."""


def _packed(frame: AnnotatedFrame) -> str:
    instances = [[i.id, i.category, i.box, i.identity, i.attributes] for i in frame.instances]
    rest = [frame.path, frame.width, frame.height, frame.member, sorted(frame.unclear), frame.aliases]
    return json.dumps([*rest, instances], ensure_ascii=False, separators=(",", ":"))


def build(
    file: Path,
    source: str,
    read: Callable[[Skips], Iterable[Record]],
    *,
    exhaustive: bool,
    facts: dict[str, str] | None = None,
    families: Families = MappingProxyType({}),
) -> Index:
    """Reads a source into a new index, which gets its name only when it is complete.

    `exhaustive`: an object that is not annotated in a frame is absent. `families`: phrases of attributes that names
    imply (naming.py). Of two frames of one id the second is dropped if it is the same, else both are. Raises
    Refused like the reader.
    """
    partial = file.with_name(f"{file.name}.{os.getpid()}.part")
    partial.unlink(missing_ok=True)
    base = sqlite3.connect(partial, isolation_level=None)
    skips = Skips()
    try:
        base.executescript(_TABLES)
        records = (with_attributes(r, families) if isinstance(r, AnnotatedFrame) else r for r in read(skips))
        _fill(base, source, records, skips)
        base.executescript(_INDEXES)
        count = base.execute("SELECT count(*) FROM frames").fetchone()[0]
        if not count:
            raise Refused(f"{source}: no frame could be used; skipped were {skips.counts or 'none'}")
        index_facts = {
            "version": str(INDEX_VERSION), "source": source, "exhaustive": str(int(exhaustive)), **(facts or {}),
            "families": json.dumps({name: [*phrases] for name, phrases in families.items()}, sort_keys=True),
            "skips": json.dumps({"counts": skips.counts, "places": skips.places}),
        }  # fmt: skip
        base.executemany("INSERT INTO facts VALUES (?, ?)", index_facts.items())
        base.close()
        partial.replace(file)
    finally:
        base.close()
        partial.unlink(missing_ok=True)
    return Index(file)


def _fill(base: sqlite3.Connection, source: str, records: Iterable[Record], skips: Skips) -> None:
    phrases: dict[str, int] = {}
    disagreeing: set[str] = set()
    for record in records:
        if isinstance(record, SourceQuestion):
            row = json.dumps([record.scene, record.text, record.answer, record.frames])
            if not base.execute("INSERT OR IGNORE INTO questions VALUES (NULL, ?, ?)", (record.id, row)).rowcount:
                skips.add("question id twice", record.id)
            continue
        if isinstance(record, Conversation):
            row = json.dumps([record.images, record.turns])
            base.execute("INSERT INTO conversations VALUES (NULL, ?, ?)", (record.id, row))
            continue
        content = _packed(record)
        added = base.execute(
            "INSERT OR IGNORE INTO frames VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            (record.id, record.scene, record.view, record.time, split_of(source, record.scene), content),
        )
        if not added.rowcount:
            same = base.execute("SELECT content = ? FROM frames WHERE id = ?", (content, record.id)).fetchone()[0]
            if not same and record.id not in disagreeing:
                disagreeing.add(record.id)
                skips.add("frame twice, not the same", record.id)
            continue
        for phrase in sorted({p for i in record.instances if i.visible for p in i.phrases} - record.unclear):
            if phrase not in phrases:
                phrases[phrase] = len(phrases) + 1
                base.execute("INSERT INTO phrases VALUES (?, ?)", (phrases[phrase], phrase))
            base.execute("INSERT INTO occurs VALUES (?, ?)", (phrases[phrase], added.lastrowid))
    for id_ in disagreeing:
        _drop(base, id_)


def _drop(base: sqlite3.Connection, id_: str) -> None:
    base.execute("DELETE FROM occurs WHERE n = (SELECT n FROM frames WHERE id = ?)", (id_,))
    base.execute("DELETE FROM frames WHERE id = ?", (id_,))


def exclude(file: Path, ids: Iterable[str], reason: str, *, whole_scenes: bool = True) -> int:
    """Excludes frames from an index, and of a frame of a video the whole scene; returns the number of frames.

    The number is added to the skips of the index under the reason, with the first ids.
    """
    ids = list(dict.fromkeys(ids))
    with _opened(file) as base:
        before = base.execute("SELECT count(*) FROM frames").fetchone()[0]
        for id_ in ids:
            row = base.execute("SELECT scene, view FROM frames WHERE id = ?", (id_,)).fetchone()
            if row and row[1] and whole_scenes:
                base.execute("DELETE FROM occurs WHERE n IN (SELECT n FROM frames WHERE scene = ?)", (row[0],))
                base.execute("DELETE FROM frames WHERE scene = ?", (row[0],))
            elif row:
                _drop(base, id_)
        removed: int = before - base.execute("SELECT count(*) FROM frames").fetchone()[0]
        skips = _skips(base)
        skips.counts[reason] = skips.counts.get(reason, 0) + removed
        if ids:
            skips.places[reason] = [*skips.places.get(reason, []), *ids][:_FIRST]
        _keep(base, skips)
    return removed


def note(file: Path, reason: str, places: Sequence[str]) -> None:
    """Sets how many records of a kind the skips of an index count, with the first places; nothing for none."""
    if places:
        with _opened(file) as base:
            skips = _skips(base)
            skips.counts[reason], skips.places[reason] = len(places), [*places[:_FIRST]]
            _keep(base, skips)


_FIRST = 5


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The index, for one transaction."""
    base = sqlite3.connect(file, isolation_level=None)
    try:
        base.execute("BEGIN")
        yield base
        base.execute("COMMIT")
    finally:
        base.close()


def _skips(base: sqlite3.Connection) -> Skips:
    return Skips(**json.loads(base.execute("SELECT value FROM facts WHERE key = 'skips'").fetchone()[0]))


def _keep(base: sqlite3.Connection, skips: Skips) -> None:
    content = json.dumps({"counts": skips.counts, "places": skips.places})
    base.execute("UPDATE facts SET value = ? WHERE key = 'skips'", (content,))
