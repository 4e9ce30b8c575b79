"""Of a training, progress.json tells at once what a kill would leave, and otherwise is not written too often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gemvg_repro.runs.directory import Run
from gemvg_repro.runs.progress import ProgressFile, progress_of
from gemvg_repro.stages.train import _Recorder
from gemvg_repro.training.checkpointing import SealedCheckpoint


def test_a_new_checkpoint_is_told_at_once(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path)
    file.write(1, 9, None, {"sealed_step": 0})
    file.write(2, 9, None, {"sealed_step": 0})
    assert progress_of(tmp_path)["step"] == 1, "written less than a quarter of a second ago"
    file.write(2, 9, None, {"sealed_step": 2, "save_seconds": 1.5})
    progress = progress_of(tmp_path)
    assert (progress["step"], progress["sealed_step"], progress["save_seconds"]) == (2, 2, 1.5)


def entry(step: int) -> dict[str, Any]:
    return {"step": step, "total_steps": 9, "seconds": 1.0, "seconds_left": 8.0, "loss": 0.5}


def test_a_training_tells_the_step_of_its_last_checkpoint_from_its_first_step_on(tmp_path: Path) -> None:
    """Also where it resumes, before it has saved anything itself."""
    with Run.open(tmp_path, "sft", {"seed": 0}) as run:
        first = _Recorder(run, "sft")
        first.begin(SealedCheckpoint(0, None))
        first.step(entry(1))
        assert progress_of(run.folder)["sealed_step"] == 0 and "save_seconds" not in progress_of(run.folder)
        first.sealed(SealedCheckpoint(1, 2.5))
        assert [progress_of(run.folder)[key] for key in ("sealed_step", "save_seconds")] == [1, 2.5]
    with Run.open(tmp_path, "sft", {"seed": 0}) as run:
        resumed = _Recorder(run, "sft")
        resumed.begin(SealedCheckpoint(4, 3.0))
        resumed.step(entry(5))
        assert [progress_of(run.folder)[key] for key in ("step", "sealed_step", "save_seconds")] == [5, 4, 3.0]
