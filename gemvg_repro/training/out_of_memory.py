"""A training that runs out of a device's memory: what it did is saved before it ends."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed
from transformers import Trainer, TrainerCallback


class OutOfMemory(RuntimeError):
    """A device's memory did not suffice for a step."""


class _Boundary(TrainerCallback):  # type: ignore[misc]
    """Knows the random numbers' state at the last boundary of steps, and whether the weights are of one.

    `every`: GRPO that takes several steps on its completions resumes only after a multiple of so many.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self.is_whole = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.is_whole = state.global_step > 0 and state.global_step % self._every == 0
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self._numbers = random.getstate(), np.random.get_state(), torch.get_rng_state(), devices

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.is_whole = False  # an optimiser that ends midway has changed some weights

    def restore(self) -> None:
        """Sets the random numbers back."""
        python, of_numpy, of_torch, devices = self._numbers
        random.setstate(python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)
        if devices:
            torch.cuda.set_rng_state_all(devices)


def train_or_save(trainer: Trainer, checkpoint: Path | None, every: int = 1) -> None:
    """Trains; where memory does not suffice, the step in progress is dropped, and those before it are saved.

    Several processes only end: the others wait within the step, and the last sealed checkpoint is what remains.

    Raises:
        OutOfMemory: with the step, and the step that the same command resumes from.
    """
    boundary = _Boundary(every)
    trainer.add_callback(boundary)
    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except torch.OutOfMemoryError as error:
        cause = str(error).partition(". ")[0]
    else:
        return
    step, saved = trainer.state.global_step, ""  # outside of `except`, whose traceback holds the step's tensors
    alone = not distributed.is_initialized() or distributed.get_world_size() == 1
    if boundary.is_whole and alone:
        trainer.model.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        boundary.restore()
        with suppress(torch.OutOfMemoryError):
            if not (Path(trainer.args.output_dir) / f"checkpoint-{step}").is_dir():
                trainer._save_checkpoint(trainer.model, None)
            saved = f"; the {step} steps before it are saved"
    raise OutOfMemory(f"step {step + 1} did not fit: {cause}{saved or '; the last checkpoint is what remains'}")
