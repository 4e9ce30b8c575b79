"""Which per-sample scores does a number of the table summarise?"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ...grounding.samples import GROUNDING_KINDS
from ..labels import MODEL_FREE, SHORTCUTS, position
from .collect import Collection, Run
from .estimates import Estimate

Row = tuple[object, ...]
"""The values of `table.COLUMNS`."""


@dataclass(frozen=True)
class Scores:
    """The scores of one variant on one benchmark in one mode: one table per run, that is, per seed."""

    benchmark: str
    mode: str
    variant: str
    runs: tuple[Run, ...]
    tables: tuple[pd.DataFrame, ...]

    def of_seeds(self, seeds: set[int | None]) -> list[pd.DataFrame]:
        return [table for run, table in zip(self.runs, self.tables, strict=True) if run.seed in seeds]

    def of_each_seed(self) -> list[tuple[Run, pd.DataFrame]]:
        """The runs that have a seed, which the base has not."""
        return [(run, table) for run, table in zip(self.runs, self.tables, strict=True) if run.seed is not None]


def scores_of(collection: Collection) -> list[Scores]:
    """The scores of all finished evaluations, by benchmark, mode and variant."""
    by_task: dict[tuple[str, str, str], list[tuple[Run, pd.DataFrame]]] = {}
    for run in [*collection.finished("data"), *collection.finished("evaluation")]:
        for (benchmark, mode), table in run.scores().items():
            if benchmark in ("generalised", *SHORTCUTS):
                table = of_rows(table, table["kind"].isin(GROUNDING_KINDS))
            variant = "" if benchmark in MODEL_FREE else run.variant
            if variant or (benchmark, mode, variant) not in by_task:  # without a model, every run has the same ones
                by_task.setdefault((benchmark, mode, variant), []).append((run, table))
    ordered = sorted(by_task.items(), key=lambda item: (item[0][:2], position(item[0][2])))
    return [Scores(*key, *(tuple(part) for part in zip(*each, strict=True))) for key, each in ordered]


def of_rows(table: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """These rows of a table; the table itself if that is all of them, so that it is measured once."""
    return table if chosen.all() else table[chosen]


def row(scores: Scores, kind: str, metric: str, estimate: Estimate, run: Run | None = None) -> Row:
    """A row of one run, or of all runs of the scores where none is given."""
    names = run.name if run else " ".join(one.name for one in scores.runs)
    where = (names, scores.variant, run.seed if run else None, scores.mode, scores.benchmark, kind, metric)
    return (*where, estimate.value, estimate.low, estimate.high, estimate.n or None)
