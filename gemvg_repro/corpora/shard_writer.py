"""How are composed samples written? As parquet shards, shuffled by the hash of their content."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..files.hashing import sha256
from .composition.composed import ComposedSample
from .shard_schema import SCHEMA
from .stored_pictures import referenced_picture

_CANONICAL = json.JSONEncoder(sort_keys=True)


def row(cell: str, licence: str, sample: ComposedSample) -> dict[str, Any]:
    """A sample as a row with the hash of its content; its stages are assigned later."""
    content: dict[str, Any] = {
        "cell": cell,
        "source": sample.source,
        "licence": licence,
        "scene": f"{sample.source}/{sample.scene}",
        **_question_columns(sample),
        "question": sample.question,
        "pictures": [
            {"frame": p.frame, "path": p.path, "member": p.member, "width": p.width, "height": p.height, "mark": p.mark}
            for p in sample.pictures
        ],
        "turns": [{"question": question, "answer": answer} for question, answer in sample.turns],
        "further": [_question_columns(follow_up) for follow_up in sample.further],
    }
    digest = hashlib.sha256(_CANONICAL.encode(content).encode()).hexdigest()
    return {**content, "digest": digest, "id": f"{cell}-{digest[:16]}"}


def _question_columns(sample: ComposedSample) -> dict[str, Any]:
    """The columns of a question about the images and of its answer."""
    return {
        "kind": sample.kind, "template": sample.template, "query": sample.query, "choice": sample.choice,
        "chain": sample.chain,
        "targets": [{"picture": t.picture, "annotation": t.annotation, "box": t.box} for t in sample.targets],
    }  # fmt: skip


def record_batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Rows as a record batch of SCHEMA; stages are False."""
    flags = {"sft": False, "cot_sft": False, "grpo": False}
    return pa.RecordBatch.from_pylist([{**flags, **r} for r in rows], schema=SCHEMA)


class Buckets:
    """Unordered rows, spread by their hash over as many files as there will be shards."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.files = [folder / f"bucket-{n:04d}.arrow" for n in range(number)]
        self._writers = [pa.ipc.new_file(str(file), SCHEMA) for file in self.files]
        self._waiting: list[list[pa.RecordBatch]] = [[] for _ in self.files]

    def add(self, rows: pa.RecordBatch) -> None:
        of = np.array([int(d[:8], 16) % self.number for d in rows.column("digest").to_pylist()], dtype=np.int64)
        for n in np.unique(of):
            waiting = self._waiting[n]
            waiting.append(rows.take(pa.array(np.flatnonzero(of == n))))
            if len(waiting) >= 32:
                self._write(int(n))

    def _write(self, n: int) -> None:
        for piece in pa.Table.from_batches(self._waiting[n], SCHEMA).combine_chunks().to_batches():
            self._writers[n].write_batch(piece)
        self._waiting[n].clear()

    def close(self) -> None:
        for n, writer in enumerate(self._writers):
            if self._waiting[n]:
                self._write(n)
            writer.close()


_GROUP, _EMBEDDED_GROUP = 1024, 16
"""Rows of a row group; fewer with embedded images, since a row then takes some hundred kilobytes."""


def write_shard(bucket: Path, shard: Path, roots: Mapping[str, Path] | None, most_pixels: int | None) -> dict[str, Any]:
    """Sorts a bucket's rows and writes its shard, images embedded if there are `roots`; returns its manifest entry."""
    with pa.ipc.open_file(str(bucket)) as reader:
        table = reader.read_all()
    table = table.take(pa.array(np.argsort(np.array(table.column("digest").to_pylist(), dtype=object), kind="stable")))
    group = _GROUP if roots is None else _EMBEDDED_GROUP
    with pq.ParquetWriter(shard, SCHEMA, compression="zstd") as writer:
        for start in range(0, table.num_rows, group):
            piece = table.slice(start, group)
            if roots is not None:
                rows = [_embedded(r, roots, most_pixels) for r in piece.to_pylist()]
                piece = pa.Table.from_pylist(rows, schema=SCHEMA)
            writer.write_table(piece, row_group_size=group)
    bucket.unlink()
    return {"file": shard.name, "rows": table.num_rows, "content": _content(table), "sha256": sha256(shard)}


def _content(table: pa.Table) -> str:
    """sha256 over the rows' hashes and stages, in order: of the content, not of its encoding."""
    digest = hashlib.sha256()
    columns = (table.column(name).to_pylist() for name in ("digest", "sft", "cot_sft", "grpo"))
    for value, *flags in zip(*columns, strict=True):
        digest.update(f"{value}{flags}\n".encode())
    return digest.hexdigest()


def _embedded(row: dict[str, Any], roots: Mapping[str, Path], most_pixels: int | None) -> dict[str, Any]:
    pictures = []
    for picture in row["pictures"]:
        image = Image.fromarray(referenced_picture(roots[row["source"]], picture, most_pixels).pixels())
        content = io.BytesIO()
        image.save(content, "JPEG", quality=95)
        pictures.append({**picture, "jpeg": content.getvalue()})
    return {**row, "pictures": pictures}
