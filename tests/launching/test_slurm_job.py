"""An attempt of a job near its time limit: without a Slurm."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.launching import slurm_job
from gemvg_repro.launching.notebook import NotebookFailed
from gemvg_repro.launching.slurm_job import MAX_STALLED_ATTEMPTS, Attempt
from gemvg_repro.runs.layout import PROGRESS
from gemvg_repro.study.plan import Job
from gemvg_repro.study.resources import Needs

from .. import tiny_project
from .test_notebook import training


@pytest.fixture
def job(tmp_path: Path) -> Job:
    job = training(tiny_project.project(tmp_path))
    job.files.folder.mkdir(parents=True)
    job.folder.mkdir(parents=True)
    return job


def near_its_end(attempt: Attempt) -> Any:
    """The attempt as `__call__` has it some seconds before the time limit; what submitit requeues is not typed."""
    attempt._ends = time.monotonic() + 30
    attempt._saved_before = attempt._saved_step()
    return attempt


def test_an_attempt_that_never_saves_a_new_step_is_not_requeued_for_ever(job: Job, tmp_path: Path) -> None:
    attempt: Any = Attempt(job, tmp_path, Needs(timeout_min=10, signal_s=20))
    for step in range(1, MAX_STALLED_ATTEMPTS):
        # It makes steps, and none of them survives: its save is too long for 20 s.
        progress = {"step": 10 * step, "sealed_step": 0, "save_seconds": 93.0}
        (job.folder / PROGRESS).write_text(json.dumps(progress))
        attempt = near_its_end(attempt).checkpoint().function
        assert job.files.stop.exists() and attempt._stalled == step
    with pytest.raises(NotebookFailed, match="10 min 3 times in a row without saving a new step") as caught:
        near_its_end(attempt).checkpoint()
    assert "Its last save took 93 s. signal_s leaves 20 s to end a step and save: set 160 or more" in str(caught.value)
    assert job.files.failure.read_text() == str(caught.value)


def test_an_attempt_that_saves_a_step_has_all_the_time_in_the_world(job: Job, tmp_path: Path) -> None:
    attempt: Any = near_its_end(Attempt(job, tmp_path, Needs(timeout_min=10), stalled=2))
    (job.folder / PROGRESS).write_text(json.dumps({"step": 9, "sealed_step": 5, "save_seconds": 2.0}))
    assert attempt.checkpoint().function._stalled == 0
    attempt = Attempt(job, tmp_path, Needs(timeout_min=10), stalled=2)
    attempt._saved_before = 5  # a preemption long before the limit says nothing about it
    assert attempt.checkpoint().function._stalled == 0


@pytest.mark.parametrize(
    ("needs", "save_s", "step_s", "lead_s"),
    [
        (Needs(timeout_min=600), None, 0.0, 120),  # before the first save
        (Needs(timeout_min=600), 2.0, 1.0, 120),
        (Needs(timeout_min=600), 240.0, 60.0, 1.5 * 240 + 60 + 20),  # 93 GB, and a step of GRPO
        (Needs(timeout_min=3), None, 0.0, 60),
        (Needs(timeout_min=600, signal_s=30), 240.0, 60.0, 30),  # set by hand
    ],
)
def test_the_lead_follows_from_what_saves_and_steps_take(
    needs: Needs, save_s: float | None, step_s: float, lead_s: float
) -> None:
    assert needs.lead_s(save_s, step_s) == lead_s


def test_an_attempt_signals_itself_in_time(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its save turns out to take 100 s, so that 120 s before the limit, when Slurm signals, are too late."""
    monkeypatch.setattr(slurm_job, "POLL_S", 0.05)
    attempt = Attempt(job, tmp_path, Needs(timeout_min=10))
    attempt._ends = time.monotonic() + 171
    (job.folder / PROGRESS).write_text(json.dumps({"step": 1, "save_seconds": 100.0}))
    caught: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: caught.append(number))
    try:
        began = time.monotonic()
        attempt._signal_in_time()
        time.sleep(0.01)  # Python runs the handler
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert caught == [signal.SIGUSR2] and time.monotonic() - began >= 1
