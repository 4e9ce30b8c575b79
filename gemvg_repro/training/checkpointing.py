"""Checkpoints from which an interrupted training resumes to bit-identical weights, in any number of processes.

A checkpoint is written, brought to the disk, sealed, and only then is an older one removed: a kill at any moment leaves
the newest sealed one whole. What has no seal was not finished, and is removed when the training begins again.

Each process writes the state of its share of the optimiser. There is no random state: all draws are functions of the
seed, the step and the row.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import SCHEDULER_NAME

from ..files.atomic import write_bytes, writing
from ..files.validation import Refused, read_json
from ..models.checkpoints import hashes
from . import lora, processes
from .checkpoint_hashing import CheckpointHashing, sync, weights_hash
from .optimisers import load_state_by_weight, state_by_weight

SEAL = "seal.json"
"""Written into a checkpoint after everything else, as the sign that it is complete: the hash of the live weights, that
of every file by name, and the seconds that saving took."""

KEPT = 2
"""Sealed checkpoints that are kept: the newest, and one before it should the newest turn out to be damaged."""


@dataclass(frozen=True)
class SealedCheckpoint:
    """The optimiser step of a sealed checkpoint, and the seconds from the start of its writing to its seal."""

    step: int
    seconds: float | None

    @classmethod
    def at(cls, checkpoint: Path | None) -> SealedCheckpoint:
        """Of a checkpoint folder; step 0 where there is none. Seals of earlier versions have no seconds."""
        if checkpoint is None:
            return cls(0, None)
        return cls(_step_of(checkpoint), read_json(checkpoint / SEAL).get("seconds"))


def resume_point(folder: Path) -> Path | None:
    """The checkpoint to resume from, see `newest_checkpoint`; removes those that were not finished.

    Only for the owner of the run: a training that is writing into `folder` would lose its checkpoint.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        if not (checkpoint / SEAL).is_file():
            shutil.rmtree(checkpoint)
    return newest_checkpoint(folder)


def newest_checkpoint(folder: Path) -> Path | None:
    """The sealed checkpoint of the most steps, verified by the hashes of its files.

    Raises:
        Refused: a file of it is missing or has changed since it was sealed.
    """
    newest = max(_sealed(folder), key=_step_of, default=None)
    if newest is not None:
        sealed = read_json(newest / SEAL)["files"]
        current = {name: digest for name, digest in hashes(newest).items() if name != SEAL}
        if wrong := sorted(name for name in {*sealed, *current} if sealed.get(name) != current.get(name)):
            raise Refused(
                f"{newest} was altered after it was written: {', '.join(wrong)}. Delete that folder; the same command"
                " then resumes from an earlier checkpoint, or from the start"
            )
    return newest


def _sealed(folder: Path) -> list[Path]:
    return [seal.parent for seal in folder.glob(f"checkpoint-*/{SEAL}")]


def _step_of(checkpoint: Path) -> int:
    return int(re.findall(r"\d+", checkpoint.name)[-1])


class StopOnRequest(TrainerCallback):  # type: ignore[misc]
    """Ends a training after the current step, with a checkpoint, once `requested` returns True.

    Saves after the first step, too: from then on it is known how long before a time limit a save must begin, and what
    prevents one, such as a full disk, is told before hours of work depend on it.

    `every`: only after a multiple of so many steps, where they share state that no checkpoint has (GRPO's completions,
    when it takes several steps on them).
    """

    def __init__(self, requested: Callable[[], bool], every: int = 1):
        self._requested = requested
        self._every = every

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step == self._every:
            control.should_save = True
        if state.global_step % self._every == 0 and processes.any_of(self._requested()):
            control.should_save = control.should_training_stop = True


def never() -> bool:
    """The `stop` of a training that runs to its end."""
    return False


def ignore(checkpoint: SealedCheckpoint) -> None:
    """The `on_sealed` of a training whose checkpoints nobody follows."""


