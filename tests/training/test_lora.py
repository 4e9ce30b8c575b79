"""LoRA: only its matrices move, it resumes to the bit, and what is saved is a plain model that answers alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.samples import MODES
from gemvg_repro.miniature.dataset import Recipe
from gemvg_repro.miniature.dataset import generate as generated
from gemvg_repro.miniature.model import BASE
from gemvg_repro.miniature.tokenizer import COORDINATE_STEP
from gemvg_repro.models.generation import Prompt, generate
from gemvg_repro.models.loading import load, save
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training import lora
from gemvg_repro.training.checkpoint_hashing import weights_hash
from gemvg_repro.training.collator import ConversationCollator, Turn
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import train_grpo
from gemvg_repro.training.optimisers import build_optimiser
from gemvg_repro.training.settings import LoRASettings
from gemvg_repro.training.sft import train_sft

from ..tiny_model import model_and_processor, samples
from .made import GRPO, SFT

SETTINGS = LoRASettings(rank=4, alpha=8, targets=("q_proj", "v_proj", "down_proj"))


def trained(stage: str, folder: Path, stop_in: int = 0) -> Any:
    """The model after the stage, or after the step that it was stopped in; its matrices are not merged."""
    model, processor = model_and_processor()
    lora.inject(model, SETTINGS, seed=0)
    steps: list[int] = []
    about: dict[str, Any] = {
        "collate": ConversationCollator(processor, 20), "seed": 0, "folder": folder,
        "record": lambda entry: steps.append(entry["step"]), "stop": lambda: len(steps) + 1 == stop_in,
    }  # fmt: skip
    if stage == "sft":
        train_sft(model, processor, training_conversations(samples(), SFT, 0), SFT, **about)
    else:
        train_grpo(model, processor, samples(), samples("validation")[:2], FORMS["hybrid"], GRPO, **about)
    return model


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_only_the_matrices_move_and_it_resumes_to_the_bit(stage: str, tmp_path: Path) -> None:
    start, _ = model_and_processor()
    whole = trained(stage, tmp_path / "whole")
    before = dict(start.named_parameters())
    moved = set()
    for name, weights in whole.named_parameters():
        own = before.get(name.replace(".base_layer", ""))
        if own is None or not torch.equal(weights, own):
            moved.add(name)
    assert moved and all(".lora_A." in name or ".lora_B." in name for name in moved)

    trained(stage, tmp_path / "stopped", stop_in=3)
    (checkpoint,) = (tmp_path / "stopped").glob("checkpoint-3")
    assert [file.name for file in checkpoint.glob("*.safetensors")] == [lora.FILE]
    assert weights_hash(trained(stage, tmp_path / "stopped")) == weights_hash(whole)


def test_the_merged_model_is_plain_and_answers_as_the_unmerged_one(tmp_path: Path) -> None:
    model = trained("sft", tmp_path / "checkpoints")
    _, processor = model_and_processor()
    prompts: list[Prompt] = [(sample, mode) for sample in samples() for mode in MODES]

    def answers(of: Any) -> list[str]:
        of.eval()
        batches = generate(of, processor, prompts, batch=8, max_new_tokens={"direct": 12, "cot": 12})
        return [each.text for batch in batches for each in batch]

    unmerged = answers(model)
    lora.merge(model)
    assert not lora.is_injected(model)
    save(model, processor, tmp_path / "merged")
    merged, _ = load(tmp_path / "merged", "float32")
    assert answers(merged) == unmerged
    assert {*dict(merged.named_parameters())} == {*dict(model_and_processor()[0].named_parameters())}


@pytest.mark.slow
def test_300_samples_are_answered_alike_by_the_trained_base_and_its_merged_weights() -> None:
    model, processor = load(BASE, "float32")
    held_out = list(generated("validation", Recipe(7, validation=300, test=0, understanding_test=0)))
    lora.inject(model, replace(SETTINGS, rank=8), seed=0)
    optimiser = build_optimiser(model, SFT.optimiser)
    collate = ConversationCollator(processor, COORDINATE_STEP)
    model.train()
    for step in range(10):
        batch = collate([[Turn(sample, MODES[n % 2])] for n, sample in enumerate(held_out[8 * step : 8 * step + 8])])
        model(**batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()
    prompts: list[Prompt] = [(sample, mode) for sample in held_out for mode in MODES]

    def answers() -> list[str]:
        batches = generate(model, processor, prompts, batch=100, max_new_tokens={"direct": 48, "cot": 96})
        return [each.text for batch in batches for each in batch]

    unmerged = answers()
    lora.merge(model)
    assert len(unmerged) == 600 and answers() == unmerged


def test_an_unknown_target_and_a_checkpoint_without_are_refused(tmp_path: Path) -> None:
    model, _ = model_and_processor()
    with pytest.raises(Refused, match=r"lora\.targets \['query'\].*'q_proj'"):
        lora.inject(model, LoRASettings(4, 8, ("query",)), seed=0)
    lora.inject(model, SETTINGS, seed=0)
    with pytest.raises(Refused, match="other settings of `lora`"):
        lora.load_trained(model, tmp_path)
