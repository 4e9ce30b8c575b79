"""How large is a measure, and how uncertain? Per-sample scores -> estimates with 95 % confidence intervals.

The intervals cover the sampling of the test set, not the variance over training seeds: where several seeds are given,
their mean is estimated with the seeds held fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...grounding.samples import GROUNDING_KINDS
from .resampling import Array, Resampling, drawn

Key = tuple[str, str]
"""Kind and metric."""

USED = ("sample", "kind", "tp", "n_true", "n_predicted", "unreadable", "picture_ok", "iou", "tokens")
"""Columns of per-sample scores that the measures are made of."""

Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval and the number of samples behind it; nan where it is not defined.

    `runs`: the names of the runs that it is of, with spaces between, where it is looked up among the numbers.
    """

    value: float
    low: float
    high: float
    n: int
    runs: str = field(default="", compare=False)


def percentile(replicates: Array, n: int, trials: int = 0) -> Estimate:
    """The percentile interval. Row 0 of `replicates` (R + 1,) is the value itself.

    Resamples in which the measure is not defined are passed over. Where all agree on 0 or 1, resampling
    cannot see how sure that is: given the number of independent `trials`, Wilson's interval stands in.
    """
    value = float(replicates[0])
    defined = replicates[1:][np.isfinite(replicates[1:])]
    if not np.isfinite(value) or not len(defined):
        return Estimate(float("nan"), float("nan"), float("nan"), n)
    if trials and value in (0.0, 1.0) and np.ptp(defined) == 0:
        return Estimate(value, *wilson(value, trials), n)
    low, high = np.quantile(defined, (0.025, 0.975), method="weibull")  # the (R + 1) p-th: R of them cover 95 %
    return Estimate(value, float(low), float(high), n)


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's interval of a share among n independent trials (n need not be whole); valid at 0 and 1, too."""
    if n <= 0:
        return float("nan"), float("nan")
    middle = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def hit_rate(hits: Array, scenes: NDArray[np.int64]) -> Estimate:
    """The share of hits, with Wilson's interval for as many independent trials as the samples are worth.

    That number is p(1-p) over the variance of p clustered by scene (equation 4 of arXiv 2411.00640): n itself
    where every scene has one sample. Where all samples agree it is the number of scenes.
    """
    n = len(hits)
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    share = float(hits.mean())
    _, codes = np.unique(scenes, return_inverse=True)
    variance = float((np.bincount(codes, hits - share) ** 2).sum()) / n**2
    constant = variance <= 1e-15
    worth = float(codes.max() + 1) if constant else share * (1 - share) / variance
    return Estimate(share, *wilson(share, worth), n)


def replicates(tables: Sequence[pd.DataFrame], draws: Resampling) -> dict[Key, Array]:
    """Every measure of generalised grounding in every resample, (R + 1,), by (kind, metric).

    Args:
        tables: the per-sample scores of one variant in one mode, one table per seed; the measures are averaged.
        draws: made from the same samples.

    F1, precision and recall are micro averages within a kind, from true positives and box counts; kind "mean"
    is the mean over the kinds present, kind "all" holds the averages over all samples.
    """
    each = [_measured(table, draws).replicates for table in tables]
    return {key: np.mean([one[key] for one in each], axis=0) for key in each[0]} if each else {}


def aligned(table: pd.DataFrame, draws: Resampling) -> pd.DataFrame:
    """The rows of `table` in the order of the resampled samples.

    Raises:
        ValueError: the table scores other samples than those of the resampling.
    """
    places = pd.Index(table["sample"]).get_indexer(draws.samples.index)
    if len(table) != len(draws.samples) or (places < 0).any():
        raise ValueError(
            f"a run scores {len(table)} samples, another {len(draws.samples)}, and not the "
            "same ones; name the grid that the runs belong to, so that runs of other settings are left out"
        )
    ordered: pd.DataFrame = table.iloc[places]
    return ordered


class Measured(NamedTuple):
    """What one run's scores come to: `replicates` as above, and the values of `columns`."""

    replicates: dict[Key, Array]
    columns: dict[str, tuple[Array, NDArray[np.bool_]]]


