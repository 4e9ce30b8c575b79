"""Which run was submitted to Slurm as which job?

A launch has a folder of its own: a record of each array, written before the array is submitted, and what
submitit and the jobs write. The array's record is named in the job's comment, so that a launcher that is killed
between submitting and writing the number down has not lost it.

Slurm gives numbers anew where a cluster is set up again, and two clusters may share a home. So a number counts only
together with the cluster, the user, the name and the comment of the job.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runs.json_files import read_json_or_none, write_json
from ..runs.layout import launcher_folder
from .slurm import QueuedJob, user_name

_LAUNCH = re.compile(r"(\d+)-.+")


@dataclass(frozen=True)
class Submission:
    """A run as a job of Slurm.

    Attributes:
        job: its number, such as `17_3`.
        log: what the job prints outside of its notebook.
        name, user, cluster, comment, work_dir: what the job of that number must have to be this one; None where an
            earlier version did not record it.
    """

    job: str
    log: Path
    name: str | None = None
    user: str | None = None
    cluster: str | None = None
    comment: str = ""
    work_dir: str | None = None

    def is_(self, queued: QueuedJob) -> bool:
        """Whether a job of this number is this one, and not another's that was given the number anew."""
        same = self.name in (None, queued.name) and self.user in (None, queued.user)
        if queued.cluster and self.cluster not in (None, queued.cluster):
            return False
        # Accounting keeps comments only where a cluster is configured so.
        marked = queued.comment == self.comment if queued.comment else self.work_dir == queued.work_dir
        return same and marked


class Submissions:
    """The records of all launches into one folder of runs."""

    def __init__(self, runs: Path) -> None:
        self.folder = launcher_folder(runs) / "launches"

    def new_launch_name(self) -> str:
        """A name for a new launch, sorted after those of all before whatever clocks say; nothing is written."""
        numbers = [_number(folder) for folder in launch_folders(self.folder)]
        return f"{max(numbers, default=0) + 1:04}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"

    def announce(
        self, launch: str, number: int, keys: Sequence[str | None], name: str, cluster: str, work_dir: Path
    ) -> None:
        """Records an array that is about to be submitted: its runs by element (None has nothing to do), its marks."""
        (self.folder / launch).mkdir(parents=True, exist_ok=True)
        marks = {"name": name, "user": user_name(), "cluster": cluster, "work_dir": str(work_dir)}
        write_json(self._record(launch, number), {"keys": list(keys), "job": None, **marks})

    def confirm(self, launch: str, number: int, job: str) -> None:
        """Records the number that Slurm gave the array."""
        record = self._record(launch, number)
        write_json(record, {**(read_json_or_none(record) or {}), "job": job})

    def records(self) -> list[tuple[Path, dict[str, Any]]]:
        """The records of all arrays, in the order in which they were submitted."""
        files = [file for folder in launch_folders(self.folder) for file in sorted(folder.glob("array-*.json"))]
        return [(file, content) for file in files if (content := read_json_or_none(file)) is not None]

    def latest(
        self, records: Sequence[tuple[Path, dict[str, Any]]], queue: Mapping[str, QueuedJob]
    ) -> dict[str, Submission]:
        """The last submission of each run, by the name of its directory; one that never reached Slurm is none."""
        job_by_comment = {job.comment: job.id.partition("_")[0] for job in queue.values() if job.comment}
        submissions: dict[str, Submission] = {}
        for file, content in records:
            comment = comment_of(file.parent.name, int(file.stem.rpartition("-")[2]))
            job = content["job"] or job_by_comment.get(comment)
            marks = {key: content.get(key) for key in ("name", "user", "cluster", "work_dir")}
            for index, key in enumerate(content["keys"]):
                if job and key is not None:
                    number = f"{job}_{index}" if len(content["keys"]) > 1 else str(job)
                    log = file.parent / f"{number}_0_log.out"
                    submissions[key] = Submission(number, log, comment=comment, **marks)
        return submissions

    def _record(self, launch: str, number: int) -> Path:
        return self.folder / launch / f"array-{number:04}.json"


def launch_folders(folder: Path) -> list[Path]:
    """The folders of all launches, in their order; what else a person has put beside them is left alone."""
    return sorted(_only_launches(folder), key=_number)


def _only_launches(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if _LAUNCH.fullmatch(path.name) and path.is_dir())


def _number(launch: Path) -> int:
    return int(launch.name.partition("-")[0])


def comment_of(launch: str, number: int) -> str:
    """The comment on the jobs of an array."""
    return f"gemvg {launch} {number}"
