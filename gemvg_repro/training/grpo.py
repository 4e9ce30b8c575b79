"""How is stage 3 trained? TRL's GRPOTrainer, rewarded by rule, on CoT prompts, direct prompts, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from transformers import PrinterCallback, Qwen2VLForConditionalGeneration
from trl import GRPOConfig

from ..grounding.parsing import ParsedAnswer, parse_ids
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, question
from ..grounding.rewards import TERMS, Term
from ..grounding.samples import Mode, Sample
from ..models.processor import ImageOnlyProcessor
from .checkpointing import ResumesExactly, SealCheckpoints, StopsWhenAsked, never, newest_checkpoint
from .collator import ConversationCollator, Turn
from .grpo_variants import TakesForm
from .kl import Divergence
from .prefix_sharing import SharingGRPOTrainer
from .settings import GRPOForm, GRPOSettings
from .token_logprobs import score_labels_only
from .trainer_setup import Record, StepLog, build_optimiser, freeze_vision, on_one_device, shared_arguments

_LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "reward": "reward",
    **{f"rewards/{term}/mean": f"reward/{term}" for term in TERMS},
    "frac_reward_zero_std": "zero_variance_share",
    "clip_ratio/region_mean": "clip_share",
    "completions/clipped_ratio": "truncated_share",
    "completions/mean_length": "length_mean",
    "entropy": "entropy",
    "num_tokens": "tokens",
}

RewardFunction = Callable[..., list[float]]


class GroundingGRPOTrainer(TakesForm, ResumesExactly, SharingGRPOTrainer):
    """TRL's GRPOTrainer: it resumes exactly, rollouts share their prompt, and groups and rewards have a form."""


def reward_functions(samples: Sequence[Sample], processor: ImageOnlyProcessor) -> list[RewardFunction]:
    """One function a term of the reward, in TRL's form; rows carry the `index` of their sample and their `mode`.

    Answers are read from token ids: TRL strips special tokens, box tokens among them, from the text.
    """

    @lru_cache(maxsize=4096)
    def reading(ids: tuple[int, ...], pictures: int) -> ParsedAnswer:
        return parse_ids(ids, processor.tokenizer.decode, pictures)

    def in_trl_form(name: str, term: Term) -> RewardFunction:
        def function(completion_ids: list[list[int]], index: list[int], mode: list[Mode], **_: Any) -> list[float]:
            rows = zip(completion_ids, index, mode, strict=True)
            return [term(samples[i], reading(tuple(ids), len(samples[i].pictures)), m) for ids, i, m in rows]

        function.__name__ = name
        return function

    return [in_trl_form(name, term) for name, term in TERMS.items()]


def prompts_in_order(samples: Sequence[Sample], modes: Sequence[Mode], count: int, seed: int) -> Dataset:
    """`count` distinct samples in an order of the seed, each asked in every mode, one after the other.

    Rows: prompt (the messages without the pictures), index (into samples), mode.
    """
    if count > len(samples):
        raise ValueError(f"{count} distinct samples are asked for, the data has {len(samples)}: take fewer steps")
    chosen = Random(f"prompts/{seed}").sample(range(len(samples)), count)
    rows = [(index, mode) for index in chosen for mode in modes]
    prompts = [[{"role": "user", "content": question(samples[i], mode)}] for i, mode in rows]
    return Dataset.from_dict({"prompt": prompts, "index": [i for i, _ in rows], "mode": [m for _, m in rows]})


def with_pictures(samples: Sequence[Sample]) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Puts each row's pictures beside it, as a batch is put together; rows of a group share theirs."""

    def collate(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        made = {i: [Image.fromarray(p.pixels()) for p in samples[i].pictures] for i in {r["index"] for r in rows}}
        return [{**row, "images": made[row["index"]]} for row in rows]

    return collate


def grpo_arguments(folder: Path, settings: GRPOSettings, seed: int, form: GRPOForm, use_cpu: bool) -> GRPOConfig:
    """TRL's own configuration of stage 3."""
    arguments = GRPOConfig(
        **shared_arguments(folder, settings, seed, use_cpu),
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.prompts * settings.rollouts // settings.micro_batch,
        num_generations=form.group(settings.rollouts),
        num_iterations=settings.iterations,
        max_completion_length=settings.max_new_tokens,
        temperature=settings.temperature,
        top_p=1.0,
        top_k=0,
        repetition_penalty=1.0,
        shuffle_dataset=False,
        chat_template_kwargs=CHAT_TEMPLATE_KWARGS,
        beta=settings.beta,
        epsilon=settings.epsilon,
        epsilon_high=settings.epsilon_high,
        loss_type=form.loss_type or settings.loss_type,
        scale_rewards=settings.scale_rewards,
        importance_sampling_level="token",
        mask_truncated_completions=False,
        multi_objective_aggregation="sum_then_normalize",
        reward_weights=[settings.weights[term] for term in TERMS],
        use_vllm=False,
    )
    return on_one_device(arguments)


def reinforce(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    watched: Sequence[Sample],
    form: GRPOForm,
    settings: GRPOSettings,
    *,
    step: int,
    seed: int,
    folder: Path,
    record: Record,
    stop: Callable[[], bool] = never,
) -> None:
    """Trains the model in place by GRPO, from its newest checkpoint in `folder` if there is one, or until `stop`.

    All variants take the same number of distinct samples and of rollouts a step: `hybrid` splits a sample's
    rollouts between its modes. `watched` samples, of validation, show how far the policy has moved from
    where it began: the KL divergence in the variant's own modes, `micro_batch` answers at a time.
    """
    modes = form.modes
    freeze_vision(model, settings.frozen_vision)
    collate = ConversationCollator(processor, step)
    asked = [[Turn(s, mode)] for mode in modes for s in watched]
    together = settings.micro_batch
    divergence = Divergence(model, [collate(asked[n : n + together]) for n in range(0, len(asked), together)])

    def watch(number: int) -> dict[str, float]:
        due = number % settings.watch_every == 0 or number == settings.steps
        return {"kl": divergence()} if due else {}

    torch.manual_seed(seed)
    trainer = GroundingGRPOTrainer(
        model=model,
        reward_funcs=reward_functions(samples, processor),
        args=grpo_arguments(folder, settings, seed, form, use_cpu=model.device.type == "cpu"),
        train_dataset=prompts_in_order(samples, modes, settings.steps * settings.prompts, seed),
        processing_class=processor,
        optimizers=(build_optimiser(model, settings.optimiser), None),
        callbacks=[SealCheckpoints(model), StepLog(record, _LOGGED, watch), StopsWhenAsked(stop, settings.iterations)],
    )
    trainer.form = form
    score_labels_only(model, ("log_probs", "entropy"), settings.temperature)
    trainer.remove_callback(PrinterCallback)
    trainer.data_collator = with_pictures(samples)
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
