"""Which checked samples do the anchors of a recipe's cell give?"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .composition import attributes, conversations, moving, multiple_choice, reasoning, referential, semantic, tracking
from .composition.checker import check
from .composition.composed import Bench, Composed, Rules, Unfit
from .composition.follow_up import ask
from .composition.oracle import Untrue
from .composition.wording import FILE
from .index import Index
from .recipe import Cell, Recipe
from .shard_writer import batch, row

_CHUNK = 256
"""Anchors of a task; the result does not depend on it."""


def tasks(recipe: Recipe, cell: Cell, index: Index) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(round, anchors) in the cell's order of chance."""
    for number in range(cell.rounds):
        ordered = anchors(index, cell, _seed(recipe.seed, cell.name, number))
        for start in range(0, len(ordered), _CHUNK):
            yield number, ordered[start : start + _CHUNK]


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def anchors(index: Index, cell: Cell, seed: int) -> NDArray[np.int64]:
    """The anchors of a cell in an order of chance, of shape (N,) or, (phrase, frame), of shape (N, 2)."""
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


_OPEN: dict[tuple[str, int, Rules, Path], tuple[Bench, list[str]]] = {}
"""Of a worker process: what the cell at hand works with, by its index's file and time, its rules and its words."""


def compose_anchors(
    file: Path, recipe: Recipe, cell: Cell, licence: str, number: int, chosen: NDArray[np.int64]
) -> tuple[pa.RecordBatch, list[int], Counter[str]]:
    """The checked samples of some anchors: rows, their keys, and the reasons of those that gave none."""
    where = (str(file), file.stat().st_mtime_ns, recipe.rules_of(cell), recipe.wording)
    if where not in _OPEN:
        _OPEN.clear()
        index = Index(file)
        _OPEN[where] = (Bench(index, where[2], where[3]), index.phrases())
    bench, phrases = _OPEN[where]
    rows, keys, unfit = [], [], Counter[str]()
    for anchor in chosen.tolist():
        rng = Random(f"{recipe.seed}/{cell.name}/{number}/{anchor}")
        try:
            sample = compose(cell, bench, phrases, anchor, rng)
            if recipe.turns > 1:
                sample = replace(sample, further=ask(bench, sample, recipe.turns - 1, rng))
        except Unfit as reason:
            unfit[str(reason)] += 1
            continue
        prove(sample, bench.index, recipe.wording)
        rows.append(row(cell.name, licence, sample))
        keys.append(sample.key)
    return batch(rows), keys, unfit


def compose(cell: Cell, bench: Bench, phrases: list[str], anchor: Any, rng: Random) -> Composed:
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
        about = attributes.like_reference if cell.kind == "semantic" else attributes.like_described
        return attributes.compose(bench, about, phrase, n, rng)
    if cell.asks == "link":
        return attributes.like_linked(bench, phrase, n, rng)
    if cell.kind == "referential":
        return referential.compose(bench, phrase, n, rng)
    return semantic.compose(bench, phrase, n, rng)


def prove(sample: Composed, index: Index, words: Path = FILE) -> None:
    """Raises Untrue, with the sample, unless the checker finds it true of the annotation."""
    try:
        check(sample, index.by_id, index.question_by_id, index.conversation_by_id, words)
    except Untrue as error:
        raise Untrue(f"{error}. A fault of gemvg_repro's composers; the sample is {sample}") from None
