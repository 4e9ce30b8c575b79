"""SFT that costs as much as GRPO: counted as the trainers count, and on data that no stage has seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.stages.train import lessons
from gemvg_repro.study.parameters import TrainParameters
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.training.collator import ConversationCollator, Turn
from gemvg_repro.training.compute_matching import flops_a_token, steps_of_equal_cost
from gemvg_repro.training.sft import conversations, finetune

from ..tiny_model import model_and_processor, samples
from .made import GRPO, SFT


def test_flops_a_token() -> None:
    assert flops_a_token(SFT) == 2 + 4
    assert flops_a_token(GRPO) == 2 + 2 + 4
    assert flops_a_token(replace(GRPO, beta=0.1)) == 2 + 2 + 2 + 4
    assert flops_a_token(replace(GRPO, iterations=3)) == 2 + 2 + 3 * (2 + 4)


def test_the_cost_is_that_of_the_longer_answers_in_tokens_as_the_trainer_counts_them(tmp_path: Path) -> None:
    model, processor = model_and_processor()
    collate = ConversationCollator(processor, 20)
    chosen = conversations(samples(), SFT, 0)
    log: list[dict[str, Any]] = []
    finetune(model, processor, chosen, SFT, step=20, seed=0, folder=tmp_path, record=log.append)
    a_step = log[-1]["tokens"] / SFT.steps
    prompts = [s for s in samples() if s.chain][:5]
    an_answer = sum(int(collate([[Turn(s, "cot")]])["attention_mask"].sum()) for s in prompts) / 5
    answers = GRPO.steps * GRPO.prompts * GRPO.rollouts
    exact = answers * an_answer * 8 / (a_step * 6)
    steps = steps_of_equal_cost(chosen, prompts, SFT, GRPO, collate)
    assert exact <= steps < exact + 1
    without = [replace(s, chain=None) for s in prompts]
    assert steps_of_equal_cost(chosen, without, SFT, GRPO, collate) < steps  # asked directly only


@pytest.mark.parametrize("seed", [0, 1])
def test_a_supervised_stage_goes_on_with_scenes_that_none_before_has_seen(seed: int) -> None:
    _, processor = model_and_processor()
    short = {"sft": replace(SFT, steps=2), "cot_sft": replace(SFT, steps=1), "grpo": replace(GRPO, steps=1)}
    profile = load_profile("miniature").model_copy(update=short)

    def of(mode: str, **more: int) -> Any:
        return lessons(TrainParameters(mode=mode, seed=seed, **more), profile, samples(), processor)  # type: ignore[arg-type]

    settings, chosen = of("sft_more")
    assert settings.optimiser == SFT.optimiser and len(chosen) == settings.steps * SFT.conversations
    seen = {turns[0].sample.scene for mode in ("sft", "cot_sft") for turns in of(mode)[1]}
    fresh = {turns[0].sample.scene for turns in chosen}
    assert len(seen) == 12 and len(fresh) == len(chosen) and not seen & fresh
    assert of("sft_more", steps=2)[0].steps > settings.steps  # twice the steps of GRPO
