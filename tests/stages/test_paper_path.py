"""The paper's profile on CPU, with a small random Qwen2-VL of the real vocabulary, from its base to its evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
import yaml
from PIL import Image, ImageDraw

from gemvg_repro.models.loading import load
from gemvg_repro.stages import data
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.stages.train import train
from gemvg_repro.study import profiles
from gemvg_repro.study.parameters import DataParameters, EvaluateParameters, TrainParameters
from gemvg_repro.study.spec import resolve
from tools.faults import merged

from ..qwen2vl_files import needs_files, write_checkpoint

SMALLER = {
    "threads": dict.fromkeys(("data", "sft", "cot_sft", "hybrid", "evaluate"), 1),
    "max_pixels": 28 * 28 * 16,
    "data": {"composed": 12},
    "sft": {"steps": 2, "conversations": 4, "micro_batch": 2, "save_every": 1},
    "cot_sft": {"steps": 2, "conversations": 4, "micro_batch": 2, "save_every": 1},
    "grpo": {
        "steps": 1, "prompts": 2, "rollouts": 4, "micro_batch": 4, "max_new_tokens": 8,
        "watched_samples": 2, "watched_new_tokens": {"direct": 8, "cot": 12}, "divergence_samples": 2,
    },
    "evaluate": {"batch": 4, "max_new_tokens": {"direct": 8, "cot": 12}, "shortcut_samples": 1},
}  # fmt: skip
"""The paper's profile but for the amounts, and threads of a machine that it does not have."""

CATEGORIES = ("disc", "square")


def coco_file(folder: Path, images: int = 8) -> Path:
    """Pictures of a disc and a square, with their boxes, in COCO's format."""
    rng = Random(0)
    annotations: list[dict[str, Any]] = []
    for n in range(1, images + 1):
        picture = Image.new("RGB", (168, 112), "grey")
        draw = ImageDraw.Draw(picture)
        for category, colour in enumerate(("red", "blue")):
            x, y, side = rng.randrange(4, 40) + 84 * category, rng.randrange(4, 60), rng.randrange(24, 40)
            shape = draw.ellipse if category == 0 else draw.rectangle
            shape((x, y, x + side, y + side), fill=colour)
            box = {"id": len(annotations) + 1, "image_id": n, "category_id": category + 1, "iscrowd": 0}
            annotations.append(box | {"bbox": [x, y, side, side], "area": side * side})
        picture.save(folder / f"{n}.png")
    document = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 168, "height": 112} for n in range(1, images + 1)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(CATEGORIES, 1)],
        "annotations": annotations,
    }
    file = folder / "annotations.json"
    file.write_text(json.dumps(document))
    return file


def small_study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], Path]:
    """Data, SFT, CoT SFT and a step of hybrid GRPO of the paper's profile but for SMALLER, from the checkpoint `base`
    in the folder; the parameters that all runs share, and the directory of the last."""
    paper: dict[str, Any] = yaml.safe_load((profiles.FOLDER / "paper.yaml").read_text())
    (folder / "scales").mkdir()
    small = merged(paper, SMALLER | {"base": str(folder / "base")})
    (folder / "scales" / "paper.yaml").write_text(yaml.safe_dump(small))
    monkeypatch.setattr(profiles, "FOLDER", folder / "scales")
    (folder / "coco").mkdir()
    shared: dict[str, Any] = {
        "profile": "paper",
        "runs": str(folder / "runs"),
        "data": str(coco_file(folder / "coco")),
    }
    data.make(resolve(DataParameters(**shared)))
    for mode in ("sft", "cot_sft", "hybrid"):
        run = train(resolve(TrainParameters(mode=mode, prerequisites="require", **shared)))
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        assert [entry["step"] for entry in log] == ([1] if mode == "hybrid" else [1, 2])
        if mode != "hybrid":
            assert all(11 < entry["loss"] < 13 for entry in log), "ln 152,064 is 11.9: nothing is learned yet"
    return shared, run


@pytest.mark.slow
@needs_files
def test_sft_cot_sft_a_step_of_hybrid_and_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = write_checkpoint(tmp_path / "base")
    assert 2e6 < weights < 1e7
    shared, run = small_study(tmp_path, monkeypatch)
    rewards = pd.read_parquet(run / "validation-reward.parquet")
    assert set(rewards["when"]) == {"before", "after"} and set(rewards["mode"]) == {"direct", "cot"}
    model, processor = load(run / "model", "bfloat16")
    assert model.config.text_config.vocab_size == 152_064 and len(processor.tokenizer) == 151_657
    run = evaluate(resolve(EvaluateParameters(mode="hybrid", prerequisites="require", samples=3, **shared)))
    for mode in ("direct", "cot"):
        lines = (run / f"predictions-generalised-{mode}.jsonl").read_text().splitlines()
        assert len(lines) == 1 + 3
        assert len(pd.read_parquet(run / f"scores-generalised-{mode}.parquet")) == 3
