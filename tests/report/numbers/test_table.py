import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gemvg_repro.benchmarks.generalised import score
from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.estimates import wilson
from gemvg_repro.report.numbers.lookup import look_up, pick
from gemvg_repro.report.numbers.resampling import Draws
from gemvg_repro.report.numbers.table import COLUMNS, numbers, save

from .. import synthetic

HEADLINE = {"benchmark": "generalised", "kind": "mean", "metric": "f1"}


def test_every_number_is_in_one_tidy_table(measured: pd.DataFrame, tmp_path: Path) -> None:
    assert list(measured.columns) == COLUMNS
    key = ["run", "seed", "mode", "benchmark", "kind", "metric"]
    assert not measured.duplicated(key).any()
    again = pd.read_parquet(save(measured, tmp_path / "a" / "b"))
    pd.testing.assert_frame_equal(again, measured)


def test_same_runs_same_table(collection: Collection, measured: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(numbers(collection, Draws(200)), measured)


def test_headline_is_the_benchmarks(collection: Collection, measured: pd.DataFrame) -> None:
    for run in collection.finished("evaluation"):
        official = score.summary(run.scores()["generalised", "cot"])["f1"]
        estimate = look_up(measured, **HEADLINE, variant=run.variant, mode="cot")
        assert estimate is not None and estimate.value == pytest.approx(official)
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.n == 120


def test_differences(measured: pd.DataFrame) -> None:
    hybrid, start = (look_up(measured, **HEADLINE, variant=v, mode="direct") for v in ("hybrid", "cot_sft"))
    where = {"benchmark": "generalised", "kind": "mean", "variant": "hybrid", "mode": "direct"}
    difference = look_up(measured, **where, metric="f1_minus_cot_sft")
    assert hybrid and start and difference
    assert difference.value == pytest.approx(hybrid.value - start.value)
    assert look_up(measured, **where, metric="f1_minus_cot") is not None
    assert look_up(measured, **where, metric="f1_minus_direct") is None  # not run


def test_shortcuts(collection: Collection, measured: pd.DataFrame) -> None:
    where = HEADLINE | {"variant": "cot_sft", "mode": "cot"}
    start = look_up(measured, **where)
    box = look_up(measured, kind="mean", metric="f1", benchmark="constant_box", variant="")
    times = look_up(measured, **(where | {"metric": "times_constant_box"}))
    assert start and box and times
    assert times.value == pytest.approx(start.value / box.value)


def test_a_shortcut_is_compared_on_its_own_samples(collection: Collection, measured: pd.DataFrame) -> None:
    scores = next(run for run in collection.finished("evaluation") if run.variant == "cot_sft").scores()
    grey = scores["blind", "direct"]
    same = scores["generalised", "cot"].merge(grey[["sample"]])
    expected = score.summary(same)["f1"] / score.summary(grey)["f1"]
    times = look_up(measured, **(HEADLINE | {"metric": "times_blind"}), variant="cot_sft", mode="cot")
    assert times is not None and times.value == pytest.approx(expected) and times.n == 80


def test_rewards_are_paired_by_prompt(collection: Collection, measured: pd.DataFrame) -> None:
    run = next(run for run in collection.finished("training") if run.variant == "cot")
    table = pd.read_parquet(run.directory / "validation-reward.parquet")
    wide = table[table["term"] == "localisation"].pivot(index="prompt", columns="when", values="value")
    where = {"benchmark": "validation_reward", "variant": "cot", "mode": "cot", "kind": "localisation"}
    gain = look_up(measured, **where, metric="gain")
    difference = wide["after"] - wide["before"]
    assert gain is not None and gain.value == pytest.approx(difference.mean())
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * difference.std() / np.sqrt(300), rel=0.2)


def test_costs_sum_up_the_prerequisites_of_a_variant(measured: pd.DataFrame) -> None:
    spent = look_up(measured, benchmark="training", variant="hybrid", metric="seconds_in_all")
    assert spent is not None and spent.value == 110 + 95 + 180 + 40


def test_mig_bench_by_task_and_choices(measured: pd.DataFrame) -> None:
    tasks = pick(measured, benchmark="mig_bench", variant="sft", mode="direct", metric="IOU@0.5")
    assert set(tasks["kind"]) == {"official", *synthetic.TASKS}
    mean = tasks[tasks["kind"] == "official"]["value"].iloc[0]
    assert mean == pytest.approx(tasks[tasks["kind"] != "official"]["value"].mean())
    assert look_up(measured, benchmark="understanding", variant="sft", mode="cot", metric="accuracy") is not None


def test_every_official_score_has_its_name_and_an_interval(measured: pd.DataFrame) -> None:
    for benchmark, metrics in synthetic.OFFICIAL.items():
        for metric in metrics:
            where = {"benchmark": benchmark, "variant": "hybrid", "mode": "cot", "kind": "official"}
            score = look_up(measured, **where, metric=metric)
            assert score is not None and score.low < score.value < score.high and score.n == 200
    accuracy = look_up(
        measured, **where, metric="accuracy"
    )  # independent samples: Wilson's interval, but for the draws
    assert accuracy and (accuracy.low, accuracy.high) == pytest.approx(wilson(accuracy.value, 200), abs=0.015)


def test_a_score_that_the_official_script_does_not_reach_is_left_out(tmp_path: Path, runs: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    (run,) = (tmp_path / "runs").glob("evaluate-hybrid-*")
    stopped = {
        "headline": {"weighted_ap50": {"value": None, "n": 120, "average": "weighted_ap50", "of": "weighted_ap50"}}
    }
    (run / "official-mc_bench-cot.json").write_text(json.dumps(stopped))
    remaining = numbers(collect(tmp_path / "runs"), Draws(20))
    where = {"benchmark": "mc_bench", "mode": "cot", "metric": "weighted_ap50"}
    assert look_up(remaining, **where, variant="hybrid") is None
    assert look_up(remaining, **where, variant="cot") is not None


def test_nothing_run() -> None:
    empty = numbers(Collection(()))
    assert list(empty.columns) == COLUMNS and not len(empty)


def test_seeds(tmp_path: Path, runs: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    more = synthetic.names(seeds=[1], variants=["cot_sft"])
    synthetic.build(tmp_path / "runs", [name for name in more if "evaluate" in name], samples=120, choices=30)
    two = numbers(collect(tmp_path / "runs"), Draws(50))
    rows = two[
        (two["variant"] == "cot_sft") & (two["mode"] == "direct") & (two["kind"] == "mean")
        & (two["benchmark"] == "generalised") & (two["metric"] == "f1")
    ]  # fmt: skip
    by_seed = rows[rows["seed"].notna()]
    assert by_seed["seed"].tolist() == [0, 1]
    assert rows[rows["seed"].isna()]["value"].item() == pytest.approx(by_seed["value"].mean())
    # Only the seed that both have is compared.
    hybrid = look_up(two, **HEADLINE, variant="hybrid", mode="direct")
    difference = look_up(two, **(HEADLINE | {"metric": "f1_minus_cot_sft"}), variant="hybrid", mode="direct")
    assert hybrid and difference
    assert difference.value == pytest.approx(hybrid.value - by_seed["value"].iloc[0])
