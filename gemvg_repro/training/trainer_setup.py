"""Set-up that SFT and GRPO share: TrainingArguments, and the log of every step."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .loading import loader_arguments
from .settings import GRPOSettings, SFTSettings
from .step_times import StepTimes

Arguments = TypeVar("Arguments", bound=TrainingArguments)
Record = Callable[[dict[str, Any]], None]
"""Receives the log entry of a step: JSON values by name."""

Watch = Callable[[int], dict[str, float]]
"""Measures the model after a step, 0 being the start; nothing where no measurement is due."""


def watch_nothing(step: int) -> dict[str, float]:
    """The `watch` of a training that is not measured meanwhile."""
    return {}


def shared_arguments(
    folder: Path, settings: SFTSettings | GRPOSettings, seed: int, use_cpu: bool, loader_workers: int
) -> dict[str, Any]:
    """Arguments common to SFTConfig and GRPOConfig; nothing that moves a number is left to a default."""
    optimiser = settings.optimiser
    minimum = {"min_lr_rate": optimiser.final_lr_share} if optimiser.schedule == "cosine_with_min_lr" else {}
    return {
        "output_dir": str(folder),
        "max_steps": settings.steps,
        "learning_rate": optimiser.lr,
        "weight_decay": optimiser.weight_decay,
        "adam_beta1": optimiser.betas[0],
        "adam_beta2": optimiser.betas[1],
        "max_grad_norm": optimiser.max_grad_norm,
        "warmup_steps": optimiser.warmup_steps,
        "lr_scheduler_type": optimiser.schedule,
        "lr_scheduler_kwargs": minimum,
        "seed": seed,
        "data_seed": seed,
        "bf16": settings.bf16,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": None,  # ResumesExactly removes them
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": use_cpu,
        **loader_arguments(loader_workers),
        "remove_unused_columns": False,
        # Else torch orders its buckets anew after the first step: a resumed training, whose first step is another one,
        # would sum gradients in another order.
        "ddp_find_unused_parameters": True,
        "ddp_broadcast_buffers": False,
    }


def on_one_device(arguments: Arguments) -> Arguments:
    """Keeps a Trainer on the one device that the model is on.

    It would use DataParallel over all visible devices, which TRL refuses once everything is loaded.
    """
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


class StepLog(TrainerCallback):  # type: ignore[misc]
    """Records every step: its number, the time left, what the trainer logged (renamed), what `watch` returns, and
    the seconds of each part of the step.

    Step 0 has an entry if it is watched. Every process is asked to watch; the first records.
    """

    def __init__(
        self,
        record: Record,
        rename: dict[str, str],
        times: StepTimes,
        watch: Watch = watch_nothing,
    ):
        self._record = record
        self._rename = rename
        self._times = times
        self._watch = watch
        self._started = time.monotonic()
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        start = self._watch(0) if state.global_step == 0 else {}
        if start and state.is_world_process_zero:
            self._record({"step": 0, "total_steps": state.max_steps, "seconds": 0.0, "seconds_left": 0.0, **start})
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        with self._times.part("measure"):
            watched = self._watch(state.global_step)
        seconds = self._times.take()
        if not state.is_world_process_zero:
            return
        elapsed = time.monotonic() - self._started
        done = state.global_step - self._first_step
        entry = {self._rename[key]: float(value) for key, value in logs.items() if key in self._rename}
        left = elapsed / max(done, 1) * (state.max_steps - state.global_step)
        self._record(
            {
                "step": state.global_step,
                "total_steps": state.max_steps,
                "seconds": round(elapsed, 3),
                "seconds_left": round(left, 1),
                **entry,
                **watched,
                **seconds,
            }
        )
