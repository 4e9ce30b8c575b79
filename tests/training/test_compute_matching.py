"""Compute-matched SFT: FLOPs counted as the trainers count tokens, and data that no earlier stage has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from gemvg_repro.grounding.samples import Mode, Sample
from gemvg_repro.runs.layout import DRAWN_ANSWERS
from gemvg_repro.stages.best_draws import with_best_draws
from gemvg_repro.stages.samples import first_of_each_scene
from gemvg_repro.stages.supervised import supervised_stage
from gemvg_repro.study.parameters import TrainParameters
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.spec import Resolver
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.collator import Conversation, ConversationCollator, Turn
from gemvg_repro.training.compute_matching import compute_matched_steps, grpo_flops
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import prompt_dataset
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

    def mean(mode: Mode) -> tuple[float, float]:
        batches = [collate([[Turn(s, mode)]]) for s in prompts]
        answers = sum(int((batch["labels"] >= 0).sum()) for batch in batches) / 5
        return sum(int(batch["attention_mask"].sum()) for batch in batches) / 5 - answers, answers

    (direct, short), (cot, long) = mean("direct"), mean("cot")

    def steps(*forms: str, prompts: Sequence[Sample] = prompts) -> int:
        return compute_matched_steps(conversations, prompts, SFT, GRPO, [FORMS[form] for form in forms], collate)

    def exact(tokens: float) -> float:
        """The steps of SFT for so many tokens of GRPO for each of its prompts: each prompt is read once a mode."""
        return float(GRPO.steps * GRPO.prompts * tokens * 8 / (per_step * 6))

    assert exact(cot + 4 * long) <= steps("cot", "direct") < exact(cot + 4 * long) + 1
    hybrid = exact(direct + cot + 2 * short + 2 * long)
    assert hybrid <= steps("hybrid") < hybrid + 1
    without_chains = [replace(s, chain=None) for s in prompts]
    assert steps("cot", "direct", prompts=without_chains) == steps("direct") < steps("cot", "direct")


def test_flops_of_a_training_of_grpo_as_they_are_spent() -> None:
    """Two steps of 2 prompts of 10 tokens with 4 completions of 5; in the second half the groups have no variance."""
    tokens = GRPO.prompts * GRPO.rollouts * (10 + 5)
    first: dict[str, Any] = {"step": 1, "tokens": tokens, "length_mean": 5.0, "zero_variance_share": 0.0}
    second = {**first, "step": 2, "tokens": 2 * tokens, "zero_variance_share": 0.5}
    log: list[dict[str, Any]] = [{"step": 0}, first, second]
    direct, hybrid = (grpo_flops(log, GRPO, FORMS[form]) for form in ("direct", "hybrid"))
    assert direct == (60 * 8 + 60 * (2 + 0.5 * 6), 2 * tokens * 8)
    assert hybrid == (80 * 8 + 80 * (2 + 0.5 * 6), 2 * tokens * 8)
    unskipped, _ = grpo_flops(log, replace(GRPO, beta=0.1), FORMS["direct"])
    assert unskipped == 2 * 60 * 10


@pytest.mark.parametrize("seed", [0, 1])
def test_a_supervised_stage_continues_with_scenes_that_no_earlier_one_has_seen(seed: int) -> None:
    _, processor = model_and_processor()
    short = {"sft": replace(SFT, steps=2), "cot_sft": replace(SFT, steps=1), "grpo": replace(GRPO, steps=1)}
    profile = load_profile("miniature").model_copy(update=short)
    resolve = Resolver(lambda name, _: profile)

    def stage(mode: str, **more: int) -> Any:
        params = TrainParameters.check({"mode": mode, "seed": seed, **more})
        prompts = first_of_each_scene(samples())
        return supervised_stage(resolve(params), samples(), prompts, ConversationCollator(processor, 20))

    settings, chosen = stage("sft_more")
    assert settings.optimiser == SFT.optimiser and len(chosen) == settings.steps * SFT.conversations
    seen = {turns[0].sample.scene for mode in ("sft", "cot_sft") for turns in stage(mode)[1]}
    fresh = {turns[0].sample.scene for turns in chosen}
    assert len(seen) == 12 and len(fresh) == len(chosen) and not seen & fresh
    assert stage("sft_more", steps=2)[0].steps > settings.steps  # twice the steps of GRPO


def test_the_controls_have_grpo_s_prompts_each_once() -> None:
    _, processor = model_and_processor()
    short = {"sft": replace(SFT, steps=1), "cot_sft": replace(SFT, steps=2, cot_share=0.8), "grpo": GRPO}
    resolve = Resolver(lambda name, overrides: load_profile("miniature").model_copy(update=short))
    prompts = first_of_each_scene(samples())
    rows = prompt_dataset(prompts, ("direct",), GRPO.steps * GRPO.prompts, 3)
    of_grpo = {prompts[i].id for i in rows["index"]}

    def stage(mode: str) -> Any:
        spec = resolve(TrainParameters.check({"mode": mode, "seed": 3}))
        return supervised_stage(spec, samples(), prompts, ConversationCollator(processor, 20))

    settings, labels = stage("sft_labels")
    assert settings.steps == 2 * len(of_grpo) / SFT.conversations and settings.optimiser == SFT.optimiser
    direct, old = ([t for t in labels if t[0].mode == mode] for mode in ("direct", "cot"))
    assert {turns[0].sample.id for turns in direct} == of_grpo and len(direct) == len(old) == len(of_grpo)
    of_before = {turns[0].sample.id for turns in stage("cot_sft")[1]}
    assert {turns[0].sample.id for turns in old} <= of_before
    settings, draws = stage("sft_draws")
    assert settings.steps == len(of_grpo) / SFT.conversations
    assert sorted(turns[0].sample.id for turns in draws) == sorted(of_grpo)
    assert [turns[0].mode for turns in draws].count("cot") == len(of_grpo) / 2


def test_the_best_of_the_model_s_own_answers_is_learned(tmp_path: Path) -> None:
    model, processor = model_and_processor()
    resolve = Resolver(lambda name, overrides: load_profile("miniature").model_copy(update={"grpo": GRPO}))
    spec = resolve(TrainParameters.check({"mode": "sft_draws", "seed": 3, "runs": str(tmp_path)}))
    spec.folder.mkdir()
    prompts: list[Conversation] = [[Turn(s, "direct")] for s in first_of_each_scene(samples())[:3]]
    drawn = with_best_draws(prompts, spec, model, processor)
    assert [turns[0].sample for turns in drawn] == [turns[0].sample for turns in prompts]
    assert all(turns[0].answer is not None for turns in drawn)
    assert len(pd.read_parquet(spec.folder / DRAWN_ANSWERS)) == 3
    batch = ConversationCollator(processor, 20)(drawn[:1])
    learned = processor.tokenizer.decode(batch["labels"][batch["labels"] >= 0])
    assert learned == str(drawn[0][0].answer) + processor.tokenizer.eos_token
    torch.nn.init.zeros_(model.lm_head.weight)
    assert with_best_draws(prompts, spec, model, processor) == drawn  # they are the start's
