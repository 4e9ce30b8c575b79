"""How large is a measure, and how uncertain? Per-sample scores -> estimates with 95 % confidence intervals.

The intervals cover the sampling of the test set, not the variance over training seeds: where several seeds are given,
their mean is estimated with the seeds held fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...grounding.samples import GROUNDING_KINDS

Array = NDArray[np.float64]

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


@dataclass(frozen=True)
class Resampling:
    """How often each scene of a test set is drawn in each resample: the same draws serve every variant.

    Attributes:
        samples: (N, 3) table, index `sample`, columns `scene` (its code, 0 to C-1) and `kind`.
        draws: (R + 1, C); row 0 is the test set itself, so one computation gives value and resamples.
    """

    samples: pd.DataFrame
    draws: Array

    def totals(self, columns: Array) -> Array:
        """Sums of per-sample columns (N, S) in each resample: (R + 1, S)."""
        scenes = self.samples["scene"].to_numpy()
        order = np.argsort(scenes, kind="stable")
        starts = np.searchsorted(scenes[order], np.arange(self.draws.shape[1]))
        return np.asarray(self.draws @ np.add.reduceat(columns[order], starts, axis=0))


def resampling(scores: pd.DataFrame, resamples: int = 1000, seed: int = 0) -> Resampling:
    """Draws scenes with replacement: samples of one scene are dependent, so a scene is drawn as a whole.

    They are drawn within strata (a scene's most frequent kind), so that no resample loses a kind.

    Args:
        scores: one row per sample, with columns sample, scene, kind. Their order does not matter.
        resamples: R, how many resamples are drawn.
        seed: of the generator; the same seed and samples give the same draws.
    """
    samples = scores[["sample", "scene", "kind"]].set_index("sample").sort_index()
    if not samples.index.is_unique:
        twice = samples.index[samples.index.duplicated()][0]
        raise ValueError(f"sample {twice!r} is scored twice; score the predictions of this run again")
    scenes = pd.Series(pd.factorize(samples["scene"], sort=True)[0], index=samples.index)
    kinds = pd.factorize(samples["kind"], sort=True)[0]
    counts = np.zeros((scenes.nunique(), kinds.max(initial=0) + 1))
    np.add.at(counts, (scenes.to_numpy(), kinds), 1)
    strata = counts.argmax(axis=1)
    rng = np.random.default_rng(seed)
    draws = np.ones((resamples + 1, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        draws[1:, members] = _drawn(rng, len(members), resamples)
    return Resampling(samples.assign(scene=scenes), draws)


def _drawn(rng: np.random.Generator, n: int, resamples: int) -> Array:
    """How often each of n is drawn, (resamples, n): n - 1 draws, which together count as n.

    So the variance of a mean over resamples is unbiased, s²/n; n draws give (n - 1)/n of it, which is too little where
    strata are small (Rao and Wu, JASA 83, 1988). One scene alone is always drawn.
    """
    if n == 1:
        return np.ones((resamples, 1))
    return np.asarray(rng.multinomial(n - 1, np.full(n, 1 / n), size=resamples) * (n / (n - 1)))


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


def replicates(tables: Sequence[pd.DataFrame], draws: Resampling) -> dict[tuple[str, str], Array]:
    """Every measure of generalised grounding in every resample, (R + 1,), by (kind, metric).

    Args:
        tables: the per-sample scores of one variant in one mode, one table per seed; the measures are averaged.
        draws: made from the same samples.

    F1, precision and recall are micro averages within a kind, from true positives and box counts; kind "mean"
    is the mean over the kinds present, kind "all" holds the averages over all samples.
    """
    each = [_replicates(aligned(table, draws), draws) for table in tables]
    return {key: np.mean([one[key] for one in each], axis=0) for key in each[0]} if each else {}


def aligned(table: pd.DataFrame, draws: Resampling) -> pd.DataFrame:
    """The rows of `table` in the order of the resampled samples.

    Raises:
        ValueError: the table scores other samples than those of the resampling.
    """
    indexed = table.set_index("sample")
    places = indexed.index.get_indexer(draws.samples.index)
    if len(indexed) != len(draws.samples) or (places < 0).any():
        raise ValueError(
            f"a run scores {len(indexed)} samples, another {len(draws.samples)}, and not the "
            "same ones; name the grid that the runs belong to, so that runs of other settings are left out"
        )
    return indexed.iloc[places]


def _replicates(table: pd.DataFrame, draws: Resampling) -> dict[tuple[str, str], Array]:
    boxes = table[["tp", "n_true", "n_predicted"]].to_numpy(np.float64)
    kinds = [kind for kind in GROUNDING_KINDS if (table["kind"] == kind).any()]
    parts = [boxes * (table["kind"] == kind).to_numpy()[:, None] for kind in kinds]
    means = columns(table)
    parts += [np.column_stack([values, np.ones(len(table))]) * counted[:, None] for values, counted in means.values()]
    sums = iter(draws.totals(np.column_stack(parts)).T)
    measures: dict[tuple[str, str], Array] = {}
    for kind in kinds:
        tp, true, predicted = next(sums), next(sums), next(sums)
        measures[kind, "f1"] = ratio(2 * tp, true + predicted)
        measures[kind, "precision"] = ratio(tp, predicted)
        measures[kind, "recall"] = ratio(tp, true)
    for metric in ("f1", "precision", "recall") if kinds else ():
        measures["mean", metric] = np.mean([measures[kind, metric] for kind in kinds], axis=0)
    return measures | {("all", metric): ratio(next(sums), next(sums)) for metric in means}


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


def estimates(tables: Sequence[pd.DataFrame], draws: Resampling) -> dict[tuple[str, str], Estimate]:
    """Every measure of generalised grounding with its interval, by (kind, metric); see `replicates`."""
    ready = [aligned(table, draws) for table in tables]
    results: dict[tuple[str, str], Estimate] = {}
    for (kind, metric), values in replicates(tables, draws).items():
        samples = draws.samples[draws.samples["kind"] == kind] if kind in GROUNDING_KINDS else draws.samples
        trials = samples["scene"].nunique() if kind in GROUNDING_KINDS else 0
        results[kind, metric] = percentile(values, len(samples), trials)
    for metric in HIT_RATES if ready else ():
        counted = columns(ready[0])[metric][1]
        hits = np.mean([columns(table)[metric][0] for table in ready], axis=0)
        results["all", metric] = hit_rate(hits[counted], draws.samples["scene"].to_numpy()[counted])
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
    return _drawn(np.random.default_rng(seed), n, resamples)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Elementwise quotient; nan, not defined, where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
