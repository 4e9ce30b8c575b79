"""Checkpoints from which an interrupted training resumes to bit-identical weights."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..files.atomic import NotWritten, write_bytes, writing
from ..files.validation import Refused, read_json
from ..models.checkpoints import hashes

SEAL = "seal.json"
"""Written into a checkpoint after everything else, as the sign that it is complete: the hash of the live weights, and
that of every file by name."""


def weights_hash(model: nn.Module) -> str:
    """SHA-256 of every parameter and buffer by name: shape, dtype and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def newest_checkpoint(folder: Path) -> Path | None:
    """The complete checkpoint of the most steps; one without seal was half written and is passed over.

    Raises:
        Refused: a file of it is missing or has changed since it was sealed.
    """
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{SEAL}")]
    newest = max(whole, key=lambda path: int(re.findall(r"\d+", path.name)[-1]), default=None)
    if newest is not None:
        sealed = read_json(newest / SEAL)["files"]
        current = {name: digest for name, digest in hashes(newest).items() if name != SEAL}
        if wrong := sorted(name for name in {*sealed, *current} if sealed.get(name) != current.get(name)):
            raise Refused(
                f"{newest} was altered after it was written: {', '.join(wrong)}. Delete that folder; the same command"
                " then goes on from an earlier checkpoint, or from the start"
            )
    return newest


class SealCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Seals each checkpoint once the trainer has written all of it."""

    def __init__(self, model: nn.Module):
        self._model = model

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        sealed = {"weights": weights_hash(self._model), "files": hashes(folder)}
        write_bytes(folder / SEAL, json.dumps(sealed, indent=1).encode())


class StopOnRequest(TrainerCallback):  # type: ignore[misc]
    """Ends a training after the current step, with a checkpoint, once `requested` returns True.

    `every`: only after a multiple of so many steps, where they share state that no checkpoint has (GRPO's completions,
    when it takes several steps on them).
    """

    def __init__(self, requested: Callable[[], bool], every: int = 1):
        self._requested = requested
        self._every = every

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step % self._every == 0 and self._requested():
            control.should_save = control.should_training_stop = True


def never() -> bool:
    """The `stop` of a training that runs to its end."""
    return False


class ResumesExactly:
    """Mixin for a transformers Trainer: loads a checkpoint's weights by `from_pretrained`, and verifies them.

    A checkpoint that does not fit on the disk is an error that says so, and leaves nothing behind.

    transformers 5.23 saves a Qwen2-VL under other names than its live weights have, and its own
    `_load_from_checkpoint` loads them with strict=False: training would silently continue from the start's weights.
    """

    model: PreTrainedModel
    args: TrainingArguments
    state: TrainerState
    optimizer: torch.optim.Optimizer

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        saved = type(self.model).from_pretrained(folder, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())
        self.model.tie_weights()
        sealed, loaded = read_json(folder / SEAL)["weights"], weights_hash(self.model)
        if loaded != sealed:
            raise Refused(
                f"{folder}: the weights as loaded have hash {loaded[:12]}, sealed was {sealed[:12]}: another model's?"
                " Delete that folder; the same command then goes on from an earlier checkpoint, or from the start"
            )

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            with writing(folder, self._checkpoint_bytes()):
                super()._save_checkpoint(*args, **kwargs)  # type: ignore[misc]
        except NotWritten:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _checkpoint_bytes(self) -> int:
        """Bytes of weights and optimiser state; the rest is small beside these."""
        states = [value for state in self.optimizer.state.values() for value in state.values()]
        tensors = [*self.model.parameters(), *(value for value in states if isinstance(value, torch.Tensor))]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
