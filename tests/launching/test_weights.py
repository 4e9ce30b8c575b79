"""What `--clean` removes, counts and keeps, of a study that was really launched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemvg_repro.launching.launches import LaunchRecords
from gemvg_repro.launching.weights import check_weights, find_leftovers
from gemvg_repro.runs.json_files import RunError
from gemvg_repro.runs.layout import CHECKPOINTS, MODEL, PARAMETERS, RESULT
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import Job, plan

from .. import tiny_project
from ..sweeps.test_launch import launch

WEIGHTS = b"w" * 1000


def finish(*jobs: Job) -> None:
    """Lays finished runs out: trainings with a checkpoint of 3,000 bytes and weights of 1,000."""
    for job in jobs:
        job.folder.mkdir(parents=True, exist_ok=True)
        result = {"id": job.key.rpartition("-")[2], "weights": {"model.safetensors": "0" * 64}}
        (job.folder / RESULT).write_text(json.dumps(result))
        (job.folder / "log.jsonl").write_text("{}\n")
        if job.notebook.stem == "train":
            for folder, size in ((MODEL, 1), (f"{CHECKPOINTS}/checkpoint-2", 3)):
                (job.folder / folder).mkdir(parents=True)
                (job.folder / folder / "model.safetensors").write_bytes(WEIGHTS * size)


def jobs_of(root: Path) -> dict[str, Job]:
    file = root / "sweeps" / "miniature.yaml"
    return {job.name: job for job in plan(Grid.load(file), file, root, root / "runs")}


def leftovers(jobs: dict[str, Job], *others: Job) -> dict[str, int]:
    items = find_leftovers(list(jobs.values()), [*jobs.values(), *others])
    return {f"{item.folder.parent.name.rpartition('-')[0]}/{item.folder.name}": item.bytes for item in items}


def test_weights_go_once_all_that_needs_them_is_finished_and_checkpoints_once_their_run_is(tmp_path: Path) -> None:
    jobs = jobs_of(tiny_project.project(tmp_path, "[sft, cot_sft]"))
    finish(jobs["data"], jobs["sft-s0"], jobs["cot_sft-s0"])
    assert leftovers(jobs) == {"sft-s0/checkpoints": 3000, "cot_sft-s0/checkpoints": 3000}
    finish(jobs["evaluate-sft-s0"])
    assert "sft-s0/model" in leftovers(jobs) and "cot_sft-s0/model" not in leftovers(jobs)
    other = jobs_of(tiny_project.project(tmp_path / "other", "[hybrid]"))["hybrid-s0"]
    sft = jobs["sft-s0"].key
    needs_sft = Job(other.name, other.notebook, other.parameters, jobs["data"].folder.parent / other.key, (sft,), 1)
    assert "sft-s0/model" not in leftovers(jobs, needs_sft)  # of another grid that was launched
    needs_sft.folder.mkdir()
    (needs_sft.folder / PARAMETERS).write_text(f'{{"prerequisites": {{"sft": "{sft.rpartition("-")[2]}"}}}}')
    assert "sft-s0/model" not in leftovers(jobs)  # of a notebook that somebody began by hand


def test_clean_counts_asks_and_removes_and_what_needs_it_later_is_refused(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path, "[sft]")
    jobs = jobs_of(root)
    finish(*(job for job in jobs.values() if not job.is_report))
    status, out, error = launch(root, "--clean", "-n")
    assert (status, error) == (0, "") and out.endswith("4,000 bytes in 2 folders would be removed\n")
    folder = jobs["sft-s0"].folder
    assert (folder / MODEL).is_dir() and (folder / CHECKPOINTS).is_dir()
    status, out, _ = launch(root, "--clean", "--yes")
    assert status == 0 and "4,000 bytes in 2 folders were removed" in out
    assert sorted(path.name for path in folder.iterdir()) == ["log.jsonl", RESULT]
    (jobs["evaluate-sft-s0"].folder / RESULT).unlink()
    status, _, error = launch(root, "--only", "!report")
    assert status == 2 and "evaluate-sft-s0 needs the weights of sft-s0, which were removed" in error
    with pytest.raises(RunError, match="it is trained anew"):
        check_weights(list(jobs.values()), list(jobs.values()))
    assert LaunchRecords(root / "runs", root).all() == []  # it was refused before it was launched
