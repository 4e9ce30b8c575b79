"""Each family is trained: whatever micro-batches a step has, and until a tiny model knows sixteen samples by heart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gemvg_repro.benchmarks.generalised import score
from gemvg_repro.grounding.samples import Sample
from gemvg_repro.models.families import FAMILIES, Family
from gemvg_repro.models.generation import Prompt, generate
from gemvg_repro.models.processor import ImageOnlyProcessor
from gemvg_repro.training.collator import ConversationCollator, Turn
from gemvg_repro.training.settings import SFTSettings
from gemvg_repro.training.sft import train_sft

from ..tiny_families import model_and_processor
from ..tiny_model import samples
from .made import OPTIMISER, SFT

each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)


def trained(family: Family, learned: list[Sample], settings: SFTSettings, folder: Path) -> tuple[Any, Any, list[float]]:
    """Model and processor after SFT on the samples, again and again, and the loss of each step."""
    model, processor = model_and_processor(family)
    losses: list[float] = []
    train_sft(
        model, processor, [[Turn(sample, "direct")] for sample in learned] * settings.steps, settings,
        collate=ConversationCollator(processor, 20), seed=0, folder=folder,
        record=lambda entry: losses.append(entry["loss"]),
    )  # fmt: skip
    return model, processor, losses


@each_family
def test_micro_batches_do_not_matter(family: Family, tmp_path: Path) -> None:
    """transformers takes the loss of a class that says `accepts_loss_kwargs = False` for a mean over a micro-batch."""
    settings = replace(SFT, steps=2, conversations=4, micro_batch=4)
    whole, _, losses = trained(family, samples()[:4], settings, tmp_path / "whole")
    parts, _, of_parts = trained(family, samples()[:4], replace(settings, micro_batch=1), tmp_path / "parts")
    assert of_parts == pytest.approx(losses, rel=1e-4)
    for name, weights in whole.named_parameters():
        torch.testing.assert_close(dict(parts.named_parameters())[name], weights, rtol=1e-3, atol=1e-4, msg=name)


def f1(model: Any, processor: ImageOnlyProcessor, learned: list[Sample]) -> float:
    """F1@0.5 of greedy answers to the samples, all their boxes together."""
    prompts: list[Prompt] = [(sample, "direct") for sample in learned]
    batches = generate(model, processor, prompts, batch=16, max_new_tokens={"direct": 200})
    texts = {each.sample: each.text for batch in batches for each in batch}
    return score.summary(score.score(learned, [texts[s.id] for s in learned], "direct"))["f1"]


@pytest.mark.slow
@each_family
def test_a_tiny_model_learns_sixteen_samples_by_heart(family: Family, tmp_path: Path) -> None:
    learned = [sample for sample in samples() if 1 <= len(sample.targets) <= 2 and len(sample.pictures) > 1][:16]
    assert len(learned) == 16
    optimiser = replace(OPTIMISER, lr=3e-3, muon_lr=0.02, weight_decay=0.0, warmup_steps=5)
    settings = replace(SFT, steps=120, conversations=16, micro_batch=16, save_every=1000, optimiser=optimiser)
    model, processor, _ = trained(family, learned, settings, tmp_path)
    assert f1(model, processor, learned) > 0.9
