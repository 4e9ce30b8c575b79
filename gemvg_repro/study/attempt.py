"""What does a job of Slurm do with its time, and what when Slurm wants its place back?"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission
from submitit.helpers import Checkpointable

from .execution import NotebookFailed, execute, failure_of
from .locks import owner_of
from .plan import Job
from .resources import Needs
from .runs import Interrupted, read_json, stop_file

STALLED_OFTEN = 3
"""So many time limits in a row without a step are one too many: the run would be requeued for ever."""

KILLED_WITHIN_S = 600
"""After SIGTERM alone Slurm ends a job at the latest after its partition's GraceTime, or KillWait."""


class Attempt(Checkpointable):
    """One job, as often as Slurm starts it: executes the notebook in processes that its signals do not reach.

    SIGUSR2 (the time limit is near; or a preemption, on clusters with preempt_send_user_signal) has the training
    save, then requeues the job: submitit does it. SIGTERM (any preemption, and scancel) only has it save; what
    becomes of the job is for Slurm to say.
    """

    def __init__(self, job: Job, root: Path, needs: Needs, stalled: int = 0) -> None:
        self._job = job
        self._root = root
        self._needs = needs
        self._stalled = stalled
        self._began: float | None = None
        self._step = 0

    def __call__(self) -> None:
        """Executes the notebook, unless the run is finished."""
        self._began, self._step = time.monotonic(), self._steps()
        signal.signal(signal.SIGTERM, self._save)
        try:
            execute(self._job, self._root)
        except Interrupted:
            # To end now would be to fail. Slurm kills and requeues what it preempts; or SIGUSR2 follows.
            time.sleep(KILLED_WITHIN_S)
            raise

    def checkpoint(self, *_: Any, **__: Any) -> DelayedSubmission:
        """Called at SIGUSR2: waits until the run has saved; returns what the requeued job is to do.

        Raises:
            NotebookFailed: it has come to its time limit too often without a step.
        """
        self._save()
        # The run's owner is the kernel. It gives the run up once all is on disk; it has none before it has begun.
        deadline = time.monotonic() + self._needs.signal_s - 10
        while owner_of(self._job.folder / "owner.lock") is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        long = self._began is not None and time.monotonic() - self._began > self._needs.timeout_min * 60 / 2
        stalled = self._stalled + 1 if long and self._steps() == self._step else 0
        if stalled >= STALLED_OFTEN:
            why = (
                f"{self._job.name} reached its time limit of {self._needs.timeout_min} min {stalled} times in a row"
                " without finishing a step; raise timeout_min under `resources`, then --retry"
            )
            failure_of(self._job).write_text(why, encoding="utf-8")
            raise NotebookFailed(why)
        return DelayedSubmission(Attempt(self._job, self._root, self._needs, stalled))

    def _save(self, *_: Any) -> None:
        stop_file(self._job.folder).touch()

    def _steps(self) -> int:
        return int((read_json(self._job.folder / "progress.json") or {}).get("step", 0))


def ride_along() -> None:
    """What an element of an array does that has nothing to do: it keeps the indices of the others in step."""
