"""F1 within slices: by hand, and as the same samples resampled."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gemvg_repro.report.numbers import slices
from gemvg_repro.report.numbers.collect import Collection, collect
from gemvg_repro.report.numbers.estimates import wilson
from gemvg_repro.report.numbers.lookup import look_up
from gemvg_repro.report.numbers.resampling import Draws, resampling
from gemvg_repro.report.numbers.table import numbers
from gemvg_repro.report.sections import tables


def test_slices_part_the_samples(collection: Collection) -> None:
    scores = collection.finished("evaluation")[-1].scores()["generalised", "cot"]
    masks = slices.members(scores)
    parts = ("neutral", "perception", "association", "composition")
    assert (np.sum([masks[name] for name in parts], axis=0) == 1).all()
    assert (np.sum([masks[f"{h}/{d}"] for h in range(3) for d in range(4)], axis=0) == 1).all()
    assert (np.sum([masks[f"perception/{grade}"] for grade in (1, 2, 3)], axis=0) == masks["perception"]).all()
    assert (masks["composition/2"] | masks["composition/3"]).tolist() == masks["composition"].tolist()
    assert slices.members(scores.drop(columns="hops")) == {}


def test_f1_of_a_slice_by_hand(collection: Collection, measured: pd.DataFrame) -> None:
    run = next(run for run in collection.finished("evaluation") if run.variant == "hybrid")
    f1 = {}
    for mode in ("direct", "cot"):
        scores = run.scores()["generalised", mode]
        selected = scores[(scores["hops"] == 0) & (scores["difficulties"] > 0)]
        f1[mode] = 2 * selected["tp"].sum() / (selected["n_true"].sum() + selected["n_predicted"].sum())
        where = {"benchmark": "slices", "variant": "hybrid", "mode": mode, "kind": "perception"}
        estimate = look_up(measured, **where, metric="f1")
        assert estimate is not None and estimate.value == pytest.approx(f1[mode]) and estimate.n == len(selected)
        assert estimate.low <= estimate.value <= estimate.high
    change = look_up(measured, **where, metric="f1_minus_direct_mode")
    assert change is not None and change.value == pytest.approx(f1["cot"] - f1["direct"])


def test_several_seeds_are_averaged(collection: Collection) -> None:
    one, two = (run.scores()["generalised", "direct"] for run in collection.finished("evaluation")[:2])
    draws = resampling(one, 20)
    each = [slices.replicates([table], draws)["association"].f1 for table in (one, two)]
    both, n, _ = slices.replicates([one, two], draws)["association"]
    assert both == pytest.approx((each[0] + each[1]) / 2) and n == 72


def test_a_flawless_slice_is_as_sure_as_its_scenes_are_many(tmp_path: Path, runs: Path) -> None:
    (run,) = runs.glob("evaluate-hybrid-*")
    shutil.copytree(run, tmp_path / run.name)
    file = tmp_path / run.name / "scores-generalised-cot.parquet"
    scores = pd.read_parquet(file)
    selected = scores["hops"] == 1
    scores.loc[selected, ["tp", "n_predicted"]] = scores.loc[selected, "n_true"]
    scores.to_parquet(file)
    measured = numbers(collect(tmp_path), Draws(20))
    flawless = look_up(measured, benchmark="slices", variant="hybrid", mode="cot", kind="association", metric="f1")
    assert flawless is not None and flawless.value == 1
    assert (flawless.low, flawless.high) == wilson(1.0, scores["scene"][selected].nunique())


def test_the_table_says_that_the_trade_off_is_built_in(measured: pd.DataFrame) -> None:
    slice_table = tables.slices(measured)
    assert "trade-off is built into" in slice_table.html()
    blocks = list(dict.fromkeys(slice_table.frame.index.get_level_values(0)))
    assert blocks == ["CoT minus direct", "direct prompts", "CoT prompts"]
    assert re.search(r"neutral \d+, perception \d+, one hop 72, more hops 24", slice_table.caption)
