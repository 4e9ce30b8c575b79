"""What are the runs' official benchmark scores, and their intervals?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from ...benchmarks.averages import averages
from ...benchmarks.sample_scores import Average
from .collect import Collection, Run
from .estimates import Estimate, wilson
from .resampling import Array, Draws, Resampling
from .scores import Row

KIND = "official"

AP_RESAMPLES = 200
"""Resamples of an average precision: its standard error needs no more, and each takes a curve a category."""


@dataclass(frozen=True)
class OfficialMetric:
    """A metric of a benchmark, of one variant in one mode: of each run its value and its samples' rows.

    `tables`: as `benchmarks.sample_scores.frame` has them, of the rows that the metric averages; in order of `runs`.
    """

    variant: str
    mode: str
    benchmark: str
    name: str
    average: Average
    n: int
    runs: tuple[Run, ...]
    values: tuple[float, ...]
    tables: tuple[pd.DataFrame, ...]

    def of_runs(self, runs: Iterator[Run] | list[Run]) -> OfficialMetric:
        """The same of some of its runs."""
        names = {run.name for run in runs}
        kept = [n for n, run in enumerate(self.runs) if run.name in names]
        pick = [tuple(part[n] for n in kept) for part in (self.runs, self.values, self.tables)]
        where = (self.variant, self.mode, self.benchmark, self.name, self.average, self.n)
        return OfficialMetric(*where, *pick)  # type: ignore[arg-type]

    @cached_property
    def groups(self) -> list[str]:
        """Its tasks, text styles, datasets or splits, in the order of their names."""
        return sorted(self.tables[0]["group"].unique())

    def replicates(self, draw: Draws, group: str | None = None) -> Array:
        """The metric in each resample, averaged over the runs, (R + 1,); row 0 is the official value itself."""
        samples = self.tables[0].drop_duplicates("sample").rename(columns={"group": "kind"})
        drawn = draw(samples[["sample", "scene", "kind"]])
        each = [
            drawn.once(table, (self.average, group), partial(self._of, table, group, drawn)) for table in self.tables
        ]
        mean: Array = np.mean(each, axis=0)
        return mean

    def _of(self, table: pd.DataFrame, group: str | None, drawn: Resampling) -> Array:
        part = table if group is None else table[table["group"] == group]
        places = drawn.samples.index.get_indexer(pd.Index(part["sample"]))
        if (places < 0).any():
            raise ValueError(
                f"runs of {self.benchmark} score different samples; name the grid that they belong to, so that runs "
                "of other settings are left out"
            )
        draws = drawn.draws if self.average in ("micro", "macro") else drawn.draws[: AP_RESAMPLES + 1]
        return averages(part, self.average, drawn.samples["scene"].to_numpy()[places], draws)

    def estimate(self, draw: Draws, group: str | None = None) -> Estimate:
        """The mean over the runs, with the interval of `share`."""
        rows = self.tables[0] if group is None else self.tables[0][self.tables[0]["group"] == group]
        samples = rows["sample"].nunique()
        return share(self.replicates(draw, group), self.n if group is None else samples, rows["scene"].nunique())


def share(replicates: Array, n: int, scenes: int) -> Estimate:
    """A number in [0, 1] with Wilson's interval for as many independent trials as its variance is worth.

    The trials are v (1 - v) over the variance of the resamples: so it stays within [0, 1], as the percentiles do, and
    covers better near its ends. Where no resample differs, there are as many trials as scenes.
    """
    value = float(replicates[0])
    if not np.isfinite(value):
        return Estimate(float("nan"), float("nan"), float("nan"), n)
    value = min(max(value, 0.0), 1.0)
    variance = float(np.nanvar(replicates[1:]))
    worth = value * (1 - value) / variance if variance > 1e-12 and 0 < value < 1 else scenes
    return Estimate(value, *wilson(value, worth), n)


def metrics(collection: Collection) -> list[OfficialMetric]:
    """Every metric of the finished evaluations that is defined in each of its runs."""
    by_metric: dict[tuple[str, str, str, str], list[tuple[Run, dict[str, object], pd.DataFrame]]] = {}
    for run in [*collection.finished("evaluation"), *collection.finished("answers")]:
        tables = run.scores()
        for (benchmark, mode), headline in run.official().items():
            for metric, each in headline.items():
                table = tables.get((benchmark, mode))
                if table is not None and "of" in table and "average" in each:
                    rows = run.of_metric(benchmark, mode, each["of"])
                    by_metric.setdefault((run.variant, mode, benchmark, metric), []).append((run, each, rows))
    return [
        OfficialMetric(*key, each[0][1]["average"], int(str(each[0][1]["n"])), *_columns(each))  # type: ignore[arg-type]
        for key, each in by_metric.items()
        if all(metric["value"] is not None and len(rows) for _, metric, rows in each)
    ]


def _columns(
    each: list[tuple[Run, dict[str, object], pd.DataFrame]],
) -> tuple[tuple[Run, ...], tuple[float, ...], tuple[pd.DataFrame, ...]]:
    runs, metric, tables = zip(*each, strict=True)
    return runs, tuple(float(one["value"]) for one in metric), tables


def rows(measured: list[OfficialMetric], draw: Draws) -> Iterator[Row]:
    """Every official score, in [0, 1], as rows of `numbers`: metric is its official name, kind a group or "official".

    The row over all seeds has their mean; a metric that the official script would have stopped at has no row.
    """
    for metric in measured:
        seeds = [metric.of_runs([run]) for run in metric.runs if run.seed is not None]
        for part, seed in [(metric, None), *((one, one.runs[0].seed) for one in seeds)]:
            names = " ".join(run.name for run in part.runs)
            for group in (None, *part.groups):
                e = part.estimate(draw, group)
                where = (part.mode, part.benchmark, KIND if group is None else group, part.name)
                yield (names, part.variant, seed, *where, e.value, e.low, e.high, e.n)
