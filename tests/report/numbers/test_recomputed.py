"""A hundred numbers of the report, made again from the files of the run directories that they name."""

import json
from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gemvg_repro.report.numbers.collect import Collection

ELSEWHERE = r"^times_|_over_seeds$"
"""Metrics with tests of their own."""


def test_a_hundred_numbers_follow_from_their_run_directories(collection: Collection, measured: pd.DataFrame) -> None:
    folders = {run.name: run.directory for run in collection.counted}
    rows = measured[~measured["metric"].str.contains(ELSEWHERE) & (measured["benchmark"] != "slices")]
    rows = rows[~(rows["benchmark"].isin(["mc_bench", "odinw13"]) & (rows["kind"] != "official"))]  # AP of a group
    chosen = rows.sample(100, random_state=0)
    assert len(set(chosen["benchmark"])) > 8
    for row in chosen.to_dict("records"):
        assert row["run"].split() and set(row["run"].split()) <= set(folders)
        again = np.mean([recomputed(row, folders[name], folders) for name in row["run"].split()])
        assert row["value"] == pytest.approx(again, nan_ok=True), row


def recomputed(row: Mapping[Hashable, object], folder: Path, folders: dict[str, Path]) -> float:
    """The row's value in one run."""
    metric, kind, benchmark = (str(row[key]) for key in ("metric", "kind", "benchmark"))
    if benchmark in ("data", "training", "evaluation"):
        if metric == "seconds_in_all":
            return float(sum(cost(each)["seconds"] for each in with_all_before(folder)))
        if metric.startswith("attempts"):
            return 1 + len(json.loads((folder / "environment.json").read_text())["earlier"])
        return cost(folder)[metric.removesuffix("_of_stage")]
    if benchmark == "validation_reward":
        table = pd.read_parquet(folder / "validation-reward.parquet")
        value = table[(table["mode"] == row["mode"]) & (table["term"] == kind)].groupby("when")["value"].mean()
        return float(value["after"] - value["before"] if metric == "gain" else value[metric])
    task = task_of(folder, benchmark, str(row["mode"]))
    if kind == "official":
        return float(json.loads((folder / task["official"]).read_text())["headline"][metric]["value"])
    table = pd.read_parquet(folder / task["scores"])
    if "of" in table:
        return float(table[(table["of"] == metric) & (table["group"] == kind)]["value"].mean())
    if benchmark.startswith("understanding"):
        return float(table[table["kind"] == kind]["correct"].astype(float).mean())
    table = table[table["kind"] != "understanding"]
    if other := metric.partition("_minus_")[2]:
        theirs = folders[folder.name[:-11].replace(str(row["variant"]), other)]
        scores = theirs / task_of(theirs, benchmark, str(row["mode"]))["scores"]
        return grounding(table, kind, "f1") - grounding(pd.read_parquet(scores), kind, "f1")
    return grounding(table, kind, metric)


def grounding(table: pd.DataFrame, kind: str, metric: str) -> float:
    """A measure of generalised grounding, by its definition."""
    kinds = sorted(set(table["kind"]) - {"understanding"})
    if kind == "mean":
        return float(np.mean([grounding(table, each, metric) for each in kinds]))
    if kind == "all":
        none, right = table["n_true"] == 0, (table["n_predicted"] == table["n_true"]) & ~table["unreadable"]
        values = {"none_accuracy": right[none], "count_accuracy": right, "picture_accuracy": table["picture_ok"]}
        return float((values[metric] if metric in values else table[metric]).astype(float).mean())
    own = table[table["kind"] == kind]
    tp, true, predicted = (own[column].sum() for column in ("tp", "n_true", "n_predicted"))
    return float({"f1": 2 * tp / (true + predicted), "precision": tp / predicted, "recall": tp / true}[metric])


def task_of(folder: Path, benchmark: str, mode: str) -> dict[str, str]:
    tasks = json.loads((folder / "result.json").read_text())["tasks"]
    task: dict[str, str] = next(t for t in tasks if (t["benchmark"], t["mode"]) == (benchmark, mode))
    return task


def cost(folder: Path) -> dict[str, float]:
    return dict(json.loads((folder / "result.json").read_text())["cost"])


def with_all_before(folder: Path) -> set[Path]:
    needed = json.loads((folder / "result.json").read_text()).get("prerequisites", {}).values()
    return {folder}.union(*(with_all_before(folder.parent / name) for name in needed))
