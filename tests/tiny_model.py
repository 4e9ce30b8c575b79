"""The miniature, smaller still and with random weights, for tests of what trains and answers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

from transformers import Qwen2VLForConditionalGeneration

from gemvg_repro.grounding.samples import Sample
from gemvg_repro.miniature.dataset import Recipe, generate
from gemvg_repro.miniature.model import Sizes, save_random
from gemvg_repro.models.loading import load
from gemvg_repro.models.processor import ImageOnlyProcessor

from .drawn import conversations

SIZES = Sizes(hidden=48, layers=2, heads=2, key_value_heads=1, intermediate=64, vision_width=32, vision_layers=1)
RECIPE = Recipe(seed=1, validation=12, test=20, understanding_test=4)


@cache
def folder() -> Path:
    path = Path(mkdtemp(prefix="tiny-")) / "model"
    save_random(path, SIZES, 0)
    return path


def model_and_processor() -> tuple[Qwen2VLForConditionalGeneration, ImageOnlyProcessor]:
    return load(folder(), "float32")


def samples(split: Literal["train", "validation", "test"] = "train") -> list[Sample]:
    return conversations(1, 24, 3, 0.2) if split == "train" else list(generate(split, RECIPE))
