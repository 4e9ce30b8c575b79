"""How are shards read back? As samples, one after the other, their images opened when needed.

A row of a shard has the sample and its origin; an image is a reference (source, path below the source's root, frame of
a video) or, embedded, a JPEG. Rows are ordered by the hash of their content, a shuffle that does not depend on how they
were made. `datasets.load_dataset("parquet", data_files=..., streaming=True)` reads them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..files.hashing import sha256
from ..files.validation import Refused
from ..grounding.boxes import box_error
from ..grounding.samples import Sample, Target
from .index import Split, split_of
from .manifest import MANIFEST, manifest
from .recipe import Stage
from .shard_schema import PICTURE, SCHEMA
from .stored_pictures import box_of, picture_of


def verify(folder: Path) -> dict[str, Any]:
    """The manifest, once every shard has its hash and every image folder that it names exists; else raises Refused."""
    content = manifest(folder)
    for name, root in content["pictures"].items():
        if not Path(root).is_dir():
            raise Refused(
                f"the pictures of {name} were in {root}, which is no folder now; say under `pictures` in "
                f"{folder / MANIFEST} where they are, or build the data anew"
            )
    for entry in content["shards"]:
        file = folder / entry["file"]
        if "sha256" not in entry:
            raise Refused(
                f"{folder / MANIFEST} has no sha256 of {file.name}, as older ones have not; build the data anew"
            )
        try:
            digest = sha256(file)
        except OSError as error:
            raise Refused(f"{file} cannot be read: {error.strerror}; build the data anew") from error
        if digest != entry["sha256"]:
            raise Refused(f"{file} has not the content that {MANIFEST} says; build the data anew")
    return content


def samples(
    folder: Path, stage: Stage, split: Split | None = None, *, roots: Mapping[str, Path] | None = None,
    most_pixels: int | None = None,
) -> Iterator[Sample]:  # fmt: skip
    """The samples of a stage in their shuffled order; of all splits, or of one.

    Pixels are read when asked for, below the folders that the manifest names, or `roots` in their place, by source.
    Further questions about the pictures of a sample follow it, as the turns of a conversation follow each other; no
    conversation is held out. Raises Refused.
    """
    for turns in conversations(folder, stage, split, roots=roots, most_pixels=most_pixels):
        yield from turns


def conversations(
    folder: Path, stage: Stage, split: Split | None = None, *, roots: Mapping[str, Path] | None = None,
    most_pixels: int | None = None,
) -> Iterator[list[Sample]]:  # fmt: skip
    """The same samples, grouped by the images that they share. Raises Refused."""
    content = manifest(folder)
    roots = roots or {name: Path(root) for name, root in content["pictures"].items()}
    used = [c for c in SCHEMA.names if c not in ("digest", "licence", "cell", "template", "question")]
    columns = [*used[: used.index("pictures")], *_PICTURE_COLUMNS, *used[used.index("pictures") + 1 :]]
    for entry in content["shards"]:
        file = pq.ParquetFile(folder / entry["file"])
        for group in range(file.num_row_groups):
            for n, one in enumerate(file.read_row_group(group, columns=columns).to_pylist()):
                own = "train" if one["turns"] else split_of(one["source"], one["scene"].partition("/")[2])
                if one[stage] and split in (None, own):
                    at = (folder / entry["file"], group, n) if content["embedded"] else None
                    yield _samples(one, at, roots, most_pixels)


def prompts(folder: Path) -> int:
    """The number of GRPO samples that are not held out; reads three columns."""
    count = 0
    for shard in sorted(folder.glob("*.parquet")):
        rows = pq.read_table(shard, columns=["source", "scene"], filters=[("grpo", "=", True)])
        count += sum(split_of(one["source"], one["scene"].partition("/")[2]) == "train" for one in rows.to_pylist())
    return count


_PICTURE_COLUMNS = [f"pictures.list.element.{f.name}" for f in PICTURE if f.name != "jpeg"]
"""All of a picture but its file."""


def _samples(
    row: Mapping[str, Any], at: tuple[Path, int, int] | None, roots: Mapping[str, Path], most_pixels: int | None
) -> list[Sample]:
    """A row as samples: the first and its follow-ups, or a conversation's turns. `at`: where embedded images are."""
    pictures = tuple(picture_of(p, n, row["source"], at, roots, most_pixels) for n, p in enumerate(row["pictures"]))

    def sample(id_: str, question: Mapping[str, Any]) -> Sample:
        targets = tuple(_target(id_, t, len(pictures)) for t in question["targets"])
        return Sample(
            id_, row["scene"], question["kind"], row["source"], pictures, question["query"], targets,
            question["choice"], question["chain"],
        )  # fmt: skip

    first = sample(row["id"], row)
    if row["turns"]:
        return [
            replace(first, id=f"{first.id}-{n}", query=turn["question"], chain=None, text=turn["answer"])
            for n, turn in enumerate(row["turns"])
        ]
    return [first, *(sample(f"{first.id}-{n}", follow_up) for n, follow_up in enumerate(row["further"], 1))]


def _target(sample: str, target: Mapping[str, Any], pictures: int) -> Target:
    picture, box = target["picture"], box_of(target["box"])
    if not 0 <= picture < pictures:
        raise Refused(f"{sample}: a target is in picture {picture}, from 0, of {pictures}; build the data anew")
    if fault := box_error(box):
        raise Refused(f"{sample}: the box {box} {fault}; build the data anew")
    return Target(picture, box)
