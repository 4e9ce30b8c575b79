"""A run with LoRA, a switch of the profile, leaves a plain model of which only the targets moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gemvg_repro.models.loading import load
from gemvg_repro.stages import data
from gemvg_repro.stages.train import train
from gemvg_repro.study.parameters import DataParameters, TrainParameters
from gemvg_repro.study.spec import resolve

from .test_paper_path import coco_file

LORA = "sft.lora={rank: 2, alpha: 4, targets: [q_proj]}"


@pytest.mark.slow
def test_a_run_with_lora_leaves_a_plain_model(tmp_path: Path) -> None:
    shared: dict[str, Any] = {"data": str(coco_file(tmp_path)), "runs": str(tmp_path / "runs")}
    data.make(resolve(DataParameters(**shared)))
    small = f"sft.conversations=4 sft.micro_batch=4 threads.sft=1 '{LORA}'"
    spec = resolve(TrainParameters(mode="sft", steps=2, overrides=small, **shared))
    assert "lora" in spec.folder.name
    run = train(spec)
    start, _ = load(Path(spec.profile.base_folder()), "float32")
    trained, _ = load(run / "model", "float32")
    before = start.state_dict()
    moved = {name for name, weights in trained.state_dict().items() if not torch.equal(weights, before[name])}
    assert moved and all(name.endswith("q_proj.weight") for name in moved)
