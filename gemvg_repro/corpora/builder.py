"""How is a training set built? Every cell of a recipe is composed, checked and written to shards.

Anchors are taken in an order shuffled by the recipe's seed until the quota is full; the sample of an anchor depends
on the seed, the cell and the anchor alone, so the result is the same for any number of workers.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..files.validation import Refused
from .cells import compose_anchors, tasks
from .composition.wording import wording
from .index import Index
from .manifest import MANIFEST, SHARDS_VERSION
from .recipe import STAGES, Cell, CompositionRecipe, Stage
from .shard_writer import Buckets, write_shard
from .workers import Progress, Submit, pool


@dataclass
class CellProgress:
    """The results of a cell so far: samples, follow-up questions about their images, and rejected anchors by reason."""

    cell: Cell
    made: int = 0
    further: int = 0
    unfit: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)

    def entry(self) -> dict[str, Any]:
        """The cell's entry in the manifest."""
        short = self.cell.count - self.made
        return {
            "kind": self.cell.kind, "source": self.cell.source, "counted_as": self.cell.counted_as,
            "quota": self.cell.count, "made": self.made, "short": short, "further": self.further,
            "not_made": dict(sorted(self.unfit.items())),
            "stages": {stage: self.stages[stage] for stage in STAGES},
        }  # fmt: skip


def build(
    recipe: CompositionRecipe, indexes: Mapping[str, Path], folder: Path, *, workers: int = 1,
    pictures: Mapping[str, Path] | None = None, embed: bool = False, most_pixels: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Builds the training set in `folder`, which must not exist, and returns its manifest.

    `indexes` has the index file of each available source; cells of other sources stay empty and are named in the
    manifest. `pictures` has the folder of each source's images, which the manifest refers to or, with `embed`, the
    shards contain, scaled down to `most_pixels`. Raises Untrue for a sample that does not follow from its annotation: a
    fault of this package, never of the data.
    """
    if folder.exists():
        raise Refused(f"{folder} exists; give another folder, or remove it to make the data anew")
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    indexes_by_source = {source: Index(file) for source, file in indexes.items()}
    roots = {name: root.resolve() for name, root in (pictures or {}).items()}
    cells = []
    with pool(workers) as submit:
        buckets = Buckets(partial, recipe.shards)
        for cell in recipe.cells:
            source = indexes.get(cell.source), roots.get(cell.source), indexes_by_source
            cells.append(_compose_cell(recipe, cell, *source, buckets, submit, workers, progress))
        buckets.close()
        entries = _finish(buckets, partial, roots if embed else None, most_pixels, submit, progress)
    if not any(entry["rows"] for entry in entries):
        shutil.rmtree(partial)
        raise Refused(_empty(cells, indexes_by_source))
    manifest = _manifest(recipe, cells, indexes_by_source, entries) | {
        "embedded": embed, "pictures": {} if embed else {name: str(root) for name, root in sorted(roots.items())},
    }  # fmt: skip
    (partial / TERMS).write_text(_terms(manifest), "utf-8")
    _write(partial / MANIFEST, manifest)
    partial.replace(folder)
    return manifest


def _manifest(
    recipe: CompositionRecipe, cells: list[CellProgress], indexes: Mapping[str, Index], entries: list[dict[str, Any]]
) -> dict[str, Any]:
    """All of the manifest but where the pictures are."""
    content = hashlib.sha256("".join(e["content"] for e in entries).encode()).hexdigest()
    return {
        "version": SHARDS_VERSION, "content": content, "rows": sum(e["rows"] for e in entries),
        "cells": {f.cell.name: f.entry() for f in cells},
        "paper": {name: _paper_count(cells, name) for name in recipe.paper},
        "sources": {name: _source_entry(index) for name, index in indexes.items()},
        "recipe": recipe.model_dump(mode="json", exclude={"wording"}), "wording": wording(recipe.wording),
        "shards": entries,
    }  # fmt: skip


def _empty(cells: Sequence[CellProgress], indexes: Mapping[str, Index]) -> str:
    """Why there is no sample: each cell's foremost reason, and what the readers left out."""
    of_cells = [
        f"{c.cell.name}: {foremost_reason(c.entry())}" for c in cells if c.cell.count and c.cell.source in indexes
    ]
    skipped = [f"{name}: {what}: {n}" for name, index in indexes.items() for what, n in index.skips().counts.items()]
    if not of_cells:
        of_cells = [f"no cell of the recipe with a count above 0 is from {', '.join(sorted(indexes))}"]
    return "\n  ".join(["no sample could be composed; nothing is written:", *of_cells, *skipped])


def foremost_reason(cell: Mapping[str, Any]) -> str:
    """Of a cell's entry in a manifest: why the most anchors gave no sample; empty if nothing is short."""
    reasons: Mapping[str, int] = cell["not_made"]
    if not cell["short"]:
        return ""
    why = max(reasons, key=lambda reason: reasons[reason], default="")
    return f"{why}: {reasons[why]}" if why else "its source has no anchors for this kind"


TERMS = "LICENCES.txt"
"""The licences, in a file beside the shards."""


def _terms(manifest: Mapping[str, Any]) -> str:
    """The licence of each source's part of the shards."""
    storage = "contain pictures of" if manifest["embedded"] else "refer to pictures of, and contain annotations of"
    lines = [f"{name}: {facts['licence']}" for name, facts in sorted(manifest["sources"].items())]
    return "\n".join([f"The shards of this folder {storage}:", "", *lines, "", "Every row names its licence too.", ""])


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=1, sort_keys=True), "utf-8")


