"""How are composed samples stored? Parquet shards in an order of chance, with a manifest of content hashes.

A row has the sample and where it comes from; a picture is a reference (source, path below the source's root, frame of
a video) or, embedded, a JPEG. Rows are ordered by the hash of their content, which is a shuffle that does not depend
on how they were made. `datasets.load_dataset("parquet", data_files=..., streaming=True)` reads them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from ..grounding.samples import Box, Picture, Sample, Target
from .composition.composed import Composed
from .pictures import FORMATS, FilePicture, MarkedPicture
from .readers.videos import SUFFIXES, VideoPicture
from .recipe import Stage
from .refusal import Refused, read_json

SHARDS_VERSION = 1
MANIFEST = "manifest.json"

_BOX = pa.list_(pa.float64(), 4)
_PICTURE = pa.struct(
    [
        ("frame", pa.string()),
        ("path", pa.string()),
        ("member", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mark", _BOX),
        ("jpeg", pa.binary()),
    ]
)
_TARGET = pa.struct([("picture", pa.int32()), ("annotation", pa.string()), ("box", _BOX)])
SCHEMA = pa.schema(
    [
        ("digest", pa.string()),
        ("id", pa.string()),
        ("cell", pa.string()),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("scene", pa.string()),
        ("template", pa.string()),
        ("query", pa.string()),
        ("chain", pa.string()),
        ("question", pa.string()),
        ("sft", pa.bool_()),
        ("cot_sft", pa.bool_()),
        ("grpo", pa.bool_()),
        ("pictures", pa.list_(_PICTURE)),
        ("targets", pa.list_(_TARGET)),
    ]
)


def row(cell: str, licence: str, sample: Composed) -> dict[str, Any]:
    """A sample as a row, with the hash of its content; its stages are not yet known."""
    content: dict[str, Any] = {
        "cell": cell,
        "kind": sample.kind,
        "source": sample.source,
        "licence": licence,
        "scene": f"{sample.source}/{sample.scene}",
        "template": sample.template,
        "query": sample.query,
        "chain": sample.chain,
        "question": sample.question,
        "pictures": [
            {"frame": p.frame, "path": p.path, "member": p.member, "width": p.width, "height": p.height, "mark": p.mark}
            for p in sample.pictures
        ],
        "targets": [{"picture": t.picture, "annotation": t.annotation, "box": t.box} for t in sample.targets],
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {**content, "digest": digest, "id": f"{cell}-{digest[:16]}"}


def batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Rows as a record batch of SCHEMA; stages are False."""
    flags = {"sft": False, "cot_sft": False, "grpo": False}
    return pa.RecordBatch.from_pylist([{**flags, **r} for r in rows], schema=SCHEMA)


class Buckets:
    """Rows on their way: spread over as many files as there will be shards, by their hash."""

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


def finish(bucket: Path, shard: Path, roots: Mapping[str, Path] | None, most_pixels: int | None) -> dict[str, Any]:
    """Orders a bucket's rows and writes its shard, pictures embedded if there are `roots`; returns its entry."""
    with pa.ipc.open_file(str(bucket)) as reader:
        table = reader.read_all()
    table = table.take(pa.array(np.argsort(np.array(table.column("digest").to_pylist(), dtype=object), kind="stable")))
    if roots is not None:
        rows = [_embedded(r, roots, most_pixels) for r in table.to_pylist()]
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pq.write_table(table, shard, compression="zstd", row_group_size=1024)
    bucket.unlink()
    return {"file": shard.name, "rows": table.num_rows, "content": _content(table)}


def _content(table: pa.Table) -> str:
    """sha256 over the rows' hashes and stages, in order: of what is said, not of how it is encoded."""
    digest = hashlib.sha256()
    columns = (table.column(name).to_pylist() for name in ("digest", "sft", "cot_sft", "grpo"))
    for value, *flags in zip(*columns, strict=True):
        digest.update(f"{value}{flags}\n".encode())
    return digest.hexdigest()


