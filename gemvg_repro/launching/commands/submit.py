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
from ..expectations import expectations, table, utilisations
from ..launches import LaunchRecords, Request, pin_grid
from ..slurm import SlurmError, largest_array
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
        submitted = [job for array in arrays for job in array.jobs if job is not None]
        if not _may_spend(submitted, resources, gpu_hours(arrays), options, console):
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
    print_expectations([s.job for s in statuses if s.state == "missing"], resources, options.json_output, console)
    for number, array in enumerate(arrays if not options.json_output else ()):
        ids = {n: f"<{arrays[n].name}>" for n in range(number)}
        print(f"\n# --- {array.name}\n{submitter.script(number, array, ids)}")
    return 0


def _may_spend(
    jobs: Sequence[Job], resources: Resources, limit: float, options: SubmitOptions, console: Console
) -> bool:
    """Shows what the jobs are expected to take, of at most `limit` GPU hours, and asks where that needs a yes."""
    if not limit:
        return True
    expected = print_expectations(jobs, resources, options.json_output, console)
    cost = f"This may take up to {math.ceil(limit):,} GPU hours, in the first attempt of each run."
    cap = resources.max_gpu_hours
    if cap is None:
        return confirm(cost, options.yes)
    hours = limit if expected is None else expected
    if hours <= cap or options.yes:
        return True
    cost = f"{hours:,.0f} GPU hours are expected, and max_gpu_hours is {cap:,.0f}. {cost}"
    if not sys.stdin.isatty():
        raise SlurmError(f"{cost} Nothing was submitted: raise the cap (--set max_gpu_hours={hours:.0f}), or say --yes")
    return confirm(cost, options.yes)


def print_expectations(jobs: Sequence[Job], resources: Resources, json_output: bool, console: Console) -> float | None:
    """Prints hours, memory and disk of the jobs that compute on GPUs; returns the GPU hours in all, None where one
    names no kind of GPU."""
    each = expectations(jobs, resources)
    if each and not json_output:
        console.print(table(each))
        print(utilisations())
    hours = [one.hours for one in each]
    return None if None in hours else sum(h for h in hours if h is not None)


def _turn(lock: Path) -> Lock:
    """Waits for its turn among launchers, and says so."""
    try:
        return Lock.take(lock, patience_s=0)
    except OwnedError as error:
        print(f"waiting for another launcher: {str(error).partition(';')[0]}", file=sys.stderr)
        return Lock.take(lock, patience_s=None)
