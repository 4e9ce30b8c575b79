"""How far is a run? Written to progress.json for the launcher, printed for whoever watches the notebook."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, SupportsFloat

from .json_files import read_json_or_none, write_json
from .layout import PROGRESS

_INTERVAL_S = 0.25


def progress_of(run: Path) -> dict[str, Any]:
    """The last progress.json of a run (step, total, seconds_left, updated, measures); empty before the first.

    Raises:
        RunError: the file is damaged.
    """
    return read_json_or_none(run / PROGRESS) or {}


class ProgressFile:
    """A run's progress.json, rewritten at most four times a second; at the last step, and for a new checkpoint, always.

    Of a training it has two keys for whoever may end it: `sealed_step`, the step of the last sealed checkpoint (0: none
    yet), which is what survives, and once it is known `save_seconds`, how long the last checkpoint took.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / PROGRESS
        self._written_at = -math.inf
        self._sealed_step: Any = None

    def write(self, step: int, total: int, seconds_left: float | None, measures: Mapping[str, SupportsFloat]) -> None:
        """Writes the state, unless the file is too new; `measures` are such as loss or reward."""
        sealed_step = measures.get("sealed_step")
        due = step >= total or sealed_step != self._sealed_step
        if not due and time.monotonic() - self._written_at < _INTERVAL_S:
            return
        self._sealed_step = sealed_step
        self._written_at = time.monotonic()
        state = {"step": step, "total": total, "seconds_left": seconds_left, **measures, "updated": time.time()}
        write_json(self._path, state)


class ProgressPrinter:
    """Prints how far a run is, every ten seconds and at the last step."""

    def __init__(self, name: str, every_s: float = 10.0):
        self._name = name
        self._every_s = every_s
        self._printed_at = -every_s

    def __call__(self, step: int, total: int, seconds_left: float, measures: Mapping[str, float]) -> None:
        now = time.monotonic()
        if step == total or now - self._printed_at >= self._every_s:
            self._printed_at = now
            values = "".join(f"  {name} {value:.3f}" for name, value in measures.items())
            print(f"{self._name}: {step}/{total}{values}  {seconds_left / 60:.1f} min left", flush=True)  # noqa: T201
