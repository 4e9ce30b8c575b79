"""What are all the numbers of a study? Runs -> one tidy table, from which every table and figure is made."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from ...files.atomic import write_bytes
from ...runs.layout import NUMBERS
from . import chains, costs, evaluations, official_scores, paired_seeds, rewards
from .collect import Collection
from .resampling import Draws
from .scores import Row

COLUMNS = ["run", "variant", "seed", "mode", "benchmark", "kind", "metric", "value", "low", "high", "n"]


def numbers(collection: Collection, draws: Draws | None = None) -> pd.DataFrame:
    """Every number of the finished runs, with columns COLUMNS.

    A row of one run carries its name and seed. A row over all seeds of a variant has no seed (<NA>) and joins
    their names in `run`; it is there for a single seed too, so that tables need these rows only.

    metric:
        f1, precision, recall: kind is one of the five, or "mean".
        iou, picture_accuracy, count_accuracy, none_accuracy, unreadable, tokens: kind "all".
        accuracy: kind "understanding".
        an official score of a published benchmark, by its official name: kind "official", or a task, text style,
        dataset or split.
        f1_minus_<variant>: interval over samples, the seeds held fixed; f1_minus_<variant>_over_seeds: a paired
        t-interval over n seeds. times_<shortcut>: how many times the shortcut's mean F1 the variant reaches.
        Of benchmark "slices", whose kinds are slices: f1, and f1_minus_direct_mode of CoT mode.
        Of benchmark "chains": `chains.METRICS`, kind one of the five, or "all".
        before, after, gain: GRPO's reward on the validation prompts; kind is its term.
        seconds_in_all (with all prerequisites), and COSTS; over all seeds <cost>_of_stage, of the variant's last stage.

    Args:
        collection: the runs; only finished ones are read.
        draws: of every bootstrap; by default 1,000 resamples.
    """
    draws = draws or Draws()
    rows = [
        *evaluations.rows(collection, draws),
        *official_scores.rows(official_scores.metrics(collection), draws),
        *chains.rows(collection),
        *rewards.rows(collection, draws.resamples, draws.seed),
        *costs.rows(collection),
    ]
    table = _typed(rows)
    paired = _typed(paired_seeds.rows(table))
    return pd.concat([table, paired], ignore_index=True) if len(paired) else table


def _typed(rows: Iterable[Row | Mapping[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=COLUMNS)
    return table.astype({"seed": "Int64", "n": "Int64", "value": float, "low": float, "high": float})


def save(table: pd.DataFrame, out: Path) -> Path:
    """Writes numbers.parquet into the folder `out`, which is made if need be."""
    out.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    write_bytes(out / NUMBERS, content.getvalue())
    return out / NUMBERS
