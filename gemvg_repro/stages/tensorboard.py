"""A training's log for TensorBoard, beside its own: a switch that moves no number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..files.validation import Refused

TENSORBOARD = "TRAINING_TENSORBOARD"
"""The environment variable that switches it on, with any value."""

FOLDER = "tensorboard"


class TensorBoard:
    """Writes the numbers of each step to the run's folder `tensorboard`, or nothing while it is switched off.

    Raises:
        Refused: it is switched on, and the package is not installed.
    """

    def __init__(self, run: Path) -> None:
        self._writer: Any = None
        if not os.environ.get(TENSORBOARD):
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Refused(
                f"{TENSORBOARD} is set without the package: pip install tensorboard, or unset it ({error})"
            ) from None
        self._writer = SummaryWriter(str(run / FOLDER))

    def write(self, entry: Mapping[str, Any]) -> None:
        """One step. Of a step that is written again after a resume, TensorBoard shows the last."""
        if self._writer is None:
            return
        for name, value in entry.items():
            if name not in ("step", "total_steps"):
                self._writer.add_scalar(name, value, entry["step"])
        self._writer.flush()
