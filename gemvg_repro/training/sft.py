"""SFT (stages 1 and 2): TRL's SFTTrainer on multi-image conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback
from trl import SFTConfig, SFTTrainer

from ..models.processor import ImageOnlyProcessor
from . import processes
from .checkpointing import ResumesExactly, SealedCheckpoint, StopOnRequest, ignore, never, resume_point
from .collator import Conversation, ConversationCollator
from .loading import CollatesItems
from .optimisers import stage_optimiser
from .out_of_memory import train_or_save
from .settings import SFTSettings
from .step_times import StepTimes, TimedSteps
from .token_logprobs import score_labelled_tokens_only
from .trainer_setup import Record, StepLog, Watch, on_one_device, shared_arguments, watch_nothing

_LOGGED = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
    "num_input_tokens_seen": "tokens",
}


class ConversationSFTTrainer(TimedSteps, CollatesItems, ResumesExactly, SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer with exact resuming, and with one micro-batch on the device at a time."""

    conversations: int
    """In the batch of a step."""

    loss_is_scaled_for_ga = True
    """By the labels of the whole step, which are counted below. transformers thinks that it is not for models whose
    class says `accepts_loss_kwargs = False` (Qwen2.5-VL, Qwen3-VL), and would divide it by the micro-batches again."""

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[Any, Tensor]:
        """As transformers', the micro-batches of a step and how many tokens have a label, but each micro-batch is taken
        when its turn comes; transformers waits for all of them, and holds all, to count the labels."""
        first = self.state.global_step * self.conversations
        labels = self.data_collator.count_labels(self.items[first : first + self.conversations])
        return _Upcoming(epoch_iterator, num_batches), torch.tensor(labels, device=device)


class _Upcoming:
    """The next so many elements of an iterator, taken one by one."""

    def __init__(self, iterator: Iterator[Any], count: int):
        self._iterator = iterator
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return islice(self._iterator, self._count)


def sft_arguments(folder: Path, settings: SFTSettings, seed: int, use_cpu: bool, loader_workers: int = 0) -> SFTConfig:
    """TRL's SFTConfig of these settings."""
    size = processes.micro_batch(settings.conversations, settings.micro_batch)
    arguments = SFTConfig(
        **shared_arguments(folder, settings, seed, use_cpu, loader_workers),
        per_device_train_batch_size=size,
        gradient_accumulation_steps=settings.conversations // (size * processes.count()),
        train_sampling_strategy="sequential",
        include_num_input_tokens_seen="non_padding",  # counted across resumes, unlike TRL's own count
        max_length=None,
        loss_type="nll",
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return on_one_device(arguments)


def train_sft(
    model: PreTrainedModel,
    processor: ImageOnlyProcessor,
    conversations: Sequence[Conversation],
    settings: SFTSettings,
    *,
    collate: ConversationCollator,
    seed: int,
    folder: Path,
    record: Record,
    watch: Watch = watch_nothing,
    stop: Callable[[], bool] = never,
    on_sealed: Callable[[SealedCheckpoint], None] = ignore,
    loader_workers: int = 0,
) -> None:
    """Trains the model in place on the conversations, in their order, resuming from the newest checkpoint in `folder`.

    Args:
        model, processor: the start of the training.
        conversations: see `training_conversations`.
        settings: all hyperparameters.
        collate: makes the batches.
        seed: of the trainer; the order of the data is that of `conversations`.
        folder: of the checkpoints.
        record: receives the log entry of each step.
        watch: measures the model after each step, for the log.
        stop: asked after each step; True ends the training with a checkpoint.
        on_sealed: called after each checkpoint.
        loader_workers: processes that collate ahead; 0: this one, when a batch is needed.
    """
    times = StepTimes()
    trainer = ConversationSFTTrainer(
        model=model,
        args=sft_arguments(folder, settings, seed, model.device.type == "cpu", loader_workers),
        data_collator=collate,
        train_dataset=Dataset.from_dict({"index": range(len(conversations))}),
        processing_class=processor,
        optimizers=(stage_optimiser(model, settings), None),
        callbacks=[StepLog(record, _LOGGED, times, watch), times, StopOnRequest(stop)],
    )
    score_labelled_tokens_only(model, ("log_probs", "entropy", "is_top1"))
    trainer.remove_callback(PrinterCallback)
    trainer.on_sealed, trainer.times = on_sealed, times
    trainer.items, trainer.conversations = conversations, settings.conversations
    train_or_save(trainer, processes.from_first(lambda: resume_point(folder)))
