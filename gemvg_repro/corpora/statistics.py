"""What is in a training set? Counts by kind, source, pictures and targets; sizes of boxes; words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from .shards import manifest

_COLUMNS = ["kind", "source", "cell", "query", "chain", "cot_sft", "grpo", "pictures", "targets"]


def overview(folder: Path) -> pd.DataFrame:
    """One row a sample: kind, source, cell, stages, numbers of pictures and targets, words of query and chain, and the
    square root of the mean target's area as a share of its picture's (NaN without targets). Read shard by shard."""
    return pd.concat([_of(folder / entry["file"]) for entry in manifest(folder)["shards"]], ignore_index=True)


def _of(file: Path) -> pd.DataFrame:
    rows = pq.read_table(file, columns=_COLUMNS)
    plain: pd.DataFrame = rows.drop(["pictures", "targets", "query", "chain"]).to_pandas()
    targets = rows.column("targets").to_pylist()
    plain["pictures"] = [len(p) for p in rows.column("pictures").to_pylist()]
    plain["targets"] = [len(t) for t in targets]
    plain["box"] = [_mean_side([t["box"] for t in found]) for found in targets]
    for name in ("query", "chain"):
        plain[f"{name}_words"] = [len(text.split()) for text in rows.column(name).to_pylist()]
    return plain


def _mean_side(boxes: list[list[float]]) -> float:
    if not boxes:
        return float("nan")
    corners = np.array(boxes)
    return float(np.sqrt(np.mean((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))))


def tables(samples: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """The overview counted: by kind and source, by pictures, by targets; and sizes and words by kind."""
    measures = samples.groupby("kind")[["box", "query_words", "chain_words"]].mean().round(3)
    return {
        "kind and source": pd.crosstab(samples["kind"], samples["source"], margins=True),
        "pictures": pd.crosstab(samples["kind"], samples["pictures"]),
        "targets": pd.crosstab(samples["kind"], samples["targets"]),
        "means": measures,
    }
