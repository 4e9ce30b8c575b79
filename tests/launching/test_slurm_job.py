"""An attempt of a job at its time limit: without a Slurm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gemvg_repro.launching.notebook import NotebookFailed
from gemvg_repro.launching.slurm_job import MAX_STALLED_ATTEMPTS, Attempt
from gemvg_repro.study.resources import Needs

from .. import tiny_project
from .test_notebook import training


def test_an_attempt_that_never_finishes_a_step_is_not_requeued_for_ever(tmp_path: Path) -> None:
    job = training(tiny_project.project(tmp_path))
    job.files.folder.mkdir(parents=True)
    job.folder.mkdir(parents=True)
    attempt = Attempt(job, tmp_path, Needs(timeout_min=10))
    for _ in range(MAX_STALLED_ATTEMPTS - 1):
        attempt._began = time.monotonic() - 400
        attempt = attempt.checkpoint().function
        assert job.files.stop.exists()
    attempt._began = time.monotonic() - 400
    with pytest.raises(NotebookFailed, match="10 min 3 times in a row without finishing a step; raise timeout_min"):
        attempt.checkpoint()
    assert "raise timeout_min" in job.files.failure.read_text()
    (job.folder / "progress.json").write_text('{"step": 1}')  # but one that does has all the time in the world
    assert attempt.checkpoint().function._stalled == 0
