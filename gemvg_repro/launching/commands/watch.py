"""Commands that look at runs: `--status`, `--watch` and `--logs`."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live

from ...study.plan import Job
from ..logs import log_tail
from ..slurm import SlurmError
from ..status import JobStatus, job_statuses, log_file
from ..status_table import line, table
from .terminal import print_statuses

POLL_S = 2.0
OUTAGE_S = 15.0
"""How long to wait before Slurm is asked again after it did not answer."""


def watch(jobs: Sequence[Job], follow: bool, json_output: bool, console: Console) -> int:
    """Prints how the jobs stand, with `follow` until none of them waits or runs any more; returns the exit status."""
    statuses = job_statuses(jobs)
    try:
        if follow and console.is_terminal and not json_output:
            with Live(table(statuses), console=console, refresh_per_second=2, transient=True) as live:
                while any(status.active for status in statuses):
                    statuses = _next_statuses(jobs, statuses)
                    live.update(table(statuses))
        while follow and any(status.active for status in statuses):
            before, statuses = [status.state for status in statuses], _next_statuses(jobs, statuses)
            for status, state in zip(statuses, before, strict=True):
                if status.state != state and not json_output:
                    print(line(status), flush=True)
    except KeyboardInterrupt:
        return 130
    return print_statuses(statuses, json_output, console)


def _next_statuses(jobs: Sequence[Job], statuses: list[JobStatus]) -> list[JobStatus]:
    """How the jobs stand a moment later; while Slurm does not answer, as before: a watch lasts for days."""
    time.sleep(POLL_S)
    try:
        return job_statuses(jobs)
    except SlurmError as error:
        print(error, file=sys.stderr, flush=True)
        time.sleep(OUTAGE_S)
        return statuses


def print_logs(jobs: Sequence[Job]) -> int:
    """Prints the end of each job's log; returns the exit status, 1 if there is none."""
    logs = [(status, log) for status in job_statuses(jobs) if (log := log_file(status))]
    for status, log in logs:
        print(f"==> {status.job.name} ({status.state}): {log}")
        print(*log_tail(log), sep="\n")
    if not logs:
        print(f"{', '.join(job.name for job in jobs)}: nothing was printed yet", file=sys.stderr)
    return int(not logs)
