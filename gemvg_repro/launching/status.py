"""How does each run of a study stand, and why?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..files.validation import printable
from ..runs.layout import REPORT_PAGE, RESULT
from ..runs.ownership import current_owner
from ..runs.progress import progress_of
from ..study.plan import Job
from .endings import ended_reason
from .logs import log_tail
from .notebook import failure_text
from .slurm import QueuedJob, SlurmError, accounted_jobs, cluster_name, queued_jobs, user_name
from .submissions import Submission, Submissions

State = Literal["missing", "waiting", "running", "finished", "failed", "blocked", "unknown"]
"""`unknown`: the run was submitted to a cluster that cannot be asked from here."""

LOG_LINES = 15
MAX_LINE_CHARACTERS = 500
MAX_NAMED_NEEDS = 3
"""Of the runs that a waiting one waits for, so many are named."""


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
    submitted, slurm_jobs, cluster = _ask_slurm(jobs)
    statuses: list[JobStatus] = []
    by_key: dict[str, JobStatus] = {}
    for job in jobs:
        submission = submitted.get(job.key)
        elsewhere = submission is not None and submission.cluster not in (None, cluster)
        status = _status_elsewhere(job, submission) if elsewhere else _status_of(job, submission, slurm_jobs)
        by_key[job.key] = status
        _name_needs(status, [by_key[key] for key in job.needs if key in by_key])
        statuses.append(status)
    return statuses


def _ask_slurm(jobs: Sequence[Job]) -> tuple[dict[str, Submission], dict[str, QueuedJob], str]:
    """The last submission of each run, the jobs of Slurm that are really those, by number, and the cluster's name."""
    submissions = Submissions(jobs[0].folder.parent)
    records = submissions.records()
    if not records:
        return {}, {}, ""
    try:
        queue = queued_jobs({user_name(), *(record["user"] for _, record in records if "user" in record)})
        cluster = cluster_name()
    except SlurmError as error:
        raise SlurmError(
            f"{error}\nRuns were submitted to Slurm, and only it can say how they stand. Try again when it answers;"
            f" if that cluster is gone for good, remove {submissions.folder}"
        ) from None
    submitted = submissions.latest(records, queue)
    unsettled = [s for j in jobs if (s := submitted.get(j.key)) and not j.finished and s.cluster in (None, cluster)]
    in_queue = {s.job: q for s in unsettled if (q := queue.get(s.job)) and s.is_(q)}
    forgotten = {s.job: s for s in unsettled if s.job not in in_queue}
    accounted = {number: q for number, q in accounted_jobs(forgotten).items() if number in forgotten}
    return submitted, in_queue | {n: q for n, q in accounted.items() if forgotten[n].is_(q)}, cluster


def _name_needs(status: JobStatus, needs: Sequence[JobStatus]) -> None:
    """Says of a waiting job for which runs it waits, and of one that waits for a failed run that it is blocked."""
    failed = [need for need in needs if need.state in ("failed", "blocked")]
    if status.job.is_report or not failed:
        active = [need.job.name for need in needs if need.active]
        if status.state == "waiting" and status.note.startswith("Dependency"):
            more = f" and {len(active) - MAX_NAMED_NEEDS} more" if len(active) > MAX_NAMED_NEEDS else ""
            names = ", ".join(active[:MAX_NAMED_NEEDS]) or "a job of an earlier launch"
            status.note = f"{status.note}: waits for {names}{more}"
    elif status.slurm and status.state == "failed" and not status.job.files.failure.is_file():
        status.state, status.note = "blocked", root_failure(failed[0])
    elif status.state == "waiting":  # Slurm forgets an element cancelled early
        status.note = f"needs {root_failure(failed[0])}, which failed; if it stays so, --cancel and --retry it"


def root_failure(failed: JobStatus) -> str:
    """The name of the run whose failure blocks this one, or of this one if it failed itself."""
    return failed.note if failed.state == "blocked" else failed.job.name


def _status_elsewhere(job: Job, submission: Submission | None) -> JobStatus:
    """Of a job that was submitted to another cluster, which cannot be asked from here."""
    status = _status_of(job, None, {})
    if status.state == "missing" and submission is not None:
        note = (
            f"was submitted to cluster {submission.cluster} as job {submission.job}, and this is another:"
            " look there, or --retry submits it here"
        )
        return JobStatus(job, "unknown", note)
    return status


def _status_of(job: Job, submission: Submission | None, slurm_jobs: Mapping[str, QueuedJob]) -> JobStatus:
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
    if job.is_report and (queued.state == "COMPLETED" if queued else report_is_current(job)):
        return JobStatus(job, "finished", slurm=submission, node=node)
    if submission is None or (job.is_report and queued is None):
        return JobStatus(job, "missing")
    return JobStatus(job, "failed", ended_reason(submission, queued), slurm=submission, node=node)


def report_is_current(report: Job) -> bool:
    """Whether the page was written after all results of its runs; a report has no result.json."""
    page = report.folder / REPORT_PAGE
    results = (report.folder.parent / key / RESULT for key in report.needs)
    written = [result.stat().st_mtime for result in results if result.is_file()]
    return page.is_file() and page.stat().st_mtime >= max(written, default=0.0)


def explain(status: JobStatus) -> str:
    """A failed job for a person: the error, the last lines of its log, and the log's path."""
    text = f"{status.job.name} failed.\n{status.note}"
    if (log := log_file(status)) is not None:
        lines = [line for line in log_tail(log) if line.strip()]
        text += "\n" + "\n".join(f"  | {line[:MAX_LINE_CHARACTERS]}" for line in lines[-LOG_LINES:]) + f"\nlog: {log}"
    return printable(text)


def log_file(status: JobStatus) -> Path | None:
    """The log to look at: the notebook's, or that of the job around it where the notebook did not fail."""
    notebook = status.job.files.log
    outside = status.slurm.log if status.slurm else notebook
    outside_failed = status.state == "failed" and not status.job.files.failure.is_file()
    order = (outside, notebook) if outside_failed else (notebook, outside)
    return next((log for log in order if log.is_file() and log.stat().st_size), None)
