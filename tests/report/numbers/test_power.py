"""The smallest detectable difference: against published values of the power of t-tests, and by simulation."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gemvg_repro.report.expected import planned
from gemvg_repro.report.numbers import pilot as command
from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.lookup import difference
from gemvg_repro.report.numbers.paired_seeds import by_seed, differences, t_interval
from gemvg_repro.report.numbers.power import Pilot, detectable, load, power, seeds_needed
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.sections.detectable_difference import known, statement, table
from gemvg_repro.report.sections.summary import summary
from gemvg_repro.report.sections.tables import differences as table_of_differences

from .. import synthetic
from ..synthetic import STUDY

ROOT = Path(__file__).resolve().parents[3]
DEVIATIONS = {("cot", "hybrid", "cot"): 0.01, ("direct", "hybrid", "direct"): 0.02}
PILOT = Pilot((100, 101, 102), STUDY.settings, 40, "Made up.", DEVIATIONS)
SEEDS = replace(STUDY, seeds=(100, 101, 102))
VARIANTS = ["cot_sft", "sft_more", "cot", "hybrid"]


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Evaluations of three seeds, in a folder of their own."""
    folder = tmp_path_factory.mktemp("pilot")
    directories = synthetic.names(seeds=(100, 101, 102), variants=VARIANTS)
    synthetic.build(folder, [name for name in directories if "evaluate" in name], samples=40, choices=5)
    return collect(folder)


@pytest.fixture(scope="module")
def measured_seeds(three_seeds: Collection) -> pd.DataFrame:
    return numbers(three_seeds, Draws(50))


@pytest.mark.parametrize(("effect", "pairs", "expected"), [(1.0, 10, 0.8031), (0.5, 34, 0.8078), (0.0, 5, 0.05)])
def test_power_is_that_of_g_power(effect: float, pairs: int, expected: float) -> None:
    """G*Power 3.1, difference between two dependent means, two-sided, alpha .05."""
    assert power(effect, 1.0, pairs) == pytest.approx(expected, abs=1e-4)
    assert power(-3 * effect, 3.0, pairs) == pytest.approx(expected, abs=1e-4)


def test_power_is_what_a_simulation_finds() -> None:
    drawn = np.random.default_rng(0).normal(0.02, 0.012, size=(20_000, 5))
    simulated = float(np.mean(stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05))
    assert power(0.02, 0.012, 5) == pytest.approx(simulated, abs=0.01)


@pytest.mark.parametrize("seeds", [2, 3, 5, 50])
def test_the_smallest_detectable_difference_has_the_power_that_is_required(seeds: int) -> None:
    least = detectable(0.013, seeds)
    assert power(least, 0.013, seeds) == pytest.approx(0.8, abs=1e-6)
    assert detectable(0.026, seeds) == pytest.approx(2 * least)


def test_how_many_seeds() -> None:
    assert seeds_needed(0.02) == 10 and seeds_needed(0.04) == 34  # G*Power
    assert seeds_needed(0.0) == 2 and seeds_needed(10.0) is None
    assert detectable(0.01, 1) == math.inf


def test_differences_are_paired_by_seed(measured_seeds: pd.DataFrame) -> None:
    paired = differences(by_seed(measured_seeds), "hybrid", "cot", "direct")
    f1 = measured_seeds.query("benchmark == 'generalised' and metric == 'f1' and kind == 'mean' and mode == 'direct'")
    wide = f1.dropna(subset="seed").pivot(index="seed", columns="variant", values="value")
    assert paired.tolist() == pytest.approx((wide["hybrid"] - wide["cot"]).tolist()) and len(paired) == 3
    test = stats.ttest_rel(wide["hybrid"], wide["cot"])
    low, high = test.confidence_interval(0.95)
    where = {"benchmark": "generalised", "kind": "mean", "variant": "hybrid", "mode": "direct"}
    estimate = difference(measured_seeds, "cot", **where)
    assert estimate is not None and estimate.n == 3
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert math.isnan(t_interval(paired[:1]).low)


def test_the_report_of_several_seeds_says_what_its_intervals_cover(
    three_seeds: Collection, measured_seeds: pd.DataFrame, measured: pd.DataFrame
) -> None:
    assert "paired t-intervals" in table_of_differences(measured_seeds).html()
    assert "cannot be ranked over seeds" in table_of_differences(measured).html()
    assert "over 3 seeds, differences are paired" in summary(three_seeds, measured_seeds, STUDY)
    assert known(measured, STUDY, replace(PILOT, samples=120)) == ""
    text = statement(measured, STUDY, replace(PILOT, samples=120))
    assert text.startswith("There is a single seed, so the variants cannot be ranked")
    assert "`python sweeps/launch.py --seeds 0 1 2 3 4`" in text


