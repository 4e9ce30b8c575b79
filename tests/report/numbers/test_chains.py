"""Chains of thought against answers, on samples whose chains are known: by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.report.numbers import chains
from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.report.sections.chains import right_answers


@pytest.fixture
def known(runs: Path, tmp_path: Path) -> Path:
    """Runs of which hybrid's answers and the true chains are there: every second chain is right, and so, of 120
    samples, are the answers to the first 90."""
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder, ignore=shutil.ignore_patterns("gallery"))
    (data,) = folder.glob("data-*")
    (run,) = folder.glob("evaluate-hybrid-*")
    scores = pd.read_parquet(run / "scores-generalised-cot.parquet")
    right = pd.Series(range(len(scores)), index=scores.index) < 90
    scores = scores.assign(tp=scores["n_true"].where(right, -1), n_predicted=scores["n_true"], unreadable=False)
    scores.to_parquet(run / "scores-generalised-cot.parquet", index=False)
    ids = scores["sample"].tolist()
    world = pd.DataFrame({"id": [*ids, "choice"], "chain": [f"one in  Picture {n}." for n in range(len(ids))] + [None]})
    world.to_parquet(data / "samples.parquet", index=False)
    lines = [{"key": "any"}]
    for n, sample in enumerate(ids):
        thought = f"one in Picture {n}." if n % 2 else "<b>none</b>"
        text = f"<think>{thought}</think><answer>none</answer><|im_end|>"
        lines.append({"sample": sample, "mode": "cot", "text": text, "tokens": 9})  # type: ignore[dict-item]
    answers = run / "predictions-generalised-cot.jsonl"
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = json.loads((run / "result.json").read_text()) | {"prerequisites": {"data": data.name}}
    (run / "result.json").write_text(json.dumps(result))
    return folder


def table(runs: Path) -> pd.DataFrame:
    rows = [*chains.rows(collect(runs))]
    columns = ["run", "variant", "seed", "mode", "benchmark", "kind", "metric", "value", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def test_shares_of_right_chains_and_of_right_answers_after_them(known: Path, tmp_path: Path) -> None:
    measured = table(known)
    assert set(measured["variant"]) == {"hybrid"} and set(measured["metric"]) == set(chains.METRICS)
    of_all = measured[measured["kind"] == "all"].set_index("metric")
    assert of_all["value"].to_dict() == pytest.approx(
        {"chain_right": 0.5, "right_after_right_chain": 0.75, "right_after_wrong_chain": 0.75}
    )
    assert of_all["n"].to_dict() == {"chain_right": 120, "right_after_right_chain": 60, "right_after_wrong_chain": 60}
    assert (measured["low"] < measured["high"]).all()
    assert right_answers(measured, tmp_path).png


def test_without_answers_or_true_chains_there_are_none(known: Path, tmp_path: Path) -> None:
    (answers,) = known.glob("evaluate-hybrid-*/predictions-generalised-cot.jsonl")
    answers.write_text("no predictions\n")
    assert not len(table(known))
    next(known.glob("data-*/samples.parquet")).unlink()
    assert not len(table(known))
    assert not right_answers(table(known), tmp_path).png
