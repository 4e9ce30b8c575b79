"""By which rule, fixed before any result, is a claim judged?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ..numbers.resampling import Array

Verdict = Literal["not run", "inconclusive", "reproduced", "direction only", "not reproduced"]

LEVEL = 0.05
MARGIN = -2.0
"""Points: "kept" is a lower end above this."""

RULE = (
    "In this order: `not run`. `inconclusive`: the 95 % interval of the difference holds both 0 and the paper's value, "
    "or 0 where no value is published. `reproduced`: above 0, and its upper end reaches the paper's value. `direction "
    "only`: above 0, and its upper end is below the paper's value, or no value is published. `not reproduced`: all "
    "else. A claim that is not above 0 after Holm's correction over all tests against 0 is at most inconclusive.",
    f"Understanding is kept (`reproduced`) if the lower end is above {MARGIN:g} points, and `not reproduced` if the "
    "upper end is not. Only the paper's scale on whole official files of a known revision may earn `reproduced`; "
    "else it is `direction only`. The miniature says `same direction`, `opposite` or `inconclusive`, in the miniature.",
    "Intervals are Student's t, with the variance over training seeds and over resampled scenes; with one seed, over "
    "scenes alone.",
)
"""As it is printed above the table."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference in points with its 95 % interval, the two-sided p of its test against 0, and the number of seeds."""

    value: float
    low: float
    high: float
    p: float
    seeds: int


def difference(by_seed: Sequence[float], resampled: Array) -> Difference:
    """The mean difference, with the variance over training seeds and that over the samples, which all seeds share.

    The two variances add up; Satterthwaite's degrees of freedom. With one seed the interval is of the samples alone.

    Args:
        by_seed: the difference of each seed, in points.
        resampled: (R,) the mean difference in each resample of the scenes, the seeds held fixed, in points.
    """
    k, value = len(by_seed), float(np.mean(by_seed))
    of_seeds = float(np.var(by_seed, ddof=1)) / k if k > 1 else 0.0
    variance = of_seeds + float(np.nanvar(resampled))
    freedom = variance**2 / (of_seeds**2 / (k - 1)) if of_seeds > 0 else math.inf
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * math.sqrt(variance)
    p = 2 * float(stats.t.sf(abs(value) / math.sqrt(variance), freedom)) if variance > 0 else float(value == 0)
    return Difference(value, value - half, value + half, p, k)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values (Scandinavian Journal of Statistics 6, 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values, dtype=float)[order] * factors), 1.0)
    result = np.empty(len(p_values))
    result[order] = adjusted
    return [float(p) for p in result]


def verdict(measured: Difference | None, paper: float | None, adjusted: float, official: bool = True) -> Verdict:
    """The verdict on a claim of "better".

    Args:
        measured: the difference; None: not run.
        paper: the published difference in points; None: only its direction is published.
        adjusted: Holm's p.
        official: the paper's scale, on whole official files of a known revision.
    """
    if measured is None:
        return "not run"
    holds_zero = measured.low <= 0 <= measured.high
    if holds_zero and (paper is None or measured.low <= paper <= measured.high):
        return "inconclusive"
    if measured.low <= 0:
        return "not reproduced"
    if adjusted >= LEVEL:
        return "inconclusive"
    return "reproduced" if paper is not None and measured.high >= paper and official else "direction only"


def kept(measured: Difference | None, official: bool = True) -> Verdict:
    """The verdict on a claim of "not worse by more than the margin"."""
    if measured is None:
        return "not run"
    if measured.low > MARGIN:
        return "reproduced" if official else "direction only"
    return "inconclusive" if measured.high > MARGIN else "not reproduced"


def in_miniature(given: Verdict, measured: Difference | None, kept: bool = False) -> str:
    """What the miniature may say; a verdict of the paper's scale is none of them."""
    if measured is None:
        return "not run"
    if given in ("reproduced", "direction only"):
        return "same direction, in the miniature"
    opposite = given == "not reproduced" if kept else measured.high < 0
    return "opposite, in the miniature" if opposite else "inconclusive, in the miniature"
