"""Where does the miniature's base come from? Finding what is described, from random weights.

    python -m gemvg_repro.training.pretraining FOLDER

makes the base that the package ships again, in three phases: one picture, from one thing to four; up to three
pictures, the same way; then as crowded as the study's own samples. No question associates one picture with
another. The base stands to the study as Qwen2-VL stands to the paper.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from transformers import Qwen2VLForConditionalGeneration

from ..miniature.curriculum import lessons
from ..miniature.model import Sizes, save_random
from ..miniature.tokenizer import COORDINATE_STEP
from ..models.loading import load, save
from ..models.processor import ImageOnlyProcessor
from .resuming import weights_hash
from .settings import OptimiserSettings, SFTSettings
from .sft import conversations, finetune

SEED = 0
THREADS = 2

_OPTIMISER = OptimiserSettings(
    lr=2e-3,
    muon_lr=0.02,
    momentum=0.95,
    betas=(0.9, 0.98),
    weight_decay=0.05,
    max_grad_norm=1.0,
    warmup_steps=20,
    schedule="cosine_with_min_lr",
    final_lr_share=0.02,
)
_IN_ONE_PICTURE = SFTSettings(
    steps=1300,
    conversations=48,
    micro_batch=48,
    turns=4,
    cot_share=0.15,
    frozen_vision=False,
    bf16=False,
    gradient_checkpointing=False,
    save_every=100,
    optimiser=_OPTIMISER,
)
_IN_SEVERAL = replace(_IN_ONE_PICTURE, steps=400, conversations=32, micro_batch=32)
PHASES = {"base": _IN_ONE_PICTURE, "several": _IN_SEVERAL, "crowds": replace(_IN_SEVERAL, steps=650)}
"""The settings of each phase of miniature.curriculum, in order."""


def pretrain(folder: Path) -> str:
    """Trains the base in `folder`, or goes on with it; returns the hash of its weights."""
    torch.set_num_threads(THREADS)
    start = folder / "start"
    if not start.is_dir():
        save_random(start, Sizes(), SEED)
    for phase, settings in PHASES.items():
        model, processor = load(start, "float32")
        start = folder / phase / "model"
        if not start.is_dir():
            _learn(model, processor, phase, settings, folder / phase)
            save(model, processor, start)
    return weights_hash(model)


def _learn(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    phase: str,
    settings: SFTSettings,
    folder: Path,
) -> None:
    folder.mkdir(exist_ok=True)
    samples = list(lessons(phase, settings.steps * settings.conversations, SEED))
    with (folder / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        finetune(
            model, processor, conversations(samples, settings, SEED, shuffled=phase == "crowds"), settings,
            step=COORDINATE_STEP, seed=SEED, folder=folder / "checkpoints",
            record=lambda entry: print(json.dumps(entry), file=log),
        )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="takes checkpoints, log and the finished model")
    print(pretrain(parser.parse_args().folder))  # noqa: T201
