"""How do two variants differ over seeds? Differences paired by seed, with intervals by Student's t.

The seed is the unit: it orders the data and draws the trainings anew, while world and test set stay. An interval over
seeds so covers the luck of a training, which resampling the test set cannot see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd
from scipy import stats

from .estimates import Estimate
from .variants import REFERENCES

OVER_SEEDS = "_over_seeds"
"""Ends the metric of a difference whose interval is over seeds."""


def differences(numbers: pd.DataFrame, variant: str, other: str, mode: str, kind: str = "mean") -> pd.Series:
    """F1 of a variant minus that of another on the generalised test set, by the seeds that both have."""
    f1 = numbers[(numbers["benchmark"] == "generalised") & (numbers["metric"] == "f1") & numbers["seed"].notna()]
    f1 = f1[(f1["mode"] == mode) & (f1["kind"] == kind)]
    ours, theirs = (f1[f1["variant"] == name].set_index("seed")["value"] for name in (variant, other))
    return (ours - theirs).dropna().sort_index()


def by_t(values: pd.Series) -> Estimate:
    """The mean of n independent values with its 95 % interval by t; no interval for a single one."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stats.t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def rows(numbers: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Rows of the table of numbers: every difference of two variants that have two seeds or more in common."""
    f1 = numbers[(numbers["benchmark"] == "generalised") & (numbers["metric"] == "f1") & numbers["seed"].notna()]
    for (mode, variant, kind), own in f1.groupby(["mode", "variant", "kind"], sort=False):
        for other in REFERENCES.get(str(variant), ()):
            found = differences(numbers, str(variant), other, str(mode), str(kind))
            if len(found) > 1:
                metric = f"f1_minus_{other}{OVER_SEEDS}"
                runs = " ".join(own[own["seed"].isin(found.index)]["run"])
                where = {"run": runs, "variant": variant, "seed": None, "mode": mode, "benchmark": "generalised"}
                yield where | {"kind": kind, "metric": metric} | asdict(by_t(found))
