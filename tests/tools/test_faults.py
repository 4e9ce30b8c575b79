"""kill -9 of every sort of process in every stage, then the same command: the undisturbed study's numbers."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tools import faults
from tools.faults import PROCESSES, STAGES, Fault


def test_blows_meet_every_process_in_every_stage_and_are_the_seed_s() -> None:
    for blows in islice(faults.faults(0), 3):
        assert {(fault.stage, fault.process) for fault in blows} == {(s, p) for s in STAGES for p in PROCESSES}
    assert next(faults.faults(0)) == next(faults.faults(0)) != next(faults.faults(1))


@pytest.mark.slow
def test_a_study_that_is_struck_in_every_stage_has_the_undisturbed_numbers(tmp_path: Path) -> None:
    """By one process a stage; `python -m tools.faults 30` strikes by all."""
    whole = faults.undisturbed(tmp_path / "undisturbed")
    blows = next(faults.faults(3))[:: len(PROCESSES)]
    outcomes: dict[Fault, str] = {}
    study = faults.struck(tmp_path / "struck", whole, blows, outcomes.__setitem__)
    assert len(list(filter(None, outcomes.values()))) >= len(STAGES) - 1, outcomes  # one may come too late
    assert len(whole.numbers()) > 20
    assert study.numbers() == whole.numbers()
