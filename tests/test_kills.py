"""kill -9 of every sort of process in every stage, then the same command: the undisturbed study's numbers."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from . import faults
from .faults import PROCESSES, STAGES


def test_thirty_blows_meet_every_process_in_every_stage_and_are_the_seed_s() -> None:
    thirty = list(islice(faults.faults(0), 30))
    assert {(fault.stage, fault.process) for fault in thirty} == {(s, p) for s in STAGES for p in PROCESSES}
    assert thirty == list(islice(faults.faults(0), 30)) != list(islice(faults.faults(1), 30))


@pytest.mark.slow
def test_a_study_that_is_struck_in_every_stage_has_the_undisturbed_numbers(tmp_path: Path) -> None:
    """Of one seed; `python -m tests.faults 30` strikes five studies."""
    seconds, expected = faults.undisturbed(tmp_path / "undisturbed")
    blows = list(islice(faults.faults(3), len(STAGES)))
    study, hits = faults.struck(tmp_path / "struck", tmp_path / "undisturbed", blows, seconds)
    assert len(hits) >= len(STAGES) - 1, hits  # one may come too late on a machine that has become quicker
    assert len(expected) > 20
    assert study.numbers() == expected