def _embedded(row: dict[str, Any], roots: Mapping[str, Path], most_pixels: int | None) -> dict[str, Any]:
    pictures = []
    for picture in row["pictures"]:
        image = Image.fromarray(stored(roots[row["source"]], picture, most_pixels).pixels())
        content = io.BytesIO()
        image.save(content, "JPEG", quality=95)
        pictures.append({**picture, "jpeg": content.getvalue()})
    return {**row, "pictures": pictures}


def stored(root: Path, picture: Mapping[str, Any], most_pixels: int | None) -> Picture:
    """A picture that is referred to, without its mark."""
    path: str = picture["path"]
    if picture["member"] is not None and path.endswith(SUFFIXES):
        return VideoPicture(root, path, picture["member"], most_pixels)
    return FilePicture(root, path, most_pixels)


@dataclass(frozen=True, slots=True)
class EmbeddedPicture:
    """A picture whose file is in the row. `pixels` raises Refused if it cannot be decoded."""

    content: bytes

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3)."""
        try:
            with Image.open(io.BytesIO(self.content), formats=FORMATS) as image:
                return np.asarray(image.convert("RGB"))
        except Exception as error:
            raise Refused(f"an embedded picture cannot be read: {error}") from error


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished folder of shards. Raises Refused if there is none, or of another version."""
    content = read_json(folder / MANIFEST)
    if not isinstance(content, dict) or content.get("version") != SHARDS_VERSION:
        raise Refused(f"{folder / MANIFEST} is no manifest of version {SHARDS_VERSION}; build the data anew")
    return content


def verify(folder: Path) -> None:
    """Raises Refused unless every shard is there and has the content that the manifest says."""
    for entry in manifest(folder)["shards"]:
        file = folder / entry["file"]
        try:
            table = pq.read_table(file, columns=["digest", "sft", "cot_sft", "grpo"])
        except (OSError, pa.ArrowException) as error:
            raise Refused(f"{file} cannot be read: {error}") from error
        if _content(table) != entry["content"]:
            raise Refused(f"{file} has not the content that {MANIFEST} says; build the data anew")


def samples(
    folder: Path, stage: Stage, roots: Mapping[str, Path], most_pixels: int | None = None, kind: str | None = None
) -> Iterator[Sample]:
    """The samples of a stage, one after the other in their order of chance; pixels are read when asked for.

    `roots` has the folder of the pictures of each source; embedded pictures need none.
    """
    for entry in manifest(folder)["shards"]:
        file = pq.ParquetFile(folder / entry["file"])
        for piece in file.iter_batches(batch_size=256):
            for one in piece.to_pylist():
                if one[stage] and kind in (None, one["kind"]):
                    yield sample(one, roots, most_pixels)


def sample(row: Mapping[str, Any], roots: Mapping[str, Path], most_pixels: int | None = None) -> Sample:
    """A row as a sample. Raises Refused if its pictures are not embedded and its source has no root."""
    targets = tuple(Target(t["picture"], _box(t["box"])) for t in row["targets"])
    pictures = tuple(_picture(p, row["source"], roots, most_pixels) for p in row["pictures"])
    return Sample(
        row["id"], row["scene"], row["kind"], row["source"], pictures, row["query"], targets, None, row["chain"]
    )  # fmt: skip


def _picture(picture: Mapping[str, Any], source: str, roots: Mapping[str, Path], most_pixels: int | None) -> Picture:
    plain: Picture
    if picture["jpeg"] is not None:
        plain = EmbeddedPicture(picture["jpeg"])
    elif source in roots:
        plain = stored(roots[source], picture, most_pixels)
    else:
        raise Refused(f"the pictures of {source} are not embedded; give the folder that has them as its root")
    return plain if picture["mark"] is None else MarkedPicture(plain, _box(picture["mark"]))


def _box(values: Sequence[float]) -> Box:
    x1, y1, x2, y2 = values
    return (x1, y1, x2, y2)
