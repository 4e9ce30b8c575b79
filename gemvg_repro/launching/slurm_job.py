"""A job of Slurm: executes a notebook, saves and requeues itself when its time ends or it is preempted."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission
from submitit.helpers import Checkpointable

from ..runs.directory import Interrupted
from ..runs.ownership import owner_of
from ..runs.progress import progress_of
from ..study.plan import Job
from ..study.resources import Needs
from .notebook import NotebookFailed, execute

MAX_STALLED_ATTEMPTS = 3
"""A run that reaches its time limit so often in a row without a new step fails; it would be requeued for ever."""

KILL_WAIT_S = 600
"""After SIGTERM alone a cancelled job is ended after the cluster's KillWait, 30 s by default. What lives so long after
it was preempted, and waits for the end of its partition's GraceTime."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)

_HOLD = f"""import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {[int(number) for number in SIGNALS]})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"""


def interpreter() -> str:
    """The command of a job's Python, which blocks the signals until an attempt handles them: they would end the job."""
    return f"{shlex.quote(sys.executable)} -S -c {shlex.quote(_HOLD)}"


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
        stop_is_pending = not signal.sigpending().isdisjoint(SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            if not stop_is_pending:
                return execute(self._job, self._root)
        except Interrupted:
            pass
        # Returning now would count as a failure. Slurm kills a cancelled job, and kills and requeues a preempted one;
        # or SIGUSR2 follows, in the end by ourselves.
        time.sleep(KILL_WAIT_S)
        signal.raise_signal(signal.SIGUSR2)

    def checkpoint(self, *_: Any, **__: Any) -> DelayedSubmission:
        """Called at SIGUSR2: waits until the run has saved; returns what the requeued job is to do.

        Raises:
            NotebookFailed: it has reached its time limit too often without a new step.
        """
        self._save()
        # The run's owner is the kernel. It gives the run up once all is on disk; it has none before it has begun.
        deadline = time.monotonic() + self._needs.signal_s - 10
        while owner_of(self._job.files.owner_lock) is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        long = self._began is not None and time.monotonic() - self._began > self._needs.timeout_min * 60 / 2
        stalled = self._stalled + 1 if long and self._steps() == self._step else 0
        if stalled >= MAX_STALLED_ATTEMPTS:
            why = (
                f"{self._job.name} reached its time limit of {self._needs.timeout_min} min {stalled} times in a row"
                " without finishing a step; raise timeout_min under `resources`, then --retry"
            )
            self._job.files.failure.write_text(why, encoding="utf-8")
            raise NotebookFailed(why)
        return DelayedSubmission(Attempt(self._job, self._root, self._needs, stalled))

    def _save(self, *_: Any) -> None:
        self._job.files.stop.parent.mkdir(parents=True, exist_ok=True)
        self._job.files.stop.touch()

    def _steps(self) -> int:
        return int(progress_of(self._job.folder).get("step", 0))


def do_nothing() -> None:
    """An array element without a run, which keeps the indices of matching arrays aligned."""
