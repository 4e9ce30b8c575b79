"""Where does the miniature's base come from? Single-image grounding from random weights, as Qwen2-VL's own standing.

    python -m gemvg_repro.training.pretraining FOLDER

makes the base that the package ships again: no association between pictures, only finding what is described
in one, from one thing to four, and the words of questions and answers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from ..miniature.dataset import Recipe, generate
from ..miniature.model import Sizes, save_random
from ..miniature.tokenizer import COORDINATE_STEP
from ..models.loading import load, save
from .resuming import weights_hash
from .settings import OptimiserSettings, SFTSettings
from .sft import conversations, finetune

SEED = 0
THREADS = 2

SETTINGS = SFTSettings(
    steps=1300,
    conversations=48,
    micro_batch=48,
    turns=4,
    cot_share=0.15,
    frozen_vision=False,
    bf16=False,
    gradient_checkpointing=False,
    save_every=100,
    optimiser=OptimiserSettings(
        lr=2e-3,
        muon_lr=0.02,
        momentum=0.95,
        betas=(0.9, 0.98),
        weight_decay=0.05,
        max_grad_norm=1.0,
        warmup_steps=20,
        schedule="cosine_with_min_lr",
        final_lr_share=0.02,
    ),
)

RECIPE = Recipe(
    seed=SEED,
    base=SETTINGS.steps * SETTINGS.conversations,
    train=0,
    validation=0,
    test=0,
    turns=SETTINGS.turns,
    understanding_test=0,
    single_share=1.0,
    understanding_share=0.0,
)


def pretrain(folder: Path) -> str:
    """Trains the base in `folder`, or goes on with it; returns the hash of its weights."""
    torch.set_num_threads(THREADS)
    start = folder / "start"
    if not start.is_dir():
        save_random(start, Sizes(), SEED)
    model, processor = load(start, "float32")
    samples = list(generate("base", RECIPE))
    with (folder / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        finetune(
            model, processor, conversations(samples, SETTINGS, SEED, shuffled=False), SETTINGS,
            step=COORDINATE_STEP, seed=SEED, folder=folder / "checkpoints",
            record=lambda entry: print(json.dumps(entry), file=log),
        )  # fmt: skip
    save(model, processor, folder / "model")
    return weights_hash(model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="takes checkpoints, log and the finished model")
    print(pretrain(parser.parse_args().folder))  # noqa: T201
