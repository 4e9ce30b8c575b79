import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.sections.summary import summary

from .. import synthetic
from ..synthetic import STUDY


def test_without_results() -> None:
    nothing = Collection((), missing=("sft-s0-0123456789",))
    text = summary(nothing, numbers(nothing), STUDY)
    assert "No results yet" in text and "of 1 runs" in text


def test_the_summary_is_made_of_the_numbers(collection: Collection, measured: pd.DataFrame) -> None:
    text = summary(collection, measured, STUDY)
    assert "<b>In the miniature, not the paper's 7B</b>: 10 of 10 runs finished, 1 seed" in text
    assert text.count("<li>") == 5  # the compute-matched control was not run
    assert "on 120 held-out samples" in text and "no comparison has more than one seed" in text
    assert "pure CoT" in text and "pure direct" not in text  # it was not run


def test_verdicts(collection: Collection, measured: pd.DataFrame) -> None:
    rows = (measured["metric"] == "f1_minus_cot") & (measured["kind"] == "mean") & (measured["mode"] == "cot")
    for low, high, verdict in (
        (0.01, 0.03, "better (one seed) than"),
        (-0.03, -0.01, "worse (one seed) than"),
        (-0.01, 0.03, "statistically indistinguishable from"),
    ):
        changed = measured.copy()
        changed.loc[rows, ["low", "high"]] = [low, high]
        text = summary(collection, changed, STUDY)
        assert f"<b>Hybrid</b>, in mean F1: {verdict} pure CoT with CoT prompts, +" in text


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        ([1.5, 1.2, 1.9], "<b>below</b> the required three times"),
        ([2.9, 2.4, 3.4], "<b>not significantly below</b> the required three times"),
        ([3.1, 2.8, 3.4], "not significantly above the required three times"),
    ],
)
def test_a_strong_shortcut_is_admitted(
    collection: Collection, measured: pd.DataFrame, times: list[float], verdict: str
) -> None:
    changed = measured.copy()
    changed.loc[changed["metric"] == "times_blind", ["value", "low", "high"]] = times
    text = summary(collection, changed, STUDY)
    assert "(grey images)" in text and verdict in text


def test_shortcuts_that_score_nothing_were_evaluated(collection: Collection, measured: pd.DataFrame) -> None:
    changed = measured[~measured["metric"].isin(["times_constant_box", "times_picture_prior"])].copy()
    changed.loc[changed["metric"].str.startswith("times_"), ["value", "low", "high"]] = math.nan
    text = summary(collection, changed, STUDY)
    assert "(grey images, shuffled images) score 0" in text and "no shortcut" not in text


def test_intervals_over_seeds_are_claimed_where_they_are(tmp_path: Path, runs: Path) -> None:
    """A second seed of some variants is none of the comparisons with the others."""
    shutil.copytree(runs, tmp_path / "runs")

    def summary_with(*variants: str) -> str:
        more = [name for name in synthetic.names(seeds=[1], variants=variants) if "evaluate" in name]
        synthetic.build(tmp_path / "runs", more, samples=120, choices=30)
        both = collect(tmp_path / "runs")
        return summary(both, numbers(both, Draws(20)), STUDY)

    assert "no comparison has more than one seed" in summary_with("sft", "hybrid")
    assert "over 2 seeds" in summary_with("cot")
