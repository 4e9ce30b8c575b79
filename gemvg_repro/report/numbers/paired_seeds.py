"""How do two variants differ over training seeds? Paired differences with Student t-intervals.

The seed is the unit: it orders the data and every training is done anew with it, while world and test set stay. An
interval over seeds therefore covers the variance over training seeds, which resampling the test set cannot show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import pandas as pd
from scipy import stats

from ..labels import SHIFTS, references
from .estimates import Estimate

OVER_SEEDS = "_over_seeds"
"""Ends the metric of a difference whose interval is over seeds."""


def by_seed(numbers: pd.DataFrame, benchmark: str = "generalised") -> pd.DataFrame:
    """F1 on the generalised test set, or one out of distribution: one row per seed, columns (mode, kind, variant)."""
    f1 = numbers[(numbers["benchmark"] == benchmark) & (numbers["metric"] == "f1") & numbers["seed"].notna()]
    return f1.pivot(index="seed", columns=["mode", "kind", "variant"], values="value").sort_index()


def differences(f1: pd.DataFrame, variant: str, other: str, mode: str, kind: str = "mean") -> pd.Series:
    """F1 (as of `by_seed`) of a variant minus that of another, by the seeds that both have."""
    if not {(mode, kind, variant), (mode, kind, other)} <= set(f1.columns):
        return pd.Series(dtype=float)
    return (f1[mode, kind, variant] - f1[mode, kind, other]).dropna()


def t_interval(values: pd.Series) -> Estimate:
    """The mean of n independent values with its 95 % t-interval; no interval for a single value."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stats.t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def rows(numbers: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Rows of the table of numbers: every difference of two variants that have two seeds or more in common."""
    for benchmark in ("generalised", *SHIFTS):
        scored = numbers[(numbers["benchmark"] == benchmark) & (numbers["metric"] == "f1") & numbers["seed"].notna()]
        runs = dict(zip(zip(scored["variant"], scored["seed"], strict=True), scored["run"], strict=True))
        yield from _rows(by_seed(numbers, benchmark), benchmark, runs)


def _rows(f1: pd.DataFrame, benchmark: str, names: Mapping[tuple[str, int], str]) -> Iterator[dict[str, object]]:
    levels = [f1.columns.get_level_values(name) for name in ("mode", "kind", "variant")]
    for mode, kind, variant in zip(*levels, strict=True):
        for other in references(variant):
            paired = differences(f1, variant, other, mode, kind)
            if len(paired) > 1:
                runs = " ".join(names[variant, seed] for seed in paired.index)
                where = {"run": runs, "variant": variant, "seed": None, "mode": mode, "benchmark": benchmark}
                yield where | {"kind": kind, "metric": f"f1_minus_{other}{OVER_SEEDS}"} | asdict(t_interval(paired))
