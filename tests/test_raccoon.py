"""Real photographs of all sizes are learned by heart, where the folder is beside the project.

Forty photographs that were trained on say nothing about others; they show that real pixels, sizes and boxes flow
through training and scoring.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.benchmarks.generalised import score as generalised

from .test_notebooks import papermill

ROOT = Path(__file__).parents[1]
FILE = ROOT.parent / "shared/data/odinw/Raccoon/Raccoon.v2-raw.coco/valid/annotations_without_background.json"
STEPS = 400


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason="the photographs of ODINW's Raccoon are not beside the project")
def test_photographs_are_learned_by_heart(tmp_path: Path) -> None:
    done = papermill("evaluate.ipynb", tmp_path / "out.ipynb", runs=tmp_path, mode="sft", steps=STEPS, data=FILE)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = tmp_path.glob("evaluate-sft-s0-*")
    direct, grey, constant = (
        pd.read_parquet(run / f"scores-{name}-direct.parquet") for name in ("generalised", "blind", "constant_box")
    )
    assert len(direct) == len(grey) == 40 and direct["n_true"].sum() == 44
    assert constant["tp"].sum() == 32  # one to one; the best constant box overlaps 33 of the 44
    learned = generalised.summary(direct)
    assert learned["acc@0.5"] >= 0.95
    assert learned["iou"] >= 0.75
    assert generalised.summary(grey)["acc@0.5"] <= generalised.summary(constant)["acc@0.5"]


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason="the photographs of ODINW's Raccoon are not beside the project")
@pytest.mark.parametrize("benchmark", ["odinw13", "odinw13_all"])
def test_photographs_are_a_published_benchmark(tmp_path: Path, benchmark: str) -> None:
    base = ROOT / "gemvg_repro/miniature/base"
    given = {"checkpoint": base, "benchmarks": f"{benchmark}='{FILE.parents[3]}'"}
    done = papermill("evaluate.ipynb", tmp_path / "out.ipynb", runs=tmp_path, **given)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = tmp_path.glob(f"evaluate-base-{benchmark}-*")
    assert len((run / f"predictions-{benchmark}-direct.jsonl").read_text().splitlines()) == 41
    score = json.loads((run / f"official-{benchmark}-direct.json").read_text())
    assert list(score["official"]["datasets"]) == ["Raccoon"] and 0 <= score["official"]["mAP"] <= 1