class ResumesExactly:
    """Mixin for a transformers Trainer: writes sealed checkpoints, loads their weights exactly, and verifies them.

    transformers 5.23 removes an old checkpoint before the new one can be sealed, and counts unfinished ones: two kills
    could leave none. So `save_total_limit` is None, and checkpoints are removed here. And it saves a Qwen2-VL under
    other names than its live weights have, and loads them with strict=False: training would silently continue from the
    start's weights.
    """

    model: PreTrainedModel
    args: TrainingArguments
    state: TrainerState
    optimizer: torch.optim.Optimizer
    lr_scheduler: LRScheduler
    on_sealed: Callable[[SealedCheckpoint], None] = staticmethod(ignore)
    """Called whenever a checkpoint has been sealed."""
    _hashing: CheckpointHashing

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        if lora.is_injected(self.model):
            lora.load_trained(self.model, folder)
        else:
            self._load_whole(folder)
        sealed, loaded = read_json(folder / SEAL)["weights"], weights_hash(self.model)
        if loaded != sealed:
            raise Refused(
                f"{folder}: the weights as loaded have hash {loaded[:12]}, sealed was {sealed[:12]}: another model's?"
                " Delete that folder; the same command then resumes from an earlier checkpoint, or from the start"
            )

    def _load_whole(self, folder: Path) -> None:
        saved = type(self.model).from_pretrained(folder, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())
        self.model.tie_weights()

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The model as transformers saves it, or with LoRA what is trained of it."""
        if not lora.is_injected(self.model):
            super()._save(output_dir, state_dict)  # type: ignore[misc]
            return
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        lora.save_trained(self.model, folder)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Writes and seals a checkpoint, then removes the oldest.

        Raises:
            NotWritten: the disk is full, or a quota or limit reached; nothing of the checkpoint is left.
            OtherProcessFailed: another process could not write its part.
        """
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        started, size = time.monotonic(), self._checkpoint_bytes()
        error: BaseException | None = None
        try:
            with writing(folder, size), CheckpointHashing(self.model, folder) as self._hashing:
                super()._save_checkpoint(*args, **kwargs)  # type: ignore[misc]
        except BaseException as met:
            error = met
        try:
            processes.all_succeed(error)
            shares = {
                name: digest for of_one in processes.gathered(self._hashing.digests) for name, digest in of_one.items()
            }
            with writing(folder, size):  # to the disk: some file systems tell only there that a quota is reached
                seconds = processes.from_first(lambda: _seal(folder, self._hashing.results(shares), started))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.on_sealed(SealedCheckpoint(self.state.global_step, seconds))
        if processes.rank() == 0:
            for checkpoint in sorted(_sealed(folder.parent), key=_step_of)[:-KEPT]:
                (checkpoint / SEAL).unlink()  # first, so that what a kill leaves of it is no checkpoint
                shutil.rmtree(checkpoint, ignore_errors=True)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """The state of this process's share, hashed as it is written; the files of the weights are hashed meanwhile."""
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        if processes.rank() == 0:
            self._hashing.start()
        share = f"optimizer-{processes.rank()}-of-{processes.count()}.pt"
        self._hashing.save(state_by_weight(self.model, self._own_optimiser), share)
        if processes.rank() == 0:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """The state of this process's share, of whichever processes wrote it; the files are only mapped."""
        if checkpoint is None:
            return
        states: dict[str, dict[str, Any]] = {}
        for share in sorted(Path(checkpoint).glob("optimizer-*-of-*.pt")):
            states |= torch.load(share, map_location="cpu", mmap=True, weights_only=True)
        if not states:
            raise Refused(f"{checkpoint} is of an earlier version. Delete its folder; the same command begins anew")
        load_state_by_weight(self.model, self._own_optimiser, states)
        self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))
        for group, lr in zip(self.optimizer.param_groups, self.lr_scheduler.get_last_lr(), strict=True):
            group["lr"] = lr

    def _save_rng_state(self, output_dir: str) -> None:
        """Nothing: there is no random state."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing: there is no random state."""

    @property
    def _own_optimiser(self) -> torch.optim.Optimizer:
        """The optimiser, which accelerate wraps."""
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _checkpoint_bytes(self) -> int:
        """Bytes of what this process writes of weights and optimiser state; the rest is small beside these."""
        states = state_by_weight(self.model, self._own_optimiser).values()
        tensors = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
        if processes.rank() == 0:
            whole = not lora.is_injected(self.model)
            tensors += [weights for weights in self.model.parameters() if whole or weights.requires_grad]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _seal(folder: Path, sealed: dict[str, Any], started: float) -> float:
    """Brings a checkpoint whose parts are all written to the disk, and seals it; returns the seconds that it took."""
    sync(folder)
    seconds = round(time.monotonic() - started, 3)
    write_bytes(folder / SEAL, json.dumps({**sealed, "seconds": seconds}, indent=1).encode())
    return seconds
