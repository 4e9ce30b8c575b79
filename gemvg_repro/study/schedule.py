"""Which jobs run now, which wait, and which cannot run any more?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from .execution import ANSI, desk_of, end_children, execute, executor_of, log_of
from .locks import owner_of
from .plan import Job, Resources
from .runs import read_json

State = Literal["missing", "waiting", "running", "finished", "failed", "blocked"]

LOG_LINES = 15


@dataclass
class Entry:
    """A job and how it stands.

    Attributes:
        note: of a failed job, what went wrong; of a blocked one, the job that it waits for in vain.
    """

    job: Job
    state: State
    note: str = ""
    submission: Any = None

    @property
    def progress(self) -> dict[str, Any]:
        """The last progress.json of the run, empty before the first."""
        return dict(read_json(self.job.folder / "progress.json") or {})


def states(jobs: Sequence[Job]) -> list[Entry]:
    """How jobs stand by what is on disk, whoever runs them."""
    return [Entry(job, *_state(job)) for job in jobs]


def _state(job: Job) -> tuple[State, str]:
    if job.finished:
        return "finished", ""
    for lock in (job.folder / "owner.lock", desk_of(job) / "job.lock"):
        if (owner := owner_of(lock)) is not None:
            return "running", str(owner)
    if (failure := desk_of(job) / "failure.txt").is_file():
        return "failed", failure.read_text(encoding="utf-8")
    return "missing", ""


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
                entry.state, entry.note = (
                    "blocked",
                    broken[0].note if broken[0].state == "blocked" else broken[0].job.name,
                )
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
        desk = desk_of(entry.job)
        folder = next(f for n in count(1) if not (f := desk / f"attempt-{n}").exists())
        executor = executor_of(self._resources, folder)
        entry.submission = executor.submit(execute, entry.job, self._root)
        entry.state = "running"

    def _look(self, entry: Entry) -> None:
        """The end of a job is judged by what it left on disk."""
        desk = desk_of(entry.job)
        if not entry.submission.done() or owner_of(desk / "job.lock") is not None:
            return
        failure = desk / "failure.txt"
        outcome = entry.submission.paths.result_pickle
        if failure.is_file():
            entry.state, entry.note = "failed", failure.read_text(encoding="utf-8")
        elif entry.job.finished or (entry.job.is_report and outcome.is_file()):
            entry.state = "finished"
        else:
            entry.state, entry.note = (
                "failed",
                f"{entry.job.name} was killed; the same command takes it up again",
            )


def explain(entry: Entry) -> str:
    """A failed job for a person: what went wrong, the last lines of its log, and where that is."""
    text = f"{entry.job.name} failed.\n{entry.note}"
    log = log_of(entry.job)
    if log.is_file():
        said = ANSI.sub("", log.read_text(encoding="utf-8", errors="replace"))
        lines = ["".join(c for c in line if c.isprintable()) for line in said.splitlines() if line.strip()]
        text += "\n" + "\n".join(f"  | {line}" for line in lines[-LOG_LINES:]) + f"\nlog: {log}"
    return text
