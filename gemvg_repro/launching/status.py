"""How do the runs of a study stand, and why?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..files.validation import printable
from ..runs.layout import REPORT_PAGE, RESULT
from ..runs.progress import progress_of
from ..study.plan import Job
from . import slurm as cluster
from .notebook import ANSI, at_it, failure_of, log_of, told
from .slurm import QueuedJob, SlurmError
from .submissions import Launches, Submission

State = Literal["missing", "waiting", "running", "finished", "failed", "blocked"]

LOG_LINES = 15
WIDEST = 500  # characters of one of them
MOST_OF_LOG = 100_000  # bytes

_MEANS = {
    "CANCELLED": "it was cancelled",
    "TIMEOUT": "it was killed at its time limit, before it could be requeued; raise signal_s or timeout_min",
    "OUT_OF_MEMORY": "it took more memory than it had asked for; raise mem_gb",
    "NODE_FAIL": "its node failed, and Slurm did not requeue it",
    "PREEMPTED": "it made room for another job, and its partition does not requeue",
    "FAILED": "its process was killed, or could not write; its log may say more",
    "COMPLETED": f"it came to its end and left no {RESULT}",
}


@dataclass
class Entry:
    """A job and how it stands.

    Attributes:
        note: of a failed job, what went wrong; of a blocked one, the job that it waits for in vain; of a
            waiting one, why; of a running one, who is at it.
        submission: submitit's job, of a launcher on this machine.
        slurm: the number of the job in Slurm, and where its output is.
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
        """Whether it runs or will run without anybody's doing."""
        return self.state in ("waiting", "running")

    @property
    def queued(self) -> bool:
        """Whether it runs or will run as a job of Slurm."""
        return self.active and self.slurm is not None and (self.state == "waiting" or bool(self.node))


def states(jobs: Sequence[Job]) -> list[Entry]:
    """How jobs stand by what is on disk and, for those that were given to Slurm, by what it says.

    Raises:
        SlurmError: a run was given to Slurm, is not finished, and Slurm does not answer.
    """
    launches = Launches(jobs[0].folder.parent)
    queue = _ask(launches) if any(launches.folder.glob("*/array-*.json")) else {}
    submitted = {key: s for key, s in launches.latest(queue).items()}
    unsettled = {j.key: submitted[j.key].job for j in jobs if j.key in submitted and not j.finished}
    known = queue | cluster.remembered(set(unsettled.values()) - set(queue))
    entries: list[Entry] = []
    by_key: dict[str, Entry] = {}
    for job in jobs:
        entry = by_key[job.key] = _entry(job, submitted.get(job.key), known)
        broken = [by_key[key] for key in job.needs if key in by_key and by_key[key].state in ("failed", "blocked")]
        if broken and entry.slurm and entry.state == "failed" and not failure_of(job).is_file() and not job.is_report:
            entry.state, entry.note = "blocked", root_of(broken[0])
        elif broken and entry.state == "waiting" and not job.is_report:  # Slurm forgets an element cancelled early
            entry.note = f"needs {root_of(broken[0])}, which failed; if it stays so, --cancel and --retry it"
        entries.append(entry)
    return entries


def _ask(launches: Launches) -> dict[str, QueuedJob]:
    try:
        return cluster.queue()
    except SlurmError as error:
        raise SlurmError(
            f"{error}\nRuns were given to Slurm, and only it can say how they stand. Try again when it answers;"
            f" if that cluster is gone for good, remove {launches.folder}"
        ) from None


def root_of(broken: Entry) -> str:
    """The name of the run whose failure is behind that of this one."""
    return broken.note if broken.state == "blocked" else broken.job.name


def _entry(job: Job, submission: Submission | None, known: dict[str, QueuedJob]) -> Entry:
    if job.finished:
        return Entry(job, "finished", slurm=submission)
    queued = known.get(submission.job) if submission else None
    if submission and queued and not queued.ended:
        waits = queued.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
        note = queued.reason if waits else f"job {queued.id} on {queued.node}"
        return Entry(job, "waiting" if waits else "running", note, slurm=submission, node=queued.node)
    if (owner := at_it(job)) is not None:
        return Entry(job, "running", str(owner), slurm=submission)
    node = queued.node if queued else ""
    if failure_of(job).is_file():
        return Entry(job, "failed", told(job), slurm=submission, node=node)
    if submission is None:
        return Entry(job, "missing")
    if job.is_report and _is_made(job, queued):
        return Entry(job, "finished", slurm=submission, node=node)
    return Entry(job, "failed", _why(submission, queued), slurm=submission, node=node)


def _is_made(report: Job, queued: QueuedJob | None) -> bool:
    """A report has no result.json; once Slurm has forgotten its job, the page itself has to say that it was made."""
    return queued.state == "COMPLETED" if queued else (report.folder / REPORT_PAGE).is_file()


def _why(submission: Submission, queued: QueuedJob | None) -> str:
    if queued is None:
        return (
            f"Slurm does not know job {submission.job} any more: it was cancelled before it began, or ended long ago"
            " without a result; --retry submits it again"
        )
    word = queued.state.partition(" ")[0]
    return f"job {queued.id} ended as {word}: {_MEANS.get(word, 'see its log')}; --retry submits it again"


def explain(entry: Entry) -> str:
    """A failed job for a person: what went wrong, the last lines of its log, and where that is."""
    text = f"{entry.job.name} failed.\n{entry.note}"
    if (log := log_file(entry)) is not None:
        lines = [line for line in printed(log) if line.strip()]
        text += "\n" + "\n".join(f"  | {line[:WIDEST]}" for line in lines[-LOG_LINES:]) + f"\nlog: {log}"
    return printable(text)


def printed(log: Path) -> list[str]:
    """The lines at the end of a log, however long it is, without what would steer a terminal."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - MOST_OF_LOG))
        said = ANSI.sub("", file.read().decode("utf-8", errors="replace"))
    return [printable(line.replace("\t", "    ")) for line in said.splitlines()]


def log_file(entry: Entry) -> Path | None:
    """What the run last printed: by its notebook, or outside of it where its notebook did not fail."""
    notebook = log_of(entry.job)
    outside = entry.slurm.log if entry.slurm else notebook
    unexplained = entry.state == "failed" and not failure_of(entry.job).is_file()
    order = (outside, notebook) if unexplained else (notebook, outside)
    return next((log for log in order if log.is_file() and log.stat().st_size), None)