def _measured(table: pd.DataFrame, draws: Resampling) -> Measured:
    return draws.once(table, "generalised", lambda: _replicates(aligned(table[list(USED)], draws), draws))


def _replicates(table: pd.DataFrame, draws: Resampling) -> Measured:
    boxes = table[["tp", "n_true", "n_predicted"]].to_numpy(np.float64)
    of_kind = table["kind"].to_numpy(object)
    members = {kind: of_kind == kind for kind in GROUNDING_KINDS}
    kinds = [kind for kind in GROUNDING_KINDS if members[kind].any()]
    parts = [boxes * members[kind][:, None] for kind in kinds]
    means = columns(table)
    parts += [np.column_stack([values, np.ones(len(table))]) * counted[:, None] for values, counted in means.values()]
    sums = iter(draws.totals(np.column_stack(parts)).T)
    measures: dict[Key, Array] = {}
    for kind in kinds:
        tp, true, predicted = next(sums), next(sums), next(sums)
        measures[kind, "f1"] = ratio(2 * tp, true + predicted)
        measures[kind, "precision"] = ratio(tp, predicted)
        measures[kind, "recall"] = ratio(tp, true)
    for metric in ("f1", "precision", "recall") if kinds else ():
        measures["mean", metric] = np.mean([measures[kind, metric] for kind in kinds], axis=0)
    measures |= {("all", metric): ratio(next(sums), next(sums)) for metric in means}
    return Measured(measures, means)


def columns(table: pd.DataFrame) -> dict[str, tuple[Array, NDArray[np.bool_]]]:
    """The measures that are means over samples: metric -> (values (N,), which samples count (N,))."""
    everything = np.ones(len(table), dtype=bool)
    without = (table["n_true"] == 0).to_numpy()
    counted = (table["n_predicted"] == table["n_true"]) & ~table["unreadable"].astype(bool)
    return {
        "count_accuracy": (counted.to_numpy(np.float64), everything),
        "none_accuracy": (counted.to_numpy(np.float64), without),
        "picture_accuracy": (table["picture_ok"].to_numpy(np.float64), everything),
        "unreadable": (table["unreadable"].to_numpy(np.float64), everything),
        "iou": (table["iou"].to_numpy(np.float64), everything),
        "tokens": (table["tokens"].to_numpy(np.float64), everything),
    }


HIT_RATES = ("count_accuracy", "none_accuracy", "picture_accuracy", "unreadable")
"""Measures that get Wilson's interval instead of the bootstrap's."""


def estimates(tables: Sequence[pd.DataFrame], draws: Resampling) -> dict[Key, Estimate]:
    """Every measure of generalised grounding with its interval, by (kind, metric); see `replicates`."""
    scenes = draws.samples["scene"].to_numpy()
    of_kind = draws.samples["kind"].to_numpy(object)
    results: dict[Key, Estimate] = {}
    for (kind, metric), values in replicates(tables, draws).items():
        members = scenes[of_kind == kind] if kind in GROUNDING_KINDS else scenes
        trials = len(np.unique(members)) if kind in GROUNDING_KINDS else 0
        results[kind, metric] = percentile(values, len(members), trials)
    each = [_measured(table, draws).columns for table in tables]
    for metric in HIT_RATES if each else ():
        counted = each[0][metric][1]
        hits = np.mean([one[metric][0] for one in each], axis=0)
        results["all", metric] = hit_rate(hits[counted], scenes[counted])
    return results


def mean(values: Array, resamples: int = 1000, seed: int = 0) -> Estimate:
    """The mean of n independent values (n,), or paired differences, with its bootstrap interval."""
    n = len(values)
    if n < 2:
        return Estimate(float(values.sum()) if n else float("nan"), float("nan"), float("nan"), n)
    return percentile(np.concatenate([[values.mean()], _draws(n, resamples, seed) @ values / n]), n)


@lru_cache(maxsize=4)
def _draws(n: int, resamples: int, seed: int) -> Array:
    """How often each of n is drawn, (resamples, n): the same for all measures of as many, and slow to draw."""
    return drawn(np.random.default_rng(seed), n, resamples)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Elementwise quotient; nan, not defined, where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
