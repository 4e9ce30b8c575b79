"""What must be cut, and to what, where a training ran out of memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from ..files.validation import Refused, read_json
from ..preflight.estimates import RESERVE, cuts, memory_of
from ..study.spec import RunSpec
from ..training.out_of_memory import OutOfMemory

_LESS = 0.95
"""Where the estimate says that a step fits, and it did not, as much of the estimate is taken to be there."""


@contextmanager
def cuts_named(spec: RunSpec[Any], start: Path, processes: int = 1) -> Iterator[None]:
    """Adds to an OutOfMemory which of micro_batch, max_pixels, rollouts and max_new_tokens to cut, and to what.

    Raises:
        Refused: in its place.
    """
    try:
        yield
    except OutOfMemory as error:
        config = dict(read_json(start / "config.json"))
        estimate = memory_of(spec.kind, spec.profile, config, processes).total
        is_gpu = torch.cuda.is_available()
        total = torch.cuda.get_device_properties(0).total_memory if is_gpu else psutil.virtual_memory().total
        available = min(float(total), _LESS * estimate + RESERVE)
        mends = "; ".join(cuts(spec.kind, spec.profile, config, available, processes))
        advice = mends or "no single setting that is halved would fit: take a larger GPU"
        raise Refused(
            f"out of memory: {error}. The settings are in {spec.profile.name}.yaml (a changed one makes another run);"
            f" each by itself, as estimated: {advice}"
        ) from None
