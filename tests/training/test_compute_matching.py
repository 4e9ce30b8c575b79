"""Compute-matched SFT: FLOPs counted as the trainers count tokens, and data that no earlier stage has seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.stages.train import supervised_stage
from gemvg_repro.study.parameters import TrainParameters
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.spec import Resolver
from gemvg_repro.training.collator import ConversationCollator, Turn
from gemvg_repro.training.compute_matching import compute_matched_steps
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.sft import train_sft

from ..tiny_model import model_and_processor, samples
from .made import GRPO, SFT


def test_flops_per_token() -> None:
    assert SFT.flops_per_token == 2 + 4
    assert GRPO.flops_per_token == 2 + 2 + 4
    assert replace(GRPO, beta=0.1).flops_per_token == 2 + 2 + 2 + 4
    assert replace(GRPO, iterations=3).flops_per_token == 2 + 2 + 3 * (2 + 4)


def test_steps_match_the_flops_of_the_longer_completions_in_tokens_as_the_trainer_counts_them(tmp_path: Path) -> None:
    model, processor = model_and_processor()
    collate = ConversationCollator(processor, 20)
    conversations = training_conversations(samples(), SFT, 0)
    log: list[dict[str, Any]] = []
    train_sft(
        model,
        processor,
        conversations,
        SFT,
        collate=ConversationCollator(processor, 20),
        seed=0,
        folder=tmp_path,
        record=log.append,
    )
    per_step = log[-1]["tokens"] / SFT.steps
    prompts = [s for s in samples() if s.chain][:5]
    per_completion = sum(int(collate([[Turn(s, "cot")]])["attention_mask"].sum()) for s in prompts) / 5
    completions = GRPO.steps * GRPO.prompts * GRPO.rollouts
    exact = completions * per_completion * 8 / (per_step * 6)
    steps = compute_matched_steps(conversations, prompts, SFT, GRPO, collate)
    assert exact <= steps < exact + 1
    without_chains = [replace(s, chain=None) for s in prompts]
    assert compute_matched_steps(conversations, without_chains, SFT, GRPO, collate) < steps  # direct prompts only


@pytest.mark.parametrize("seed", [0, 1])
def test_a_supervised_stage_continues_with_scenes_that_no_earlier_one_has_seen(seed: int) -> None:
    _, processor = model_and_processor()
    short = {"sft": replace(SFT, steps=2), "cot_sft": replace(SFT, steps=1), "grpo": replace(GRPO, steps=1)}
    profile = load_profile("miniature").model_copy(update=short)
    resolve = Resolver(lambda name, _: profile)

    def stage(mode: str, **more: int) -> Any:
        params = TrainParameters.check({"mode": mode, "seed": seed, **more})
        return supervised_stage(resolve(params), samples(), ConversationCollator(processor, 20))

    settings, chosen = stage("sft_more")
    assert settings.optimiser == SFT.optimiser and len(chosen) == settings.steps * SFT.conversations
    seen = {turns[0].sample.scene for mode in ("sft", "cot_sft") for turns in stage(mode)[1]}
    fresh = {turns[0].sample.scene for turns in chosen}
    assert len(seen) == 12 and len(fresh) == len(chosen) and not seen & fresh
    assert stage("sft_more", steps=2)[0].steps > settings.steps  # twice the steps of GRPO
