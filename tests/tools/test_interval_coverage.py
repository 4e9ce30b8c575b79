"""The simulation of intervals, small: the full one is `python -m tools.interval_coverage`."""

import numpy as np
import pytest

from tools.interval_coverage import CASES, coverage


@pytest.mark.parametrize("name", ["accuracy, 300 samples in scenes of 3", "AP50, 4 datasets of 60 images"])
def test_most_intervals_hold_the_truth(name: str) -> None:
    rng = np.random.default_rng(1)
    reached = coverage([CASES[name](rng) for _ in range(40)])
    assert 0.83 <= reached <= 1.0  # 40 sets of 95 %: below in one of a thousand simulations


def test_coverage_counts_ends_and_takes_the_mean_where_no_truth_is_known() -> None:
    assert coverage([(0.5, 0.4, 0.6, 0.6), (0.5, 0.4, 0.5, 0.6)]) == 0.5
    assert coverage([(0.0, 0.0, 1.0, np.nan), (1.0, 0.6, 1.0, np.nan)]) == 0.5
