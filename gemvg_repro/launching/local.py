"""Running jobs on this machine: which start now, which wait, and which are blocked?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import submitit

from ..files.atomic import NotWritten, writing
from ..runs.ownership import owner_of
from ..study.plan import Job
from ..study.resources import Resources
from .notebook import execute, failure_text, kill_children
from .status import JobStatus, root_failure


class LocalSchedule:
    """Runs jobs in the order of their needs, some side by side; a failure blocks only the jobs that need it."""

    def __init__(self, jobs: Sequence[Job], resources: Resources, root: Path) -> None:
        self.statuses = [JobStatus(job, "finished" if job.finished else "waiting") for job in jobs]
        self._resources = resources
        self._root = root

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing more can be started."""
        return all(e.state in ("finished", "failed", "blocked") for e in self.statuses)

    def step(self) -> list[JobStatus]:
        """Notices which jobs have ended and starts those that can be; returns the statuses whose state changed."""
        before = [status.state for status in self.statuses]
        by_key = {status.job.key: status for status in self.statuses}
        for status in self.statuses:
            if status.state == "running":
                self._check_ended(status)
        free = self._resources.jobs - sum(self._cores(e) for e in self.statuses if e.state == "running")
        for status in self.statuses:
            if status.state != "waiting":
                continue
            needs = [by_key[key] for key in status.job.needs if key in by_key]
            failed = [e for e in needs if e.state in ("failed", "blocked")]
            ready = all(e.state in ("finished", "failed", "blocked") for e in needs)
            if failed and not status.job.is_report:
                status.state, status.note = "blocked", root_failure(failed[0])
            elif ready and self._cores(status) <= free:
                self._start(status)
                free -= self._cores(status)
        return [status for status, state in zip(self.statuses, before, strict=True) if status.state != state]

    def _cores(self, status: JobStatus) -> int:
        """A job takes as many places as it has threads: threads that wait for a core slow a run many times."""
        return min(status.job.threads, self._resources.jobs)

    def cancel(self) -> None:
        """Kills everything that this schedule started."""
        kill_children()

    def _start(self, status: JobStatus) -> None:
        # A folder for every attempt: a local job's id is a process number, which the system reuses.
        attempts = status.job.files.folder
        needs = self._resources.needs(status.job.kind)
        folder = next(f for n in count(1) if not (f := attempts / f"attempt-{n}").exists())
        parameters = {"timeout_min": needs.timeout_min, "gpus_per_node": needs.gpus, "stderr_to_stdout": True}
        try:
            with writing(attempts):
                executor = submitit.LocalExecutor(folder)
                executor.update_parameters(**parameters)
                status.submission = executor.submit(execute, status.job, self._root, needs)
        except NotWritten as error:
            status.state, status.note = "failed", str(error)
        else:
            status.state = "running"

    def _check_ended(self, status: JobStatus) -> None:
        """Whether a job succeeded is read from what it left on disk."""
        if not status.submission.done() or owner_of(status.job.files.lock) is not None:
            return
        failure = status.job.files.failure
        outcome = status.submission.paths.result_pickle
        if failure.is_file():
            status.state, status.note = "failed", failure_text(status.job)
        elif status.job.finished or (status.job.is_report and outcome.is_file()):
            status.state = "finished"
        else:
            status.state, status.note = (
                "failed",
                f"{status.job.name} was killed; the same command resumes it",
            )
