"""Which run was submitted to Slurm as which job?

A launch has a folder of its own: a record of each array, written before the array is submitted, and what
submitit and the jobs write. The array's record is named in the job's comment, so that a launcher that is killed
between submitting and writing the number down has not lost it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runs.json_files import read_json_or_none, write_json
from ..runs.layout import launcher_folder
from .slurm import QueuedJob


@dataclass(frozen=True)
class Submission:
    """A run as a job of Slurm.

    Attributes:
        job: its number, such as `17_3`.
        log: what the job prints outside of its notebook.
    """

    job: str
    log: Path


class Submissions:
    """The records of all launches into one folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.folder = launcher_folder(runs) / "launches"

    def new_launch_name(self) -> str:
        """A name for a new launch, sorted after those of all before whatever clocks say; nothing is written."""
        numbers = [int(folder.name.partition("-")[0]) for folder in self.folder.glob("*-*")]
        return f"{max(numbers, default=0) + 1:04}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

    def announce(self, launch: str, number: int, keys: Sequence[str | None]) -> None:
        """Records the runs of an array that is about to be submitted, by element; None has nothing to do."""
        (self.folder / launch).mkdir(parents=True, exist_ok=True)
        write_json(self._record(launch, number), {"keys": list(keys), "job": None})

    def confirm(self, launch: str, number: int, job: str) -> None:
        """Records the number that Slurm gave the array."""
        record = self._record(launch, number)
        write_json(record, {**(read_json_or_none(record) or {}), "job": job})

    def latest(self, queue: Mapping[str, QueuedJob]) -> dict[str, Submission]:
        """The last submission of each run, by the name of its directory; one that never reached Slurm is none."""
        job_by_comment = {job.comment: job.id.partition("_")[0] for job in queue.values()}
        submissions: dict[str, Submission] = {}
        for record in sorted(self.folder.glob("*/array-*.json"), key=_order):
            content = read_json_or_none(record) or {"keys": [], "job": None}
            number = int(record.stem.rpartition("-")[2])
            job = content["job"] or job_by_comment.get(comment_of(record.parent.name, number))
            for index, key in enumerate(content["keys"]):
                if job and key is not None:
                    name = f"{job}_{index}" if len(content["keys"]) > 1 else str(job)
                    submissions[key] = Submission(name, record.parent / f"{name}_0_log.out")
        return submissions

    def _record(self, launch: str, number: int) -> Path:
        return self.folder / launch / f"array-{number:04}.json"


def _order(record: Path) -> tuple[int, str]:
    return int(record.parent.name.partition("-")[0]), record.name


def comment_of(launch: str, number: int) -> str:
    """The comment on the jobs of an array."""
    return f"gemvg {launch} {number}"