def _paper_count(cells: list[CellProgress], name: str) -> dict[str, int]:
    counted = [f for f in cells if f.cell.counted_as == name]
    return {"wanted": sum(f.cell.count for f in counted), "made": sum(f.made for f in counted)}


def _source_entry(index: Index) -> dict[str, Any]:
    skips = index.skips()
    return {
        "licence": index.facts.get("licence", ""), "frames": len(index.numbers()),
        "skipped": skips.counts, "examples": skips.places,
    }  # fmt: skip


def _compose_cell(
    recipe: CompositionRecipe, cell: Cell, file: Path | None, images: Path | None, opened: Mapping[str, Index],
    buckets: Buckets, submit: Submit, workers: int, progress: Progress | None,
) -> CellProgress:  # fmt: skip
    """Composes a cell until its quota is full or its anchors are exhausted."""
    progress_of_cell = CellProgress(cell)
    if file is None:
        progress_of_cell.unfit["the source is not there"] = cell.count
        return progress_of_cell
    seen_keys: set[int] = set()
    licence = opened[cell.source].facts.get("licence", "")
    pending = tasks(recipe, cell, opened[cell.source])
    running: deque[Future[Any]] = deque()
    for task in islice(pending, 0 if cell.count == 0 else workers * 2 if workers > 1 else 1):
        running.append(submit(compose_anchors, file, recipe, cell, licence, images, *task))
    while running:
        rows, keys, unfit = running.popleft().result()
        _accept(recipe, progress_of_cell, rows, keys, seen_keys, buckets)
        progress_of_cell.unfit.update(unfit)
        if progress:
            progress(cell.name, progress_of_cell.made, cell.count)
        if progress_of_cell.made >= cell.count:
            for future in running:
                future.cancel()
            break
        for task in islice(pending, 1):
            running.append(submit(compose_anchors, file, recipe, cell, licence, images, *task))
    return progress_of_cell


def _accept(
    recipe: CompositionRecipe,
    progress_of_cell: CellProgress,
    rows: pa.RecordBatch,
    keys: list[int],
    seen_keys: set[int],
    buckets: Buckets,
) -> None:
    """Adds new samples up to the quota and assigns their stages by their number."""
    new: list[int] = []
    for n, key in enumerate(keys):
        if progress_of_cell.made + len(new) == progress_of_cell.cell.count:
            break
        if key in seen_keys:
            progress_of_cell.unfit["the same sample again"] += 1
            continue
        seen_keys.add(key)
        new.append(n)
    if not new:
        return
    part = rows.take(pa.array(new, type=pa.int64()))
    numbers = np.arange(progress_of_cell.made, progress_of_cell.made + len(new))
    for stage, selected in stages_of(numbers, recipe.stages_of(progress_of_cell.cell)).items():
        progress_of_cell.stages[stage] += int(selected.sum())
        part = part.set_column(part.schema.get_field_index(stage), stage, pa.array(selected))
    progress_of_cell.made += len(new)
    progress_of_cell.further += len(part.column("further").flatten())
    buckets.add(part)


_GOLDEN = (5**0.5 - 1) / 2


def stages_of(numbers: NDArray[np.int64], shares: Mapping[Stage, float]) -> dict[Stage, NDArray[np.bool_]]:
    """The samples of a cell, by number from 0, that each stage trains on; any range of numbers has about its shares.

    Multiples of the golden ratio fill the circle evenly (Weyl); cot_sft takes an arc from its start, grpo from its end.
    """
    at = numbers * _GOLDEN % 1.0
    return {
        "sft": at < shares["sft"],
        "cot_sft": at < shares["cot_sft"],
        "grpo": at >= 1 - shares["grpo"],
    }


def _finish(
    buckets: Buckets, folder: Path, embedded: Mapping[str, Path] | None, most_pixels: int | None, submit: Submit,
    progress: Progress | None,
) -> list[dict[str, Any]]:  # fmt: skip
    of = len(buckets.files)
    shards = [folder / f"train-{n:05d}-of-{of:05d}.parquet" for n in range(of)]
    futures = [submit(write_shard, b, s, embedded, most_pixels) for b, s in zip(buckets.files, shards, strict=True)]
    entries = []
    for future in futures:
        entries.append(future.result())
        if progress:
            progress("shards", len(entries), of)
    return entries
