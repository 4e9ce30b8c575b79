"""What are the runs' official benchmark scores, and their intervals?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from .collect import Collection, Run
from .estimates import wilson

KIND = "official"

_Row = tuple[object, ...]
_Metric = dict[str, Any]
"""Its value, n and share, as `benchmarks.interface.Metric` has them."""


def rows(collection: Collection) -> Iterator[_Row]:
    """Every official score of the finished runs, in [0, 1], as rows of `numbers`: metric is its official name.

    A proportion of samples has Wilson's interval; an average precision, or a mean over tasks, has none. The row over
    all seeds has their mean; it is left out where the official script would have stopped for one of them.
    """
    by_metric: dict[tuple[str, str, str, str], list[tuple[Run, _Metric]]] = {}
    for run in collection.finished("evaluation"):
        for (benchmark, mode), headline in run.official().items():
            for metric, each in headline.items():
                by_metric.setdefault((run.variant, mode, benchmark, metric), []).append((run, each))
    for (variant, mode, benchmark, metric), runs in by_metric.items():
        where = (mode, benchmark, KIND, metric)
        defined = [(run, _estimate([each])) for run, each in runs if each["value"] is not None]
        for run, estimate in defined:
            if run.seed is not None:
                yield (run.name, variant, run.seed, *where, *estimate)
        if len(defined) == len(runs):
            yield (" ".join(run.name for run, _ in runs), variant, None, *where, *_estimate([each for _, each in runs]))


def _estimate(metrics: Sequence[_Metric]) -> tuple[float, float, float, int]:
    """Value, low, high and the number of samples of one metric, as the mean over the seeds."""
    value = sum(each["value"] for each in metrics) / len(metrics)
    n = int(metrics[0]["n"])
    low, high = wilson(value, n) if metrics[0]["share"] else (math.nan, math.nan)
    return value, low, high, n
