"""The command `--cancel`: ends runs in Slurm and on this machine."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress

import psutil
from rich.console import Console

from ...study.plan import Job, named
from ..notebook import kill, launcher_of
from ..slurm import cancel_jobs
from ..status import JobStatus, job_statuses
from .terminal import confirm, print_statuses

LAUNCHER_END_S = 15.0
"""How long a launcher of this machine is given to end what it has started."""


def cancel(jobs: Sequence[Job], only: Sequence[str], yes: bool, json_output: bool) -> int:
    """Ends the named runs that wait or run, and in Slurm what needs them; all that they did is kept.

    Args:
        jobs: the whole plan.
        only: patterns of names. Without any, launchers on this machine end, too; with some, what does not need those
            runs goes on.
        yes: do not ask before.
        json_output: print how all jobs stand then as JSON instead of the names of what was ended.

    Returns:
        The exit status: 0, or 130 if the person said no.
    """
    targets = _targets(jobs, {job.key for job in named(jobs, only)})
    if targets and not confirm(f"This ends {', '.join(target.job.name for target in targets)}.", yes):
        return 130
    cancel_jobs([target.slurm.job for target in targets if target.slurm])
    ended: list[str] = []
    launchers: dict[int, psutil.Process] = {}
    for target in targets:
        if target.slurm:
            target.job.files.folder.mkdir(parents=True, exist_ok=True)
            target.job.files.failure.write_text(f"{target.job.name} was ended by --cancel; --retry resumes it")
        elif not (launcher := launcher_of(target.job)):
            print(f"{target.job.name} is left alone: no launcher on this machine started it ({target.note})")
            continue
        elif only:
            kill(target.job)
        else:
            launchers[launcher.pid] = launcher
        ended.append(target.job.name)
    _terminate(list(launchers.values()))
    if json_output:
        print_statuses(job_statuses(jobs), True, Console())
    else:
        nothing = "nothing was ended" if targets else "nothing waits or runs"
        print(f"ended: {', '.join(ended)}" if ended else nothing)
    return 0


def _targets(jobs: Sequence[Job], keys: set[str]) -> list[JobStatus]:
    """The runs among `keys` that wait or run, and those in Slurm that need one of them."""
    targets: list[JobStatus] = []
    for status in job_statuses(jobs):
        needed = keys.intersection(status.job.needs) if status.slurm and not status.job.is_report else ()
        if status.active and (status.job.key in keys or needed):
            targets.append(status)
            keys.add(status.job.key)
    return targets


def _terminate(launchers: Sequence[psutil.Process]) -> None:
    for launcher in launchers:
        with suppress(psutil.NoSuchProcess):
            launcher.send_signal(signal.SIGTERM)  # it ends all that it has started
    psutil.wait_procs(launchers, timeout=LAUNCHER_END_S)
