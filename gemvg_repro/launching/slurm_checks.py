"""Would Slurm take what is about to be submitted, and would it ever start it?"""

from __future__ import annotations

import os
from pathlib import Path

from ..files.file_system import NETWORK, file_system
from .slurm import SlurmError, ask, parse_minutes

_FULL_QUEUE = ("temporarily unavailable", "temporarily unable")
"""Of a full queue (MaxJobCount), which is no fault of the script: sbatch itself retries."""


def check_script(script: str, needed_by: str) -> str:
    """Refuses a script that sbatch would refuse (partition, account, GPUs, time, ...); nothing of it is ever started.

    `sbatch --test-only` also fails where nodes are drained or have not registered yet, for which sbatch would have the
    job wait. So what it refuses is submitted once, to begin in a year and with nothing to do, and cancelled if it is
    taken. (Of a held job Slurm judges only the partition.)

    Returns:
        Why the job would wait; empty if it would start as soon as there is room.

    Raises:
        SlurmError: with Slurm's own message.
    """
    try:
        ask("sbatch", "--test-only", stdin=script)
    except SlurmError as error:
        message = str(error).splitlines()[-1]
        if any(words in message for words in _FULL_QUEUE):
            return message
        _submit_for_next_year(script, needed_by)
        return message
    return ""


def _submit_for_next_year(script: str, needed_by: str) -> None:
    header = "\n".join(line for line in script.splitlines() if line.startswith("#"))
    overriding = ["--begin=now+365days", "--parsable", "--comment=gemvg check", "--output=/dev/null"]
    try:
        job = ask("sbatch", *overriding, stdin=f"{header}\ntrue\n").strip().partition(";")[0]
    except SlurmError as error:
        raise SlurmError(
            f"Slurm would refuse {needed_by}: {error}\nnothing was submitted; see `resources` in the grid"
        ) from None
    ask("scancel", job)


def check_time(partition: str | None, timeout_min: int, needed_by: str) -> None:
    """Refuses a time limit above the partition's: unless a site has it otherwise, such a job waits for ever.

    Raises:
        SlurmError: naming both limits.
    """
    limits = dict(line.split("|", 1) for line in ask("sinfo", "-a", "-h", "-o", "%P|%l").splitlines() if "|" in line)
    partitions = partition.split(",") if partition else [name.rstrip("*") for name in limits if name.endswith("*")]
    known = [parse_minutes(limit) for name, limit in limits.items() if name.rstrip("*") in partitions]
    finite = [limit for limit in known if limit is not None]
    if finite and len(finite) == len(known) and timeout_min > max(finite):
        raise SlurmError(
            f"Slurm would never start {needed_by}: timeout_min is {timeout_min}, and partition {','.join(partitions)}"
            f" allows {max(finite):.0f} min; what needs longer is requeued and resumes, so a smaller timeout_min is no"
            " loss"
        )


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
