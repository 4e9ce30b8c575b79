import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.sections.summary import summary

from .. import synthetic
from ..synthetic import STUDY


def test_nothing_to_say() -> None:
    nothing = Collection((), missing=("sft-s0-0123456789",))
    text = summary(nothing, numbers(nothing), STUDY)
    assert "Nothing can be said yet" in text and "of 1 runs" in text


def test_what_it_says_is_in_the_numbers(collection: Collection, measured: pd.DataFrame) -> None:
    text = summary(collection, measured, STUDY)
    assert "<b>In the miniature</b>, with 10 of 10 runs finished" in text
    assert "on 120 held-out samples" in text and "one seed" in text
    assert "pure CoT" in text and "asked direct it is" not in text  # pure direct was not run


def test_verdicts(collection: Collection, measured: pd.DataFrame) -> None:
    rows = (measured["metric"] == "f1_minus_cot") & (measured["kind"] == "mean") & (measured["mode"] == "cot")
    for low, high, verdict in (
        (0.01, 0.03, "better than"),
        (-0.03, -0.01, "worse than"),
        (-0.01, 0.03, "not told"),
    ):
        changed = measured.copy()
        changed.loc[rows, ["low", "high"]] = [low, high]
        assert f"asked CoT it is {verdict}" in summary(collection, changed, STUDY)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([1.5, 1.2, 1.9], "<b>less</b> than the three times"),
        ([2.9, 2.4, 3.4], "<b>perhaps less</b> than the three times"),
        ([3.1, 2.8, 3.4], "not surely more than the three times"),
    ],
)
def test_a_strong_shortcut_is_admitted(
    collection: Collection, measured: pd.DataFrame, times: list[float], said: str
) -> None:
    changed = measured.copy()
    changed.loc[changed["metric"] == "times_blind", ["value", "low", "high"]] = times
    text = summary(collection, changed, STUDY)
    assert "(grey pictures)" in text and said in text


def test_shortcuts_that_score_nothing_were_tried(collection: Collection, measured: pd.DataFrame) -> None:
    changed = measured[~measured["metric"].isin(["times_constant_box", "times_picture_prior"])].copy()
    changed.loc[changed["metric"].str.startswith("times_"), ["value", "low", "high"]] = math.nan
    text = summary(collection, changed, STUDY)
    assert "(grey pictures, shuffled pictures) score 0" in text and "no shortcut" not in text


def test_intervals_over_seeds_are_claimed_where_they_are(tmp_path: Path, runs: Path) -> None:
    """A second seed of some variants is none of the comparisons with the others."""
    shutil.copytree(runs, tmp_path / "runs")

    def told(*variants: str) -> str:
        more = [name for name in synthetic.names(seeds=[1], variants=variants) if "evaluate" in name]
        synthetic.build(tmp_path / "runs", more, samples=120, choices=30)
        found = collect(tmp_path / "runs")
        return summary(found, numbers(found, resamples=20), STUDY)

    assert "No comparison has more than one seed" in told("sft") and "by t" not in told("cot_sft")
    text = told("hybrid")
    assert (
        "Over 2 seeds" in text and "those of pure CoT against CoT SFT; hybrid against pure CoT, which rest on" in text
    )
    assert "one seed" not in told("cot")
