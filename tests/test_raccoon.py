"""Real photographs of all sizes flow through: forty are learned by heart, and grey ones are not enough."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from .test_notebooks import papermill

ROOT = Path(__file__).parents[1]
FILE = ROOT.parent / "shared/data/odinw/Raccoon/Raccoon.v2-raw.coco/valid/annotations_without_background.json"
STEPS = 300


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason="the photographs of ODINW's Raccoon are not beside the project")
def test_forty_photographs_are_learned_by_heart(tmp_path: Path) -> None:
    done = papermill("evaluate.ipynb", tmp_path / "out.ipynb", runs=tmp_path, mode="sft", steps=STEPS, data=FILE)
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = tmp_path.glob("evaluate-sft-s0-*")
    seen = pd.read_parquet(run / "scores-generalised-direct.parquet")
    blind = pd.read_parquet(run / "scores-blind-direct.parquet")
    assert len(seen) == 40
    assert seen["tp"].sum() / seen["n_true"].sum() >= 0.95
    assert seen["iou"].mean() >= 0.75
    assert blind["tp"].sum() / blind["n_true"].sum() <= 0.75
