"""What must be cut, and to what, where a training ran out of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from ..files.validation import Refused
from ..study.parameters import TrainParameters
from ..study.spec import RunSpec
from ..training.out_of_memory import OutOfMemory

_ESTIMATE_S = 120


@contextmanager
def cuts_named(spec: RunSpec[TrainParameters], start: Path, processes: int = 1) -> Iterator[None]:
    """Adds to an OutOfMemory which of micro_batch, max_pixels, rollouts and max_new_tokens to cut, and to what.

    `preflight.cuts` says it, in a process of its own: this one has no memory to spare.

    Raises:
        Refused: in its place.
    """
    try:
        yield
    except OutOfMemory as error:
        is_gpu = torch.cuda.is_available()
        total = torch.cuda.get_device_properties(0).total_memory if is_gpu else psutil.virtual_memory().total
        arguments = json.dumps(dict(spec.parameters)), str(start), str(processes), str(total)
        command = [sys.executable, "-m", "gemvg_repro.preflight.cuts", *arguments]
        estimate = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ESTIMATE_S)
        advice = estimate.stdout.strip() or f"no estimate: {estimate.stderr.strip()[-300:]}"
        raise Refused(
            f"out of memory: {error}. The settings are in {spec.profile.name}.yaml (a changed one makes another run);"
            f" each by itself, as estimated: {advice}"
        ) from None
