"""Which jobs run now on this machine, which wait, and which cannot run any more?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import submitit

from ..files.atomic import NotWritten, writing
from ..runs.layout import job_folder, job_lock
from ..runs.ownership import owner_of
from ..study.plan import Job
from ..study.resources import Resources
from .notebook import end_children, execute, failure_of, told
from .status import Entry, root_of


class Schedule:
    """Runs jobs in the order of their needs, so many side by side; failures stop only what needs them."""

    def __init__(self, jobs: Sequence[Job], resources: Resources, root: Path) -> None:
        self.entries = [Entry(job, "finished" if job.finished else "waiting") for job in jobs]
        self._resources = resources
        self._root = root

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing can be started any more."""
        return all(e.state in ("finished", "failed", "blocked") for e in self.entries)

    def step(self) -> list[Entry]:
        """Looks after what runs, starts what can be started; returns the entries whose state changed."""
        before = [entry.state for entry in self.entries]
        by_key = {entry.job.key: entry for entry in self.entries}
        for entry in self.entries:
            if entry.state == "running":
                self._look(entry)
        free = self._resources.jobs - sum(self._places(e) for e in self.entries if e.state == "running")
        for entry in self.entries:
            if entry.state != "waiting":
                continue
            needs = [by_key[key] for key in entry.job.needs if key in by_key]
            broken = [e for e in needs if e.state in ("failed", "blocked")]
            ready = all(e.state in ("finished", "failed", "blocked") for e in needs)
            if broken and not entry.job.is_report:
                entry.state, entry.note = "blocked", root_of(broken[0])
            elif ready and self._places(entry) <= free:
                self._start(entry)
                free -= self._places(entry)
        return [entry for entry, state in zip(self.entries, before, strict=True) if entry.state != state]

    def _places(self, entry: Entry) -> int:
        """A run takes as many places as it has threads: threads of a run that wait for a core slow it many times."""
        return min(entry.job.threads, self._resources.jobs)

    def cancel(self) -> None:
        """Ends everything that this schedule started."""
        end_children()

    def _start(self, entry: Entry) -> None:
        # A folder for every attempt: a local job's id is a process number, which the system uses again.
        desk = job_folder(entry.job.folder)
        needs = self._resources.needs(entry.job.kind)
        folder = next(f for n in count(1) if not (f := desk / f"attempt-{n}").exists())
        words = {"timeout_min": needs.timeout_min, "gpus_per_node": needs.gpus, "stderr_to_stdout": True}
        try:
            with writing(desk):
                executor = submitit.LocalExecutor(folder)
                executor.update_parameters(**words)
                entry.submission = executor.submit(execute, entry.job, self._root)
        except NotWritten as error:
            entry.state, entry.note = "failed", str(error)
        else:
            entry.state = "running"

    def _look(self, entry: Entry) -> None:
        """The end of a job is judged by what it left on disk."""
        if not entry.submission.done() or owner_of(job_lock(entry.job.folder)) is not None:
            return
        failure = failure_of(entry.job)
        outcome = entry.submission.paths.result_pickle
        if failure.is_file():
            entry.state, entry.note = "failed", told(entry.job)
        elif entry.job.finished or (entry.job.is_report and outcome.is_file()):
            entry.state = "finished"
        else:
            entry.state, entry.note = (
                "failed",
                f"{entry.job.name} was killed; the same command takes it up again",
            )
