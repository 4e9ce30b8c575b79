"""Asking Slurm: is it there, how do our jobs stand, would it take a script?

Only squeue, sacct, scontrol, sinfo and scancel are asked, each at most once a question, however many the runs.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files.file_system import NETWORK, file_system

ENDED = tuple("COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL OUT_OF_MEMORY BOOT_FAIL DEADLINE PREEMPTED".split())
"""A job in one of these states runs no more: one that is requeued, after a preemption too, is PENDING."""

_SEPARATOR = "\x1f"


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
        comment: the launcher's.
    """

    id: str
    state: str
    node: str = ""
    reason: str = ""
    comment: str = ""

    @property
    def ended(self) -> bool:
        """Whether it runs no more, and is not requeued either."""
        return self.state.startswith(ENDED)


def unavailable_reason() -> str:
    """Why no Slurm answers here; empty when one does."""
    if not all(shutil.which(program) for program in ("sbatch", "squeue", "srun")):
        return "there is no sbatch here"
    try:
        ask("sinfo", "-h", "-o", "%P")
    except SlurmError as error:
        return f"Slurm does not answer: {str(error).splitlines()[-1]}"  # what is before led up to it
    return ""


def queued_jobs() -> dict[str, QueuedJob]:
    """All our jobs that the controller remembers, by id; array elements one by one."""
    form = _SEPARATOR.join(("%i", "%T", "%N", "%r", "%k"))
    jobs = {}
    for line in ask("squeue", "--me", "-h", "-r", "-t", "all", "-o", form).splitlines():
        job = QueuedJob(*(part.strip() for part in line.split(_SEPARATOR, 4)))
        jobs[job.id] = job
    return jobs


def accounted_jobs(ids: Iterable[str]) -> dict[str, QueuedJob]:
    """Jobs that have left the queue, from the accounting; none where a cluster keeps no accounts."""
    arrays = sorted({job.partition("_")[0] for job in ids})
    if not arrays:
        return {}
    try:
        output = ask("sacct", "-X", "-n", "-P", "-o", "JobID,State,NodeList,Reason", "-j", ",".join(arrays), seconds=20)
    except SlurmError:
        return {}
    jobs = [QueuedJob(*line.split("|")[:4]) for line in output.splitlines() if line.count("|") >= 3]
    return {job.id: job for job in jobs}


def cancel_jobs(ids: Sequence[str]) -> None:
    """Ends jobs, whether they wait or run."""
    for start in range(0, len(ids), 500):  # a command line has its limits
        ask("scancel", *ids[start : start + 500])


def largest_array() -> int:
    """How many elements an array may have."""
    for line in ask("scontrol", "show", "config").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize":
            return int(value)
    return 1001  # Slurm's default


def check_script(script: str, needed_by: str) -> None:
    """Refuses a script that Slurm would refuse (partition, account, GPUs, time, ...); submits nothing.

    Raises:
        SlurmError: with Slurm's own message.
    """
    try:
        ask("sbatch", "--test-only", stdin=script)
    except SlurmError as error:
        raise SlurmError(
            f"Slurm would refuse {needed_by}: {error}\nnothing was submitted; see `resources` in the grid"
        ) from None


def check_time(partition: str | None, timeout_min: int, needed_by: str) -> None:
    """Refuses a time limit above the partition's: unless a site has it otherwise, such a job waits for ever.

    Raises:
        SlurmError: naming both limits.
    """
    limits = dict(line.split("|", 1) for line in ask("sinfo", "-a", "-h", "-o", "%P|%l").splitlines() if "|" in line)
    partitions = partition.split(",") if partition else [name.rstrip("*") for name in limits if name.endswith("*")]
    longest = max(
        (_minutes(limit) for name, limit in limits.items() if name.rstrip("*") in partitions), default=math.inf
    )
    if timeout_min > longest:
        raise SlurmError(
            f"Slurm would never start {needed_by}: timeout_min is {timeout_min}, and partition {','.join(partitions)}"
            f" allows {longest:.0f} min; what needs longer is requeued and resumes, so a smaller timeout_min is no loss"
        )


def _minutes(limit: str) -> float:
    """Of sinfo's [days-][hours:]minutes:seconds; `infinite` and the like are."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    return days * 1440 + hours * 60 + minutes + seconds / 60 if match else math.inf


def check_visible(folder: Path, shared: bool) -> None:
    """Refuses a folder that the nodes of the cluster do not see: their jobs would fail without a word.

    Raises:
        SlurmError: when there are nodes on other machines and the folder is on a disk of this one.
    """
    if shared:
        return
    here = os.uname().nodename.partition(".")[0]
    elsewhere = sorted(
        {name for name in ask("sinfo", "-h", "-N", "-o", "%n").split() if name.partition(".")[0] != here}
    )
    kind = file_system(folder)
    if elsewhere and not kind.startswith(NETWORK):
        raise SlurmError(
            f"{folder} is on a disk of this machine ({kind}), which {elsewhere[0]} and the other nodes do not see."
            " Give a folder that they share (--runs DIR), or write `shared: true` under `resources` if they see it"
        )


def ask(*command: str, stdin: str | None = None, seconds: float = 60) -> str:
    """The output of a Slurm command.

    Raises:
        SlurmError: with its message, or that it did not answer.
    """
    # SQUEUE_PARTITION and the like are for a person's own eyes: they would hide jobs from us.
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SQUEUE_", "SINFO_", "SACCT_", "SCANCEL_"))}
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=seconds, env=plain)
    except FileNotFoundError:
        raise SlurmError(f"there is no {command[0]} here") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} did not answer within {seconds:.0f} s") from None
    if done.returncode:
        message = done.stderr.strip() or done.stdout.strip() or f"ended with status {done.returncode}"
        raise SlurmError(f"{command[0]}: {message.removeprefix(f'{command[0]}: ')}")
    return done.stdout
