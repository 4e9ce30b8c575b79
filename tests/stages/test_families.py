"""A model of each later family goes through the stages of a study: SFT, CoT SFT, hybrid GRPO and an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gemvg_repro.models.families import QWEN2_5_VL, QWEN3_VL, Family
from gemvg_repro.models.loading import load
from gemvg_repro.stages import data
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.stages.train import train
from gemvg_repro.study.parameters import DataParameters, EvaluateParameters, TrainParameters
from gemvg_repro.study.spec import resolve

from .. import tiny_families
from .test_paper_path import coco_file

SMALL = (
    "sft.conversations=4 sft.micro_batch=2 cot_sft.conversations=4 cot_sft.micro_batch=2 data.composed=12"
    " grpo.prompts=2 grpo.rollouts=4 grpo.micro_batch=4 grpo.max_new_tokens=8 grpo.watched_samples=2"
    " grpo.divergence_samples=2 evaluate.shortcut_samples=2"
)


@pytest.mark.parametrize("family", [QWEN2_5_VL, QWEN3_VL], ids=lambda family: family.model_type)
def test_every_stage_of_a_study(tmp_path: Path, family: Family) -> None:
    shared: dict[str, Any] = {
        "data": str(coco_file(tmp_path)), "runs": str(tmp_path / "runs"),
        "overrides": f"base={tiny_families.folder(family)} {SMALL}",
    }  # fmt: skip
    data.make(resolve(DataParameters(**shared)))
    for mode in ("sft", "cot_sft", "hybrid"):
        run = train(resolve(TrainParameters(mode=mode, steps=2, **shared)))
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert [entry["step"] for entry in log][-2:] == [1, 2]
        model, processor = load(run / "model", "float32")
        assert type(model) is family.model_class and processor.family is family
    run = evaluate(resolve(EvaluateParameters(mode="hybrid", samples=3, steps=2, **shared)))
    for mode in ("direct", "cot"):
        assert len(pd.read_parquet(run / f"scores-generalised-{mode}.parquet")) == 3
