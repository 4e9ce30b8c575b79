"""How long does each part of a training's steps take?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from transformers import TrainerCallback

Part = Literal["generate", "train", "optimise", "measure"]
"""The rollouts with their rewards; forward and backward passes; the optimiser; what is measured for the log. What is
left of a step waits for batches, or saves."""


class StepTimes(TrainerCallback):  # type: ignore[misc]
    """The seconds of this process by part, each without those of a part within it; the optimiser's as a callback."""

    def __init__(self) -> None:
        self._seconds: dict[Part, float] = {}
        self._within: list[Part] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: Part) -> Iterator[None]:
        """What is done within it counts as this part."""
        self._begin(name)
        try:
            yield
        finally:
            self._end()

    def take(self) -> dict[str, float]:
        """Those since it was last called, as a log entry has them: `seconds_train` and so on."""
        taken, self._seconds = self._seconds, {}
        return {f"seconds_{name}": round(seconds, 4) for name, seconds in taken.items()}

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self._begin("optimise")

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self._end()

    def _begin(self, name: Part) -> None:
        self._count()
        self._within.append(name)

    def _end(self) -> None:
        self._count()
        self._within.pop()

    def _count(self) -> None:
        """Counts the seconds since the last border for the part that has gone on since."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # a GPU computes after it was told to
        now = time.monotonic()
        if self._within:
            self._seconds[self._within[-1]] = self._seconds.get(self._within[-1], 0.0) + now - self._since
        self._since = now


class TimedSteps:
    """Mixin for a transformers Trainer: times its passes, and what TRL's GRPOTrainer generates within them."""

    times: StepTimes

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        with self.times.part("train"):
            return super().training_step(*args, **kwargs)  # type: ignore[misc]

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        with self.times.part("generate"):
            rollouts: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
            return rollouts
