"""Which checkpoints and weights does nothing need any more, and are those still there that something needs?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runs.directory import result_of
from ..runs.json_files import RunError
from ..runs.layout import CHECKPOINTS, MODEL, PARAMETERS
from ..runs.ownership import current_owner
from ..study.plan import Job


@dataclass(frozen=True)
class Leftover:
    """A folder of a finished run that may go, and its size in bytes."""

    folder: Path
    bytes: int


def find_leftovers(jobs: Sequence[Job], known_jobs: Sequence[Job]) -> Iterator[Leftover]:
    """The checkpoints and weights of finished jobs that none of the known jobs needs any more."""
    needing: dict[str, list[Job]] = {}
    for job in known_jobs:
        for key in () if job.is_report else job.needs:
            needing.setdefault(key, []).append(job)
    for job in jobs:
        if not job.finished or current_owner(job.files) is not None:
            continue
        users = needing.get(job.key, [])
        needed = not users or not all(user.finished for user in users) or _is_needed_on_disk(job)
        for name in (CHECKPOINTS,) if needed else (CHECKPOINTS, MODEL):
            if (folder := job.folder / name).is_dir():
                yield Leftover(folder, _size(folder))


def _is_needed_on_disk(job: Job) -> bool:
    """Whether a run was begun and is not finished whose parameters name this one, such as a notebook's by hand."""
    run_id = job.key.rpartition("-")[2]
    for parameters in job.folder.parent.glob(f"*/{PARAMETERS}"):
        if run_id in parameters.read_text(encoding="utf-8") and parameters.parent != job.folder:
            if result_of(parameters.parent) is None:
                return True
    return False


def _weights_are_gone(training: Path) -> bool:
    """Whether a finished training wrote weights, whose hashes are in its result, and has none now."""
    return bool((result_of(training) or {}).get("weights")) and not (training / MODEL).is_dir()


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def check_weights(jobs: Sequence[Job], plan: Sequence[Job]) -> None:
    """Refuses to launch jobs whose trainings in the plan are finished and have no weights any more.

    Raises:
        RunError: naming the training, and how it is made again.
    """
    trainings = {job.key: job for job in plan if job.notebook.stem == "train" and job.finished}
    for job in jobs:
        for key in () if job.finished or job.is_report else job.needs:
            if key in trainings and _weights_are_gone(trainings[key].folder):
                raise RunError(
                    f"{job.name} needs the weights of {trainings[key].name}, which were removed (--clean)."
                    f" Remove {trainings[key].folder} and launch again: it is trained anew"
                )
