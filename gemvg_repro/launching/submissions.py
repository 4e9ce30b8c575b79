"""Which run was given to Slurm as which job?

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
    """A run that was given to Slurm.

    Attributes:
        job: its number, such as `17_3`.
        log: what the job prints outside of its notebook.
    """

    job: str
    log: Path


class Launches:
    """All launches into one folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.folder = launcher_folder(runs) / "launches"

    def name(self) -> str:
        """A name for a new launch, sorted after those of all before whatever clocks say; nothing is made."""
        before = [int(folder.name.partition("-")[0]) for folder in self.folder.glob("*-*")]
        return f"{max(before, default=0) + 1:04}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"

    def announce(self, launch: str, number: int, keys: Sequence[str | None]) -> None:
        """Writes down what an array is about to be submitted for: by element the run, or None for nothing."""
        (self.folder / launch).mkdir(parents=True, exist_ok=True)
        write_json(self._record(launch, number), {"keys": list(keys), "job": None})

    def confirm(self, launch: str, number: int, job: str) -> None:
        """Writes down the number that Slurm gave the array."""
        record = self._record(launch, number)
        write_json(record, {**(read_json_or_none(record) or {}), "job": job})

    def latest(self, queue: Mapping[str, QueuedJob]) -> dict[str, Submission]:
        """By run directory, the last submission of each run; one that never reached Slurm is none."""
        commented = {job.comment: job.id.partition("_")[0] for job in queue.values()}
        found: dict[str, Submission] = {}
        for record in sorted(self.folder.glob("*/array-*.json"), key=_order):
            content = read_json_or_none(record) or {"keys": [], "job": None}
            number = int(record.stem.rpartition("-")[2])
            job = content["job"] or commented.get(comment_of(record.parent.name, number))
            for index, key in enumerate(content["keys"]):
                if job and key is not None:
                    name = f"{job}_{index}" if len(content["keys"]) > 1 else str(job)
                    found[key] = Submission(name, record.parent / f"{name}_0_log.out")
        return found

    def _record(self, launch: str, number: int) -> Path:
        return self.folder / launch / f"array-{number:04}.json"


def _order(record: Path) -> tuple[int, str]:
    return int(record.parent.name.partition("-")[0]), record.name


def comment_of(launch: str, number: int) -> str:
    """What is written on the jobs of an array."""
    return f"gemvg {launch} {number}"
