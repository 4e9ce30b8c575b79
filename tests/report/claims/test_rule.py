"""Each edge of the rule; Holm's correction and the intervals against values computed elsewhere."""

import numpy as np
import pytest
from scipy import stats

from gemvg_repro.report.claims.rule import Difference, difference, holm, in_miniature, kept, verdict


def of(low: float, high: float) -> Difference:
    return Difference((low + high) / 2, low, high, 0.01, 3)


@pytest.mark.parametrize(
    ("low", "high", "paper", "expected"),
    [
        (-1.0, 3.0, 2.0, "inconclusive"),  # holds 0 and 2
        (0.0, 2.0, 2.0, "inconclusive"),  # an end that is 0, and one that is the value, are held
        (0.01, 2.0, 2.0, "reproduced"),
        (0.01, 1.99, 2.0, "direction only"),
        (3.0, 5.0, 2.0, "reproduced"),  # larger than claimed
        (-1.0, 1.9, 2.0, "not reproduced"),  # holds 0, not 2
        (-3.0, -1.0, 2.0, "not reproduced"),
        (-1.0, 1.0, None, "inconclusive"),
        (0.01, 1.0, None, "direction only"),  # no value is published that it could reach
        (-2.0, -0.01, None, "not reproduced"),
    ],
)
def test_the_edges(low: float, high: float, paper: float | None, expected: str) -> None:
    assert verdict(of(low, high), paper, adjusted=0.01) == expected


def test_the_order_and_what_caps_a_verdict() -> None:
    assert verdict(None, 2.0, 0.01) == "not run"
    assert verdict(of(1, 3), 2.0, adjusted=0.05) == "inconclusive"  # not above 0 after Holm
    assert verdict(of(1, 3), 2.0, adjusted=0.0499) == "reproduced"
    assert verdict(of(-3, -1), 2.0, adjusted=1.0) == "not reproduced"  # at most inconclusive: worse stays
    assert verdict(of(1, 3), 2.0, adjusted=0.01, official=False) == "direction only"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-1.99, 1.0, "reproduced"), (-2.0, 1.0, "inconclusive"), (-4.0, -1.99, "inconclusive"),
     (-4.0, -2.0, "not reproduced")],
)  # fmt: skip
def test_kept_is_non_inferiority(low: float, high: float, expected: str) -> None:
    assert kept(of(low, high)) == expected
    assert kept(None) == "not run"
    assert kept(of(-1, 1), official=False) == "direction only"


def test_the_miniature_never_reproduces() -> None:
    up, around, down = of(1, 3), of(-1, 1), of(-3, -1)
    assert in_miniature("not run", None) == "not run"
    assert in_miniature("reproduced", up) == in_miniature("direction only", up) == "same direction, in the miniature"
    assert in_miniature("not reproduced", around) == "inconclusive, in the miniature"
    assert in_miniature("not reproduced", down) == "opposite, in the miniature"
    assert in_miniature("inconclusive", down, kept=True) == "inconclusive, in the miniature"


def test_holm() -> None:
    # statsmodels 0.15.0: multipletests([0.01, 0.04, 0.03, 0.005], method="holm")[1]
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.9]) == [1.0, 1.0]


def test_five_seeds_without_variance_of_samples_are_a_t_interval() -> None:
    values = [1.0, 2.0, 4.0, 3.0, 2.5]
    measured = difference(values, np.zeros(10))
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (measured.low, measured.high) == pytest.approx((low, high))
    assert measured.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_one_seed_has_the_variance_of_the_samples() -> None:
    resampled = np.random.default_rng(0).normal(1.0, 0.5, 100_000)
    measured = difference([1.0], resampled)
    assert measured.high - measured.value == pytest.approx(1.96 * 0.5, rel=0.01) and measured.seeds == 1
