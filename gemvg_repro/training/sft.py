"""How are stages 1 and 2 trained? TRL's SFTTrainer on conversations about pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from random import Random

from datasets import Dataset
from transformers import Qwen2VLForConditionalGeneration
from trl import SFTConfig, SFTTrainer

from ..grounding.samples import Mode, Sample
from ..models.processor import ImageOnlyProcessor
from .arguments import Record, StepLog, build_optimiser, freeze_vision, shared_arguments
from .collation import Conversation, ConversationCollator, Turn
from .resuming import ResumesExactly, SealCheckpoints, newest_checkpoint
from .settings import SFTSettings

_LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
    "num_tokens": "tokens",
}


class ConversationSFTTrainer(ResumesExactly, SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer; only resuming differs."""


def converse(samples: Sequence[Sample], turns: int, cot_share: float, seed: int) -> list[Conversation]:
    """Conversations of up to `turns` samples that follow each other and share a scene, each in one mode.

    A sample without a chain of thought is asked directly.
    """
    rng = Random(f"modes/{seed}")
    conversations: list[Conversation] = []
    for _, group in groupby(samples, key=lambda sample: sample.scene):
        chosen = list(group)[:turns]
        mode: Mode = "cot" if rng.random() < cot_share else "direct"
        conversations.append([Turn(s, mode if s.chain else "direct") for s in chosen])
    return conversations


def finetune(
    model: Qwen2VLForConditionalGeneration,
    processor: ImageOnlyProcessor,
    conversations: Sequence[Conversation],
    settings: SFTSettings,
    *,
    step: int,
    seed: int,
    folder: Path,
    record: Record,
) -> None:
    """Trains the model in place, from its newest checkpoint in `folder` if there is one.

    `step` is that of the coordinates in answers. `folder` takes the checkpoints.
    """
    freeze_vision(model, settings.frozen_vision)
    collate = ConversationCollator(processor, step)
    arguments = SFTConfig(
        **shared_arguments(folder, settings, seed, use_cpu=model.device.type == "cpu"),
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.conversations // settings.micro_batch,
        train_sampling_strategy="sequential",
        max_length=None,
        loss_type="nll",
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = ConversationSFTTrainer(
        model=model,
        args=arguments,
        data_collator=lambda rows: collate([conversations[row["index"]] for row in rows]),
        train_dataset=Dataset.from_dict({"index": range(len(conversations))}),
        processing_class=processor,
        optimizers=(build_optimiser(model, settings.optimiser), None),
        callbacks=[SealCheckpoints(model), StepLog(record, _LOGGED)],
    )
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