def test_the_table_of_detectable_differences(measured_seeds: pd.DataFrame) -> None:
    power_table = table(measured_seeds, SEEDS, replace(PILOT, seeds=(7, 8, 9)))
    assert "3 seeds (this study)" in power_table.frame.columns
    first = power_table.frame.iloc[0]
    assert [first[c].value() for c in ("s.d. over seeds", "3 seeds (this study)", "5 seeds")] == [
        "1.00",
        "3.26",
        "1.68",
    ]
    assert first["seeds for 2 points"] == "5" and power_table.frame.iloc[1]["seeds for 2 points"] == "10"
    assert (
        "With 3 seeds a difference of mean F1 of 6.5 points or more is detectable in every comparison"
        in power_table.html()
    )
    assert "by the variance over 3 pilot seeds; the pilot did not run CoT SFT, longer; GRPO, pure CoT." in (
        statement(measured_seeds, SEEDS, replace(PILOT, seeds=(7, 8, 9)))
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"profile": "paper"}, "profile: miniature, here paper"),
        ({"steps": 20}, "steps: the profile's own, here 20"),
        ({"samples": 500}, "samples: the profile's own, here 500"),
        ({"data": "/mine.json"}, "data: the profile's own, here /mine.json"),
        ({"images": "/mine"}, "images: the profile's own, here /mine"),
    ],
)
def test_a_pilot_of_other_settings_does_not_apply(
    measured_seeds: pd.DataFrame, changed: dict[str, Any], why: str
) -> None:
    pilot = replace(PILOT, seeds=(7, 8, 9))
    study = replace(SEEDS, settings={**STUDY.settings, **changed}, launch="python sweeps/launch.py my.yaml")
    for numbers_so_far in (measured_seeds, numbers(Collection(()))):
        text = statement(numbers_so_far, study, pilot)
        assert f"the stored pilot has other settings than this study ({why})" in text
        assert "`python sweeps/launch.py my.yaml --seeds 100 101 102`" in text and "is detectable" not in text
        assert not len(table(numbers_so_far, study, pilot).frame)
    text = statement(measured_seeds, SEEDS, replace(pilot, samples=5000))
    assert "(test samples: 5000, here 40)" in text


def test_without_a_pilot_or_with_its_own_seeds_nothing_is_claimed(measured_seeds: pd.DataFrame, tmp_path: Path) -> None:
    assert load(tmp_path / "none.yaml") is None
    assert "no pilot was run" in table(measured_seeds, SEEDS, None).html()
    assert "come from seeds of this study (100, 101, 102)" in table(measured_seeds, SEEDS, PILOT).html()
    (tmp_path / "wrong.yaml").write_text("seeds: [1]\nsource: x\ndifferences: []\n")
    with pytest.raises(ValueError, match=r"wrong.yaml is no pilot.*python -m gemvg_repro.report.numbers.pilot"):
        load(tmp_path / "wrong.yaml")


def test_a_pilot_is_stored_and_read(three_seeds: Collection, measured_seeds: pd.DataFrame, tmp_path: Path) -> None:
    records = command.write(three_seeds, measured_seeds, SEEDS, "made.yaml", tmp_path / "pilot.yaml")
    stored = load(tmp_path / "pilot.yaml")
    assert stored is not None and stored.seeds == (100, 101, 102)
    assert (stored.settings, stored.samples) == (STUDY.settings, 40)
    assert {(one["mode"], one["variant"], one["against"]) for one in records} == stored.deviations.keys()
    assert (
        len(records) == 2 * 6
    )  # sft_more, cot and hybrid against cot_sft; cot and hybrid against it; hybrid against cot
    assert "12 evaluations of made.yaml on 40 samples, commit 0123456789" in stored.source
    first = differences(by_seed(measured_seeds), "hybrid", "cot", "cot")
    assert stored.deviations["cot", "hybrid", "cot"] == pytest.approx(float(first.std()), abs=1e-5)


def test_the_pilot_that_comes_along_is_of_the_default_grid() -> None:
    pilot, study = load(), planned(ROOT / "sweeps" / "miniature.yaml", [0, 1, 2, 3, 4], ROOT / "runs")
    assert pilot is not None and pilot.settings == study.settings and pilot.samples == 5000
    assert "With 5 seeds a difference of mean F1 of 1.3 points" in (statement(numbers(Collection(())), study, pilot))


def test_a_pilot_of_other_seeds_or_without_runs_is_refused(measured_seeds: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"seeds \[100\] too"):
        command.measure(measured_seeds, replace(STUDY, seeds=(101, 102)))
    with pytest.raises(ValueError, match=r"launch.py --seeds 5 6 makes the runs"):
        command.measure(numbers(Collection(())), replace(STUDY, seeds=(5, 6)))
