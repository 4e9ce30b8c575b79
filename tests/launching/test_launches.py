"""What was launched is known, whatever becomes of the grid file and of the folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from gemvg_repro.launching.launches import LaunchRecords, Request
from gemvg_repro.launching.status import job_statuses, report_is_current
from gemvg_repro.runs.layout import REPORT_PAGE, RESULT
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import plan

from .. import tiny_project
from ..sweeps.test_launch import launch


def launched(root: Path, seeds: list[int], settings: list[str]) -> None:
    file = root / "sweeps" / "miniature.yaml"
    grid = Grid.load(file, seeds, settings)
    jobs = plan(grid, file, root, root / "runs")
    LaunchRecords(root / "runs", root).record(jobs, Request(file, grid, seeds, settings), "local")


def test_what_was_launched_last_is_shown_and_the_others_are_listed(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path / "study")
    launched(root, [0, 1], ["steps=7"])
    launched(root, [3], [])
    launched(root, [3], [])  # the same once more
    moved = Path(shutil.move(root, tmp_path / "moved"))
    (moved / "sweeps" / "miniature.yaml").write_text("scientific: {mode: [cot_sft]}\n")
    status, out, error = launch(moved, "--status", "--json")
    runs = {run["run"]: Path(run["folder"]) for run in json.loads(out)}
    assert (status, error, list(runs)) == (0, "", ["data", "sft-s3", "evaluate-sft-s3", "report"])
    assert {folder.parent for folder in runs.values()} == {moved / "runs"}
    _, out, _ = launch(moved, "--launches", "--json")
    assert [(one["seeds"], one["settings"], one["states"]) for one in json.loads(out)] == [
        ([0, 1], ["steps=7"], {"missing": 6}),
        ([3], [], {"missing": 4}),
    ]
    _, out, _ = launch(moved, "--launches")
    assert "local  6 missing  sweeps/miniature.yaml --seeds 0 1 --set steps=7" in out
    status, out, _ = launch(moved, "--status", "--json", "--seeds", "5")
    assert "cot_sft-s5" in {run["run"] for run in json.loads(out)}  # of the grid file as it is


def test_a_report_that_is_newer_than_all_results_is_finished(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    file = root / "sweeps" / "miniature.yaml"
    jobs = {job.name: job for job in plan(Grid.load(file), file, root, root / "runs")}
    jobs["data"].folder.mkdir(parents=True)
    (jobs["data"].folder / RESULT).write_text(json.dumps({"id": jobs["data"].key.rpartition("-")[2]}))
    page = jobs["report"].folder / REPORT_PAGE
    assert not report_is_current(jobs["report"])
    page.parent.mkdir()
    page.write_text("a report")
    assert report_is_current(jobs["report"])
    assert [s.state for s in job_statuses([jobs["data"], jobs["report"]])] == ["finished", "finished"]
    newer = page.stat().st_mtime + 1
    os.utime(jobs["data"].folder / RESULT, (newer, newer))
    assert [s.state for s in job_statuses([jobs["data"], jobs["report"]])] == ["finished", "missing"]
