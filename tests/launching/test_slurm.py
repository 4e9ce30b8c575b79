"""What Slurm's commands print, read."""

from __future__ import annotations

import math

import pytest

from gemvg_repro.launching.slurm import _minutes


@pytest.mark.parametrize(("limit", "minutes"), [("30:00", 30), ("1:00:00", 60), ("2-00:00:30", 2880.5)])
def test_time_limits_as_sinfo_writes_them(limit: str, minutes: float) -> None:
    assert _minutes(limit) == minutes and _minutes("infinite") == math.inf
