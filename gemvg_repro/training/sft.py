"""How are stages 1 and 2 trained? TRL's SFTTrainer on conversations about pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from random import Random

from datasets import Dataset
from transformers import PrinterCallback, Qwen2VLForConditionalGeneration
from trl import SFTConfig, SFTTrainer

from ..grounding.samples import Mode, Sample
from ..models.processor import ImageOnlyProcessor
from .checkpointing import ResumesExactly, SealCheckpoints, StopsWhenAsked, never, newest_checkpoint
from .collator import Conversation, ConversationCollator, Turn
from .settings import SFTSettings
from .token_logprobs import score_labels_only
from .trainer_setup import Record, StepLog, build_optimiser, freeze_vision, on_one_device, shared_arguments

_LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
    "num_input_tokens_seen": "tokens",
}


class ConversationSFTTrainer(ResumesExactly, SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer; only resuming differs."""


def conversations(
    samples: Sequence[Sample], settings: SFTSettings, seed: int, shuffled: bool = True, seen: int = 0
) -> list[Conversation]:
    """The conversations of a stage, in the order of training: as many as its steps take, after the first `seen`.

    Samples of one scene that follow each other are asked together, up to `turns` of them, in one mode drawn
    for the conversation; a sample without a chain of thought is asked directly. Scenes are passed through in
    epochs, each in an order of its own unless `shuffled` is false; then batches also gather conversations of
    similar length out of the next WINDOW batches, so that little is padded.
    """
    rng = Random(f"conversations/{seed}")
    scenes = [list(group)[: settings.turns] for _, group in groupby(samples, key=lambda sample: sample.scene)]
    wanted = seen + settings.steps * settings.conversations
    order: list[int] = []
    while len(order) < wanted:
        order += rng.sample(range(len(scenes)), len(scenes)) if shuffled else range(len(scenes))
    chosen: list[Conversation] = []
    for number in order[seen:wanted]:
        mode: Mode = "cot" if rng.random() < settings.cot_share else "direct"
        chosen.append([Turn(s, mode if s.chain else "direct") for s in scenes[number]])
    return batched_by_length(chosen, settings.conversations, rng) if shuffled else chosen


WINDOW = 10
"""Batches out of which conversations of similar length are gathered."""


def batched_by_length(conversations: list[Conversation], batch: int, rng: Random) -> list[Conversation]:
    """The same conversations, window by window in batches of similar length, the batches in any order."""

    def length(turns: Conversation) -> tuple[int, int]:
        return len(turns[0].sample.pictures), sum(len(t.sample.query) + 40 * len(t.sample.targets) for t in turns)

    ordered: list[Conversation] = []
    for start in range(0, len(conversations), batch * WINDOW):
        window = sorted(conversations[start : start + batch * WINDOW], key=length)
        batches = [window[i : i + batch] for i in range(0, len(window), batch)]
        ordered += [turns for one in rng.sample(batches, len(batches)) for turns in one]
    return ordered


def sft_arguments(folder: Path, settings: SFTSettings, seed: int, use_cpu: bool) -> SFTConfig:
    """TRL's own configuration of a stage."""
    arguments = SFTConfig(
        **shared_arguments(folder, settings, seed, use_cpu),
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.conversations // settings.micro_batch,
        train_sampling_strategy="sequential",
        include_num_input_tokens_seen="non_padding",  # counted across resumes, unlike TRL's own count
        max_length=None,
        loss_type="nll",
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return on_one_device(arguments)


def finetune(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    asked: Sequence[Conversation],
    settings: SFTSettings,
    *,
    step: int,
    seed: int,
    folder: Path,
    record: Record,
    stop: Callable[[], bool] = never,
) -> None:
    """Trains the model in place on the conversations, in their order, or until `stop` says so.

    It goes on from the newest checkpoint in `folder`, which takes the checkpoints, if there is one. `step` is
    that of the coordinates in answers.
    """
    freeze_vision(model, settings.frozen_vision)
    collate = ConversationCollator(processor, step)
    trainer = ConversationSFTTrainer(
        model=model,
        args=sft_arguments(folder, settings, seed, use_cpu=model.device.type == "cpu"),
        data_collator=lambda rows: collate([asked[row["index"]] for row in rows]),
        train_dataset=Dataset.from_dict({"index": range(len(asked))}),
        processing_class=processor,
        optimizers=(build_optimiser(model, settings.optimiser), None),
        callbacks=[SealCheckpoints(model), StepLog(record, _LOGGED), StopsWhenAsked(stop)],
    )
    score_labels_only(model, ("log_probs", "entropy", "is_top1"))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
