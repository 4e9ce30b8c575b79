"""Asking Slurm: is it there, how do our jobs stand, would it take a script?

Only sbatch, squeue, sacct, scontrol, sinfo and scancel are asked, the last five at most once a question, however many
the runs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

ENDED = tuple("COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL OUT_OF_MEMORY BOOT_FAIL DEADLINE PREEMPTED".split())
"""A job in one of these states runs no more: one that is requeued, after a preemption too, is PENDING."""

READ_BY_SLURM = ("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_", "SCONTROL_")
"""Prefixes of the variables that Slurm's commands read (sbatch(1), srun(1), INPUT ENVIRONMENT VARIABLES)."""

WHERE_SLURM_IS = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
"""Those of them that say how to reach it."""

_SEPARATOR = "\x1f"
_SQUEUE_FIELDS = ("JobArrayID", "State", "NodeList", "Reason", "exit_code", "Name", "UserName", "Comment")
_SACCT_FIELDS = ("JobID", "State", "NodeList", "Reason", "ExitCode", "JobName", "User", "Comment", "Cluster", "WorkDir")
_RETRIES = "sleeping and retrying"
"""What sbatch prints while the queue is full (MaxJobCount); it tries for some two minutes."""


class SlurmError(RuntimeError):
    """Slurm refused something, or does not answer."""


@dataclass(frozen=True)
class QueuedJob:
    """A job, or an element of an array, that Slurm knows.

    Attributes:
        id: `17`, or `17_3` for an element.
        state: as Slurm calls it, such as RUNNING.
        node: where it runs or ran.
        reason: why it waits or ended, as Slurm calls it.
        exit_code: `3:0`, the code and the signal that ended it.
        comment: the launcher's; empty where the accounting does not keep comments.
        cluster, work_dir: known of jobs from the accounting only.
    """

    id: str
    state: str
    node: str = ""
    reason: str = ""
    exit_code: str = "0:0"
    name: str = ""
    user: str = ""
    comment: str = ""
    cluster: str = ""
    work_dir: str = ""

    @property
    def ended(self) -> bool:
        """Whether it runs no more, and is not requeued either."""
        return self.state.startswith(ENDED)


def user_name() -> str:
    """The user whose jobs these are, as Slurm names it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def unavailable_reason() -> str:
    """Why no Slurm answers here; empty when one does."""
    if not all(shutil.which(program) for program in ("sbatch", "squeue", "srun")):
        return "there is no sbatch here"
    try:
        ask("sinfo", "-h", "-o", "%P")
    except SlurmError as error:
        return f"Slurm does not answer: {str(error).splitlines()[-1]}"  # what is before led up to it
    return ""


def queued_jobs(users: Iterable[str]) -> dict[str, QueuedJob]:
    """All jobs of these users that the controller remembers, by id; array elements one by one."""
    fields = ",".join(f"{field}:{_SEPARATOR}" for field in _SQUEUE_FIELDS)
    jobs = {}
    for line in ask("squeue", "-u", ",".join(sorted(users)), "-h", "-r", "-t", "all", "-O", fields).splitlines():
        job, state, node, reason, exit_code, *rest = (part.strip() for part in line.split(_SEPARATOR)[:-1])
        code, number = divmod(int(exit_code), 256)  # as wait(2) has it
        jobs[job] = QueuedJob(job, state, node, reason, f"{code}:{number}", *rest)
    return jobs


def accounted_jobs(ids: Iterable[str]) -> dict[str, QueuedJob]:
    """Jobs that have left the queue, from the accounting; none where a cluster keeps no accounts."""
    arrays = sorted({job.partition("_")[0] for job in ids})
    if not arrays:
        return {}
    fields = ["--delimiter", _SEPARATOR, "-o", ",".join(_SACCT_FIELDS)]
    try:
        output = ask("sacct", "-X", "-n", "-P", *fields, "-j", ",".join(arrays), seconds=20)
    except SlurmError:
        return {}
    rows = [line.split(_SEPARATOR) for line in output.splitlines()]
    jobs = [QueuedJob(*row) for row in rows if len(row) == len(_SACCT_FIELDS)]
    return {job.id: job for job in jobs}


def cancel_jobs(ids: Sequence[str]) -> None:
    """Ends jobs, whether they wait or run."""
    for start in range(0, len(ids), 500):  # a command line has its limits
        ask("scancel", *ids[start : start + 500])


def largest_array() -> int:
    """How many elements an array may have."""
    return int(_configuration().get("MaxArraySize", 1001))  # Slurm's default


def cluster_name() -> str:
    """The name of the cluster that answers here."""
    return _configuration().get("ClusterName", "")


@cache
def _configuration() -> dict[str, str]:
    pairs = (line.partition("=") for line in ask("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def seconds_left(job: str) -> float | None:
    """Seconds until the time limit of a running job; None if it has none, or Slurm does not say."""
    try:
        end = datetime.fromisoformat(ask("squeue", "-h", "-j", job, "-o", "%e", seconds=10).strip())
    except (SlurmError, ValueError):  # of which the latter is N/A
        return None
    return (end - datetime.now()).total_seconds()


def parse_minutes(limit: str) -> float | None:
    """Of [days-][hours:]minutes:seconds, as Slurm prints limits; None for `infinite`, `UNLIMITED` and the like."""
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in (*parts, days or "0")) or len(parts) not in (2, 3):
        return None
    hours, minutes, seconds = (0, *map(int, parts))[-3:]
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def submit_script(file: Path) -> str:
    """Gives a script to sbatch; returns the job's number. While the queue is full sbatch retries, and this says so.

    Raises:
        SlurmError: with sbatch's message.
    """
    command = ["sbatch", "--parsable", str(file)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=plain_environment()
    )
    assert process.stdout is not None and process.stderr is not None
    errors: list[str] = []
    try:
        for line in process.stderr:
            errors.append(line)
            if _RETRIES in line:
                sys.stderr.write(f"{line.strip()} (Ctrl-C stops; the same command submits the rest)\n")
        number = process.stdout.read().strip().partition(";")[0]
        process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode or not number.isdigit():
        raise SlurmError("".join(errors).strip() or f"sbatch ended with status {process.returncode}")
    return number


def plain_environment() -> dict[str, str]:
    """The environment without what a person has set for their own use of Slurm: it would change what we ask for."""
    return {k: v for k, v in os.environ.items() if not k.startswith(READ_BY_SLURM) or k in WHERE_SLURM_IS}


def ask(*command: str, stdin: str | None = None, seconds: float = 60) -> str:
    """The output of a Slurm command.

    Raises:
        SlurmError: with its message, or that it did not answer.
    """
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=seconds, env=plain_environment()
        )
    except FileNotFoundError:
        raise SlurmError(f"there is no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within {seconds:.0f} s") from None
    if done.returncode:
        message = done.stderr.strip() or done.stdout.strip() or f"ended with status {done.returncode}"
        raise SlurmError(f"{command[0]}: {message.removeprefix(f'{command[0]}: ')}")
    return done.stdout
