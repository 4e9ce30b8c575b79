"""A study with LoRA, a switch of each stage: every run leaves a plain model, and an evaluation takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from gemvg_repro.models.loading import load
from gemvg_repro.stages import data
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.stages.train import train
from gemvg_repro.study.parameters import DataParameters, EvaluateParameters, TrainParameters
from gemvg_repro.study.spec import resolve

from .test_families import SMALL
from .test_paper_path import coco_file

LORA = " ".join(
    f"'{stage}.lora={{rank: 2, alpha: 4, targets: [{target}]}}'"
    for stage, target in (("sft", "q_proj"), ("cot_sft", "v_proj"), ("grpo", "down_proj"))
)


@pytest.mark.slow
def test_every_stage_moves_only_its_targets_and_leaves_a_plain_model(tmp_path: Path) -> None:
    shared: dict[str, Any] = {
        "data": str(coco_file(tmp_path)), "runs": str(tmp_path / "runs"), "steps": 2,
        "overrides": f"{SMALL} grpo.weights.format=1 {LORA}",
    }  # fmt: skip
    data.make(resolve(DataParameters(**{name: shared[name] for name in ("data", "runs", "overrides")})))
    start, _ = load(Path(resolve(TrainParameters(mode="sft", **shared)).profile.base_folder()), "float32")
    before = start.state_dict()
    for mode, target in (("sft", "q_proj"), ("cot_sft", "v_proj"), ("hybrid", "down_proj")):
        spec = resolve(TrainParameters(mode=mode, **shared))
        assert "lora" in spec.folder.name
        trained, _ = load(train(spec) / "model", "float32")
        after = trained.state_dict()
        moved = {name for name, weights in after.items() if not torch.equal(weights, before[name])}
        assert all(name.endswith(f"{target}.weight") for name in moved)
        assert moved or mode == "hybrid", "of equal rewards nothing is learned"
        before = after
    run = evaluate(resolve(EvaluateParameters(mode="hybrid", samples=3, **shared)))
    assert "lora" in run.name
    for mode in ("direct", "cot"):
        assert len(pd.read_parquet(run / f"scores-generalised-{mode}.parquet")) == 3
