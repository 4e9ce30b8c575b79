"""Launching on Slurm: submits what is missing; the cluster does the rest."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ...runs.layout import launcher_folder
from ...runs.ownership import Lock, OwnedError
from ...study.plan import Job
from ...study.resources import Resources
from ..launches import LaunchRecords, Request, pin_grid
from ..slurm import largest_array
from ..slurm_arrays import gpu_hours, mark_to_submit, plan_arrays
from ..slurm_submission import Submitter, with_user_defaults
from ..status import job_statuses
from .terminal import confirm, print_statuses


@dataclass(frozen=True)
class SubmitOptions:
    """What the command line says of a submission.

    Attributes:
        retry: submit failed runs, too.
        yes: do not ask before spending GPU hours.
        json_output: print how the runs stand as JSON.
    """

    retry: bool
    yes: bool
    json_output: bool


def submit(
    jobs: Sequence[Job],
    plan: Sequence[Job],
    request: Request,
    resources: Resources,
    submitter: Submitter,
    options: SubmitOptions,
    console: Console,
) -> int:
    """Submits the missing ones of `jobs` to Slurm and prints how all stand then; returns the exit status.

    `plan` has all jobs of the grid that is requested.
    """
    resources = with_user_defaults(resources)
    runs = jobs[0].folder.parent
    jobs = pin_grid(jobs, request.grid, runs)
    with _turn(launcher_folder(runs) / "launch.lock"):  # of two launchers the second finds all done
        arrays = plan_arrays(mark_to_submit(job_statuses(jobs), options.retry), resources, largest_array())
        for wait in submitter.check(arrays, resources):
            print(wait, file=sys.stderr)
        hours = gpu_hours(arrays)
        cost = f"This may take up to {math.ceil(hours):,} GPU hours, in the first attempt of each run."
        if hours and not confirm(cost, options.yes):
            return 130
        LaunchRecords(runs, jobs[0].notebook.parents[1]).record(plan, request, "slurm", submitter.folder.name)
        ids = submitter.submit(arrays)
    exit_status = print_statuses(job_statuses(jobs), options.json_output, console)
    if not options.json_output:
        count = sum(job is not None for array in arrays for job in array.jobs)
        print(f"submitted {count} runs as {len(ids)} jobs or arrays of Slurm; --status says how they stand")
    return exit_status


def dry_run(
    jobs: Sequence[Job], resources: Resources, submitter: Submitter, options: SubmitOptions, console: Console
) -> int:
    """Prints how the runs stand and the very scripts that would be submitted; starts and writes nothing."""
    resources = with_user_defaults(resources)
    statuses = mark_to_submit(job_statuses(jobs), options.retry)
    arrays = plan_arrays(statuses, resources, largest_array())
    print_statuses(statuses, options.json_output, console)
    for number, array in enumerate(arrays if not options.json_output else ()):
        ids = {n: f"<{arrays[n].name}>" for n in range(number)}
        print(f"\n# --- {array.name}\n{submitter.script(number, array, ids)}")
    return 0


def _turn(lock: Path) -> Lock:
    """Waits for its turn among launchers, and says so."""
    try:
        return Lock.take(lock, patience_s=0)
    except OwnedError as error:
        print(f"waiting for another launcher: {str(error).partition(';')[0]}", file=sys.stderr)
        return Lock.take(lock, patience_s=None)
