"""GRPO (stage 3): TRL's GRPOTrainer with rule-based rewards, on CoT prompts, direct prompts, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PrinterCallback
from trl import GRPOConfig

from ..grounding.parsing import ParsedAnswer, parse_ids
from ..grounding.prompts import CHAT_TEMPLATE_KWARGS, question
from ..grounding.rewards import TERMS, Term
from ..grounding.samples import Mode, Sample
from ..models.processor import ImageOnlyProcessor
from . import processes
from .checkpointing import ResumesExactly, SealedCheckpoint, StopOnRequest, ignore, never, resume_point
from .collator import ConversationCollator, Turn
from .generation_batches import PromptCollator, PromptRow
from .grpo_variants import FormMixin
from .kl import KLFromStart
from .optimisers import stage_optimiser
from .out_of_memory import train_or_save
from .prefix_sharing import SharedPrefixGRPOTrainer
from .settings import GRPOForm, GRPOSettings
from .step_times import StepTimes, TimedSteps
from .token_logprobs import score_labelled_tokens_only
from .trainer_setup import Record, StepLog, Watch, on_one_device, shared_arguments, watch_nothing

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


class GroundingGRPOTrainer(TimedSteps, FormMixin, ResumesExactly, SharedPrefixGRPOTrainer):
    """TRL's GRPOTrainer with exact resuming, shared prefixes, and groups and rewards as the variant's form says."""


def reward_functions(samples: Sequence[Sample], processor: ImageOnlyProcessor) -> list[RewardFunction]:
    """One reward function per term, as TRL calls it; rows carry the `index` of their sample and their `mode`.

    Answers are parsed from token ids: TRL strips special tokens, box tokens among them, from the text.
    """

    @lru_cache(maxsize=4096)
    def parsed(ids: tuple[int, ...], index: int) -> ParsedAnswer:
        pictures = samples[index].pictures
        return parse_ids(ids, lambda of: processor.read(processor.tokenizer.decode(of), pictures), len(pictures))

    def reward_function(name: str, term: Term) -> RewardFunction:
        def function(completion_ids: list[list[int]], index: list[int], mode: list[Mode], **_: Any) -> list[float]:
            rows = zip(completion_ids, index, mode, strict=True)
            return [term(samples[i], parsed(tuple(ids), i), m) for ids, i, m in rows]

        function.__name__ = name
        return function

    return [reward_function(name, term) for name, term in TERMS.items()]


def prompt_dataset(samples: Sequence[Sample], modes: Sequence[Mode], count: int, seed: int) -> Dataset:
    """The prompts of `count` distinct samples, in an order drawn by the seed; of each sample in every mode.

    Rows: prompt (the messages without the images), index (into samples), mode.

    Raises:
        ValueError: there are fewer than `count` samples.
    """
    indices = prompt_order(len(samples), count, seed)
    rows = [(index, mode) for index in indices for mode in modes]
    prompts = [[{"role": "user", "content": question(samples[i], mode)}] for i, mode in rows]
    return Dataset.from_dict({"prompt": prompts, "index": [i for i, _ in rows], "mode": [m for _, m in rows]})


def prompt_order(samples: int, count: int, seed: int) -> list[int]:
    """The indices of the `count` samples that a training of this seed takes its prompts from, in its order.

    Raises:
        ValueError: there are fewer samples.
    """
    if count > samples:
        raise ValueError(f"{count} distinct samples are asked for, the data has {samples}: take fewer steps")
    return Random(f"prompts/{seed}").sample(range(samples), count)


def grpo_arguments(
    folder: Path, settings: GRPOSettings, seed: int, form: GRPOForm, use_cpu: bool, loader_workers: int = 0
) -> GRPOConfig:
    """TRL's GRPOConfig of these settings."""
    rows, group = settings.prompts * settings.rollouts, form.group(settings.rollouts)
    size = processes.micro_batch(rows, settings.micro_batch, group)
    arguments = GRPOConfig(
        **shared_arguments(folder, settings, seed, use_cpu, loader_workers),
        per_device_train_batch_size=size,
        gradient_accumulation_steps=rows // (size * processes.count()),
        num_generations=group,
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
        loss_type=settings.loss_type,
        scale_rewards=settings.scale_rewards,
        importance_sampling_level="token",
        mask_truncated_completions=False,
        multi_objective_aggregation="sum_then_normalize",
        reward_weights=[settings.weights[term] for term in TERMS],
        use_vllm=False,
    )
    return on_one_device(arguments)


def train_grpo(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    form: GRPOForm,
    settings: GRPOSettings,
    *,
    collate: ConversationCollator,
    seed: int,
    folder: Path,
    record: Record,
    watch: Watch = watch_nothing,
    stop: Callable[[], bool] = never,
    on_sealed: Callable[[SealedCheckpoint], None] = ignore,
    loader_workers: int = 0,
    prefix_sharing: bool = True,
) -> None:
    """Trains the model in place by GRPO, resuming from the newest checkpoint in `folder` if there is one.

    All variants have as many rollouts a step, and but for `whole` groups as many samples: `hybrid` splits a sample's
    rollouts between its modes.

    Args:
        model, processor: the start of the training.
        samples: to train on.
        validation: samples on which the KL from the start is measured, in the variant's own modes.
        form: the variant's groups, rewards and loss.
        settings: all hyperparameters.
        collate: makes the batches.
        seed: of the order of prompts and of sampling.
        folder: of the checkpoints.
        record: receives the log entry of each step.
        watch: measures the model after each step, for the log, beside the KL.
        stop: asked after each step; True ends the training with a checkpoint.
        on_sealed: called after each checkpoint.
        loader_workers: processes that make the prompts' inputs ahead; 0: this one, when they are needed.
        prefix_sharing: whether the forward pass computes a prompt once for all of its rollouts.
    """
    modes = form.modes
    conversations = [[Turn(s, mode)] for mode in modes for s in validation]
    size = settings.micro_batch
    kl = KLFromStart(model, [collate(conversations[n : n + size]) for n in range(0, len(conversations), size)])

    def measure(step: int) -> dict[str, float]:
        due = step and (step % settings.watch_every == 0 or step == settings.steps)
        return {**({"kl": kl()} if due else {}), **watch(step)}

    prompts = prompt_dataset(samples, modes, settings.steps * form.samples(settings.prompts), seed)
    times = StepTimes()
    trainer = GroundingGRPOTrainer(
        model=model,
        reward_funcs=reward_functions(samples, processor),
        args=grpo_arguments(folder, settings, seed, form, model.device.type == "cpu", loader_workers),
        train_dataset=prompts,
        processing_class=processor,
        optimizers=(stage_optimiser(model, settings), None),
        callbacks=[StepLog(record, _LOGGED, times, measure), times, StopOnRequest(stop, settings.iterations)],
    )
    trainer.form, trainer.shares = form, prefix_sharing
    score_labelled_tokens_only(model, ("log_probs", "entropy"), settings.temperature)
    trainer.remove_callback(PrinterCallback)
    trainer.data_collator = PromptCollator(processor)
    trainer.items = [PromptRow(i, samples[i], mode) for i, mode in zip(prompts["index"], prompts["mode"], strict=True)]
    trainer.on_sealed, trainer.times = on_sealed, times
    train_or_save(trainer, processes.from_first(lambda: resume_point(folder)), settings.iterations)
