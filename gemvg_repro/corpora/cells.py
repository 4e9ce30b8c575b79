"""How are the samples of a recipe's cell composed? Anchor by anchor, each sample checked against the annotation."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..files.validation import Refused
from .composition import attributes, conversations, moving, multiple_choice, reasoning, referential, semantic, tracking
from .composition.checker import check
from .composition.composed import ComposedSample, Context, Rules, Unfit
from .composition.follow_up import compose_follow_ups
from .composition.oracle import Untrue
from .composition.wording import FILE
from .index import Index
from .recipe import Cell, CompositionRecipe
from .shard_writer import record_batch, row
from .stored_pictures import OtherProportions, referenced_picture

_CHUNK = 256
"""Anchors of one task; the result does not depend on it."""

_DECODED_PIXELS = 1024  # of an image that is decoded only to see whether it can be


def tasks(recipe: CompositionRecipe, cell: Cell, index: Index) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(round, anchors) in the cell's shuffled order."""
    for number in range(cell.rounds):
        ordered = draw_anchors(index, cell, _seed(recipe.seed, cell.name, number))
        for start in range(0, len(ordered), _CHUNK):
            yield number, ordered[start : start + _CHUNK]


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def draw_anchors(index: Index, cell: Cell, seed: int) -> NDArray[np.int64]:
    """The shuffled anchors of a cell: of shape (N,), or (N, 2) where an anchor is (phrase number, frame number)."""
    rng = np.random.default_rng(seed)
    if cell.kind == "reasoning" and not cell.asks:
        return rng.permutation(np.arange(1, index.questions() + 1))
    if cell.kind == "understanding" and not cell.asks:
        return rng.permutation(np.arange(1, index.conversations() + 1))
    if cell.kind in ("spatial", "temporal", "understanding"):
        return rng.permutation(index.numbers())
    occurrences = index.occurrences().astype(np.int64)
    if not len(occurrences):
        return occurrences
    frequency = np.bincount(occurrences[:, 0])[occurrences[:, 0]].astype(float)
    weight = frequency ** (cell.balance - 1)  # Efraimidis and Spirakis (2006): sampling by weight, without replacement
    return occurrences[np.argsort(rng.exponential(size=len(occurrences)) / weight, kind="stable")]


_OPEN: dict[tuple[str, int, Rules, Path], tuple[Context, list[str]]] = {}
"""Of a worker process: the context of the current cell, by its index's file and time, its rules and its wording."""


def compose_anchors(
    file: Path,
    recipe: CompositionRecipe,
    cell: Cell,
    licence: str,
    images: Path | None,
    number: int,
    anchors: NDArray[np.int64],
) -> tuple[pa.RecordBatch, list[int], Counter[str]]:
    """The checked samples of some anchors: rows, their keys, and counts of the reasons why others gave none.

    Every image of a sample is decoded once in a process, below the folder `images` of its source; None: none is.
    """
    key = (str(file), file.stat().st_mtime_ns, recipe.rules_of(cell), recipe.wording)
    if key not in _OPEN:
        _OPEN.clear()
        index = Index(file)
        _OPEN[key] = (Context(index, key[2], key[3]), index.phrases())
    bench, phrases = _OPEN[key]
    rows, keys, unfit = [], [], Counter[str]()
    for anchor in anchors.tolist():
        rng = Random(f"{recipe.seed}/{cell.name}/{number}/{anchor}")
        try:
            sample = compose(cell, bench, phrases, anchor, rng)
            if recipe.turns > 1:
                sample = replace(sample, further=compose_follow_ups(bench, sample, recipe.turns - 1, rng))
            for p in sample.pictures if images else ():
                if fault := _fault(images, p.path, p.member, p.width, p.height):
                    raise Unfit(fault)
        except Unfit as reason:
            unfit[str(reason)] += 1
            continue
        prove(sample, bench.index, recipe.wording)
        rows.append(row(cell.name, licence, sample))
        keys.append(sample.key)
    return record_batch(rows), keys, unfit


@lru_cache(maxsize=2**18)
def _fault(images: Path, path: str, member: int | None, width: int, height: int) -> str | None:
    """Why an image would stop a training: it cannot be decoded to its end, or is of other proportions than stated."""
    row = {"path": path, "member": member, "width": width, "height": height}
    try:
        referenced_picture(images, row, _DECODED_PIXELS).pixels()
    except OtherProportions:
        return "a picture of other proportions than its annotation states"
    except Refused:
        return "a picture that cannot be read"
    return None


def compose(cell: Cell, bench: Context, phrases: list[str], anchor: Any, rng: Random) -> ComposedSample:
    if cell.asks == "movement":
        return moving.compose(bench, anchor, rng)
    if cell.asks == "options":
        return multiple_choice.compose(bench, anchor, rng)
    if cell.kind == "reasoning" and not cell.asks:
        return reasoning.compose(bench, anchor, rng)
    if cell.kind == "understanding":
        return conversations.compose(bench, anchor)
    if cell.kind == "spatial" or cell.kind == "temporal":
        return tracking.compose(bench, cell.kind, anchor, rng)
    phrase, n = phrases[anchor[0] - 1], anchor[1]
    if cell.asks == "attribute":
        compose_from = attributes.same_as_reference if cell.kind == "semantic" else attributes.same_as_described
        return attributes.compose(bench, compose_from, phrase, n, rng)
    if cell.asks == "link":
        return attributes.same_through_link(bench, phrase, n, rng)
    if cell.kind == "referential":
        return referential.compose(bench, phrase, n, rng)
    return semantic.compose(bench, phrase, n, rng)


def prove(sample: ComposedSample, index: Index, words: Path = FILE) -> None:
    """Raises Untrue, with the sample, unless the checker verifies it against the annotation."""
    try:
        check(sample, index.by_id, index.question_by_id, index.conversation_by_id, words)
    except Untrue as error:
        raise Untrue(f"{error}. A fault of gemvg_repro's composers; the sample is {sample}") from None
