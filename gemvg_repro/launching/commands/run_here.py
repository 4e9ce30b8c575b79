"""Launching on this machine: runs the jobs to their end, showing how they stand."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from ...runs.layout import REPORT_PAGE
from ...runs.snapshot import Snapshot
from ...study.plan import Job
from ...study.resources import Resources
from ..launches import LaunchRecords, Request, pin_grid
from ..local import LocalSchedule
from ..slurm import SlurmError
from ..status import explain, job_statuses
from ..status_table import as_json, line, table
from .submit import print_expectations
from .terminal import print_statuses

POLL_S = 0.2


def run_here(
    jobs: Sequence[Job],
    plan: Sequence[Job],
    request: Request,
    resources: Resources,
    code: Snapshot,
    json_output: bool,
    console: Console,
) -> int:
    """Runs the jobs on this machine; returns the exit status. `plan` has all jobs of the grid that is requested.

    Raises:
        SlurmError: one of them waits or runs in Slurm.
    """
    if queued := [status.job.name for status in job_statuses(jobs) if status.queued]:
        raise SlurmError(f"in Slurm's hands already: {', '.join(queued)}; leave them to it, or --cancel them first")
    runs = jobs[0].folder.parent
    LaunchRecords(runs, jobs[0].notebook.parents[1]).record(plan, request, "local")
    jobs = pin_grid(jobs, request.grid, runs)
    root = code.make()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    os.chdir(root)  # what runs is what was launched, whatever becomes of the checkout
    frozen_jobs = [replace(job, notebook=root / "notebooks" / job.notebook.name) for job in jobs]
    schedule = LocalSchedule(frozen_jobs, resources, root)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _follow(schedule, Console(file=sys.stderr) if json_output else console)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second one would leave the children running
        schedule.cancel()
        print("stopped; the same command resumes from here", file=sys.stderr)
        return 130
    return _print_outcome(schedule, json_output)


def dry_run(jobs: Sequence[Job], resources: Resources, json_output: bool, console: Console) -> int:
    """Prints how the runs stand and which notebooks would be executed; starts and writes nothing."""
    statuses = job_statuses(jobs)
    print_statuses(statuses, json_output, console)
    for job in (status.job for status in statuses if status.state != "finished" and not json_output):
        needs = ", ".join(job.needs) or "nothing"
        print(f"{job.notebook.name} -> {job.folder} ({job.threads} threads; needs {needs})")
    print_expectations(jobs, resources, json_output, console)
    return 0


def _follow(schedule: LocalSchedule, console: Console) -> None:
    """Steps the schedule until it is over: a live table on a terminal, elsewhere a line for every change."""
    if console.is_terminal:
        with Live(table(schedule.statuses), console=console, refresh_per_second=2) as live:
            while not schedule.over:
                schedule.step()
                live.update(table(schedule.statuses))
                time.sleep(POLL_S)
    else:
        for status in schedule.statuses:
            print(line(status), flush=True, file=console.file)
        while not schedule.over:
            for status in schedule.step():
                print(line(status), flush=True, file=console.file)
            time.sleep(POLL_S)


def _print_outcome(schedule: LocalSchedule, json_output: bool) -> int:
    """Prints why runs failed, and where the report is; returns the exit status."""
    failed = [status for status in schedule.statuses if status.state == "failed"]
    for status in failed:
        print(explain(status), file=sys.stderr)
    if json_output:
        print(json.dumps([as_json(status) for status in schedule.statuses], indent=2))
    else:
        for status in schedule.statuses:
            if status.job.is_report and status.state == "finished":
                print(status.job.folder / REPORT_PAGE)
    return int(bool(failed))
