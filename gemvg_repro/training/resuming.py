"""How does an interrupted training go on, to the same weights to the bit?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SEAL = "weights.sha256"
"""Written into a checkpoint after everything else: its hash of weights, and the sign that it is whole."""


def weights_hash(model: nn.Module) -> str:
    """sha256 over every parameter and buffer by name: shape, type and bytes."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def newest_checkpoint(folder: Path) -> Path | None:
    """The whole checkpoint of the most steps; what was half written has no seal and is passed over."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{SEAL}")]
    return max(whole, key=lambda path: int(re.findall(r"\d+", path.name)[-1]), default=None)


class SealCheckpoints(TrainerCallback):  # type: ignore[misc]
    """Seals each checkpoint once the trainer has written all of it."""

    def __init__(self, model: nn.Module):
        self._model = model

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        partial = folder / (SEAL + ".part")
        partial.write_text(weights_hash(self._model))
        partial.replace(folder / SEAL)


class StopsWhenAsked(TrainerCallback):  # type: ignore[misc]
    """Ends a training after the step in progress, with a checkpoint, once `asked` says so.

    `every`: only after a multiple of so many steps, where they share what is not in a checkpoint (GRPO's answers,
    when it takes several steps on them).
    """

    def __init__(self, asked: Callable[[], bool], every: int = 1):
        self._asked = asked
        self._every = every

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step % self._every == 0 and self._asked():
            control.should_save = control.should_training_stop = True


def never() -> bool:
    """For a training that nobody asks to stop."""
    return False


class ResumesExactly:
    """For a transformers Trainer: takes the weights of a checkpoint as `from_pretrained` reads them, and checks them.

    transformers 5.23 saves a Qwen2-VL under other names than its live weights have, and its own
    `_load_from_checkpoint` loads them with strict=False: training would go on from the start's weights.
    """

    model: PreTrainedModel

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        saved = type(self.model).from_pretrained(folder, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())
        self.model.tie_weights()
        expected, found = (folder / SEAL).read_text(), weights_hash(self.model)
        if found != expected:
            raise ValueError(
                f"{folder}: the weights have hash {found[:12]}, sealed was {expected[:12]}: it was altered. "
                "Delete it; the same command then goes on from an earlier one or from the start"
            )
