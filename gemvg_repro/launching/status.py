"""How does each run of a study stand, and why?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..files.validation import printable
from ..runs.layout import REPORT_PAGE
from ..runs.ownership import current_owner
from ..runs.progress import progress_of
from ..study.plan import Job
from .notebook import ANSI, failure_text
from .slurm import QueuedJob, SlurmError, accounted_jobs, queued_jobs
from .submissions import Submission, Submissions

State = Literal["missing", "waiting", "running", "finished", "failed", "blocked"]

LOG_LINES = 15
MAX_LINE_CHARACTERS = 500  # characters of one of them
LOG_TAIL_BYTES = 100_000  # bytes

_ENDINGS = {
    "CANCELLED": "it was cancelled",
    "TIMEOUT": "it was killed at its time limit, before it could be requeued; raise signal_s or timeout_min",
    "OUT_OF_MEMORY": "it took more memory than it had asked for; raise mem_gb",
    "NODE_FAIL": "its node failed, and Slurm did not requeue it",
    "PREEMPTED": "it made room for another job, and its partition does not requeue",
    "FAILED": "its process was killed, or could not write; its log may say more",
    "COMPLETED": "it came to its end and left no result.json",
}


@dataclass
class JobStatus:
    """How a job stands.

    Attributes:
        note: of a failed job, the error; of a blocked one, the name of the run that failed; of a waiting one, the
            reason; of a running one, its owner.
        submission: submitit's job, where this process started it on this machine.
        slurm: the job of Slurm and where its output is.
        node: where it runs or ran, if Slurm had it.
    """

    job: Job
    state: State
    note: str = ""
    submission: Any = None
    slurm: Submission | None = None
    node: str = ""

    @property
    def progress(self) -> dict[str, Any]:
        """The last progress.json of the run, empty before the first."""
        return progress_of(self.job.folder)

    @property
    def active(self) -> bool:
        """Whether it runs, or will run by itself."""
        return self.state in ("waiting", "running")

    @property
    def queued(self) -> bool:
        """Whether it runs or will run as a job of Slurm."""
        return self.active and self.slurm is not None and (self.state == "waiting" or bool(self.node))


def job_statuses(jobs: Sequence[Job]) -> list[JobStatus]:
    """The statuses of jobs: by what is on disk and, for those submitted to Slurm, by its queue and accounts.

    Raises:
        SlurmError: runs were submitted to Slurm, and it does not answer.
    """
    records = Submissions(jobs[0].folder.parent)
    queue = _queue(records) if any(records.folder.glob("*/array-*.json")) else {}
    submitted = records.latest(queue)
    unsettled = {j.key: submitted[j.key].job for j in jobs if j.key in submitted and not j.finished}
    slurm_jobs = queue | accounted_jobs(set(unsettled.values()) - set(queue))
    statuses: list[JobStatus] = []
    by_key: dict[str, JobStatus] = {}
    for job in jobs:
        status = by_key[job.key] = _status_of(job, submitted.get(job.key), slurm_jobs)
        broken = [by_key[key] for key in job.needs if key in by_key and by_key[key].state in ("failed", "blocked")]
        if (
            broken
            and status.slurm
            and status.state == "failed"
            and not job.files.failure.is_file()
            and not job.is_report
        ):
            status.state, status.note = "blocked", root_failure(broken[0])
        elif broken and status.state == "waiting" and not job.is_report:  # Slurm forgets an element cancelled early
            status.note = f"needs {root_failure(broken[0])}, which failed; if it stays so, --cancel and --retry it"
        statuses.append(status)
    return statuses


def _queue(records: Submissions) -> dict[str, QueuedJob]:
    try:
        return queued_jobs()
    except SlurmError as error:
        raise SlurmError(
            f"{error}\nRuns were submitted to Slurm, and only it can say how they stand. Try again when it answers;"
            f" if that cluster is gone for good, remove {records.folder}"
        ) from None


def root_failure(broken: JobStatus) -> str:
    """The name of the run whose failure blocks this one, or of this one if it failed itself."""
    return broken.note if broken.state == "blocked" else broken.job.name


def _status_of(job: Job, submission: Submission | None, slurm_jobs: dict[str, QueuedJob]) -> JobStatus:
    if job.finished:
        return JobStatus(job, "finished", slurm=submission)
    queued = slurm_jobs.get(submission.job) if submission else None
    if submission and queued and not queued.ended:
        waits = queued.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
        note = queued.reason if waits else f"job {queued.id} on {queued.node}"
        return JobStatus(job, "waiting" if waits else "running", note, slurm=submission, node=queued.node)
    if (owner := current_owner(job.files)) is not None:
        return JobStatus(job, "running", str(owner), slurm=submission)
    node = queued.node if queued else ""
    if job.files.failure.is_file():
        return JobStatus(job, "failed", failure_text(job), slurm=submission, node=node)
    if submission is None:
        return JobStatus(job, "missing")
    if job.is_report and _report_is_written(job, queued):
        return JobStatus(job, "finished", slurm=submission, node=node)
    return JobStatus(job, "failed", _ended_reason(submission, queued), slurm=submission, node=node)


def _report_is_written(report: Job, queued: QueuedJob | None) -> bool:
    """A report has no result.json: its job tells that it was written or, once Slurm has forgotten it, the page."""
    return queued.state == "COMPLETED" if queued else (report.folder / REPORT_PAGE).is_file()


def _ended_reason(submission: Submission, queued: QueuedJob | None) -> str:
    if queued is None:
        return (
            f"Slurm does not know job {submission.job} any more: it was cancelled before it began, or ended long ago"
            " without a result; --retry submits it again"
        )
    ending = queued.state.partition(" ")[0]
    return f"job {queued.id} ended as {ending}: {_ENDINGS.get(ending, 'see its log')}; --retry submits it again"


def explain(status: JobStatus) -> str:
    """A failed job for a person: the error, the last lines of its log, and the log's path."""
    text = f"{status.job.name} failed.\n{status.note}"
    if (log := log_file(status)) is not None:
        lines = [line for line in log_tail(log) if line.strip()]
        text += "\n" + "\n".join(f"  | {line[:MAX_LINE_CHARACTERS]}" for line in lines[-LOG_LINES:]) + f"\nlog: {log}"
    return printable(text)


def log_tail(log: Path) -> list[str]:
    """The lines at the end of a log, without control characters for a terminal."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        text = ANSI.sub("", file.read().decode("utf-8", errors="replace"))
    return [printable(line.replace("\t", "    ")) for line in text.splitlines()]


def log_file(status: JobStatus) -> Path | None:
    """The log to look at: the notebook's, or that of the job around it where the notebook did not fail."""
    notebook = status.job.files.log
    outside = status.slurm.log if status.slurm else notebook
    outside_failed = status.state == "failed" and not status.job.files.failure.is_file()
    order = (outside, notebook) if outside_failed else (notebook, outside)
    return next((log for log in order if log.is_file() and log.stat().st_size), None)
