"""Real photographs of all sizes flow through training and scoring, where the folder is beside the project."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from .test_notebooks import papermill

ROOT = Path(__file__).parents[1]
FILE = ROOT.parent / "shared/data/odinw/Raccoon/Raccoon.v2-raw.coco/valid/annotations_without_background.json"


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason="the photographs of ODINW's Raccoon are not beside the project")
def test_photographs_train_and_score(tmp_path: Path) -> None:
    done = papermill("evaluate.ipynb", tmp_path / "out.ipynb", runs=tmp_path, mode="sft", steps=3, data=FILE)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = tmp_path.glob("evaluate-sft-s0-*")
    for mode in ("direct", "cot"):
        scores = pd.read_parquet(run / f"scores-generalised-{mode}.parquet")
        assert len(scores) == 40 and scores["n_true"].sum() == 44
    constant = pd.read_parquet(run / "scores-constant_box-direct.parquet")
    assert constant["tp"].sum() == 32  # one to one; the best constant box overlaps 33 of the 44


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason="the photographs of ODINW's Raccoon are not beside the project")
@pytest.mark.parametrize("benchmark", ["odinw13", "odinw13_all"])
def test_photographs_are_a_published_benchmark(tmp_path: Path, benchmark: str) -> None:
    base = ROOT / "gemvg_repro/miniature/base"
    given = {"checkpoint": base, "benchmark": benchmark, "root": FILE.parents[3], "mode": "direct"}
    done = papermill("evaluate.ipynb", tmp_path / "out.ipynb", runs=tmp_path, **given)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = tmp_path.glob(f"evaluate-base-{benchmark}-direct-*")
    assert len((run / f"predictions-{benchmark}-direct.jsonl").read_text().splitlines()) == 41
    score = json.loads((run / "score.json").read_text())
    assert list(score["official"]["datasets"]) == ["Raccoon"] and 0 <= score["official"]["mAP"] <= 1
