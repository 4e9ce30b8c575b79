"""The world's held-out samples, for validation and test, and those out of distribution, in one compact parquet file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ..grounding.samples import GROUNDING_KINDS, Kind, Sample, Target
from .composers import COMPOSERS
from .questions import WorldQuestion
from .shifts import SHIFTS, Shift
from .world import Frame, Thing

HeldOutSplit = Literal["validation", "test"] | Shift
SPLITS: tuple[HeldOutSplit, ...] = ("validation", "test", *SHIFTS)

WORLD_VERSION = 3
"""Raised by hand when a change of the world's code changes a sample or a pixel."""

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("scene", pa.string()),
        ("kind", pa.string()),
        ("query", pa.string()),
        ("chain", pa.string()),
        ("choice", pa.string()),
        ("frames", pa.list_(pa.int16())),
        ("found", pa.list_(pa.uint8())),
    ]
)
_FIELDS = 8  # of a Thing


@dataclass(frozen=True)
class Recipe:
    """How many samples of each split are drawn: the five kinds in turn, of understanding in the test split, and of each
    shift out of the distribution."""

    seed: int
    validation: int
    test: int
    understanding_test: int
    shifted_test: int = 0


def _question(split: HeldOutSplit, recipe: Recipe, number: int) -> WorldQuestion:
    """The question about one scene, drawn from a seed of its own."""
    rng = Random(f"{WORLD_VERSION}/{recipe.seed}/{split}/{number}")
    if split != "validation" and split != "test":
        return SHIFTS[split](rng, number)
    is_understanding = split == "test" and number >= recipe.test
    kind: Kind = "understanding" if is_understanding else GROUNDING_KINDS[number % len(GROUNDING_KINDS)]
    return COMPOSERS[kind](rng, rng.randint(2, 3))


def generate(split: HeldOutSplit, recipe: Recipe) -> Iterator[Sample]:
    """The samples of a split in order, each of a scene of its own."""
    counts = {"validation": recipe.validation, "test": recipe.test + recipe.understanding_test}
    for number in range(counts.get(split, recipe.shifted_test)):
        scene = f"{split}-{number:06d}"
        yield _question(split, recipe, number).sample(f"{scene}-0", scene)


def _row(split: HeldOutSplit, sample: Sample) -> dict[str, Any]:
    frames: list[int] = []
    for frame in sample.pictures:
        if not isinstance(frame, Frame):
            raise TypeError(f"sample {sample.id}: only frames of the world are stored, not {type(frame).__name__}")
        frames += [frame.ground, frame.noise, len(frame.things)]
        for t in frame.things:
            frames += [t.identity, t.category, t.colour, t.shade, t.x, t.y, t.w, t.h]
    boxes = [[thing.box for thing in frame.things] for frame in sample.pictures if isinstance(frame, Frame)]
    target_things = [(t.picture, boxes[t.picture].index(t.box)) for t in sample.targets]
    row = {name: getattr(sample, name) for name in ("id", "scene", "kind", "query", "chain", "choice")}
    return {**row, "split": split, "frames": frames, "found": list(chain.from_iterable(target_things))}


def _frames(numbers: list[int]) -> tuple[Frame, ...]:
    frames = []
    at = 0
    while at < len(numbers):
        ground, noise, count = numbers[at : at + 3]
        start, at = at + 3, at + 3 + count * _FIELDS
        things = tuple(Thing(*numbers[i : i + _FIELDS]) for i in range(start, at, _FIELDS))
        frames.append(Frame(ground, noise, things))
    return tuple(frames)


def _sample(row: dict[str, Any]) -> Sample:
    frames = _frames(row["frames"])
    places = zip(row["found"][::2], row["found"][1::2], strict=True)
    targets = tuple(Target(p, frames[p].things[t].box) for p, t in places)
    kind: Kind = row["kind"]
    return Sample(row["id"], row["scene"], kind, "world", frames, row["query"], targets, row["choice"], row["chain"])


def write(path: Path, recipe: Recipe) -> str:
    """Draws every split into one parquet file and returns the hash of its content (not of its bytes)."""
    rows = [_row(split, sample) for split in SPLITS for sample in generate(split, recipe)]
    digest = content_hash(rows)
    metadata = {"recipe": json.dumps(asdict(recipe)), "world_version": str(WORLD_VERSION), "content": digest}
    table = pa.Table.from_pylist(rows, schema=_SCHEMA.with_metadata(metadata))
    partial = path.with_name(path.name + ".part")
    pq.write_table(table, partial, compression="zstd")
    partial.replace(path)
    return digest


def content_hash(rows: list[dict[str, Any]]) -> str:
    """sha256 over the rows as canonical JSON lines, whatever the file's encoding."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def read(path: Path, split: HeldOutSplit) -> list[Sample]:
    """The samples of a split, in order.

    Raises:
        ValueError: the file was drawn by another version of the world.
    """
    table = pq.read_table(path, filters=[("split", "=", split)])
    version = (table.schema.metadata or {}).get(b"world_version", b"none").decode()
    if version != str(WORLD_VERSION):
        raise ValueError(
            f"{path} was drawn by version {version} of the world, this code is version {WORLD_VERSION}; "
            "delete it and run the data notebook again"
        )
    return [_sample(row) for row in table.to_pylist()]
