"""A job of Slurm: executes a notebook, saves and requeues itself when its time ends or it is preempted."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission
from submitit.helpers import Checkpointable

from ..runs.directory import Interrupted
from ..runs.ownership import owner_of
from ..runs.progress import progress_of
from ..study.plan import Job
from ..study.resources import EARLY_S, Needs
from .notebook import NotebookFailed, execute
from .slurm import seconds_left

MAX_STALLED_ATTEMPTS = 3
"""A run that reaches its time limit so often in a row without saving a new step fails, or it would never end."""

KILL_WAIT_S = 600
"""After SIGTERM alone a cancelled job is ended after the cluster's KillWait, 30 s by default. What lives so long after
it was preempted, and waits for the end of its partition's GraceTime."""

REQUEUE_S = 10
"""Seconds before the time limit at which a job is requeued, whether its run has saved or not."""

POLL_S = 5.0
"""How often an attempt looks how long steps and saves take."""

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

    Slurm sends SIGUSR2 as early as the script says. Unless `signal_s` is set by hand, an attempt whose saves and steps
    turn out to take longer sends it to itself, in time.
    """

    def __init__(self, job: Job, root: Path, needs: Needs, stalled: int = 0) -> None:
        self._job = job
        self._root = root
        self._needs = needs
        self._stalled = stalled
        self._ends = time.monotonic() + needs.timeout_min * 60
        self._saved_before = 0
        self._longest_step_s = 0.0

    def __call__(self) -> None:
        """Executes the notebook, unless the run is finished."""
        self._ends = time.monotonic() + self._needs.timeout_min * 60
        self._ends = time.monotonic() + self._seconds_left()
        self._saved_before = self._saved_step()
        signal.signal(signal.SIGTERM, self._request_stop)
        stop_is_pending = not signal.sigpending().isdisjoint(SIGNALS)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if self._needs.signal_s is None:
            threading.Thread(target=self._signal_in_time, name="time-limit", daemon=True).start()
        try:
            if not stop_is_pending:
                return execute(self._job, self._root, self._needs)
        except Interrupted:
            pass
        # Returning now would count as a failure. Slurm kills a cancelled job, and kills and requeues a preempted one;
        # or SIGUSR2 follows, in the end by ourselves.
        time.sleep(KILL_WAIT_S)
        signal.raise_signal(signal.SIGUSR2)

    def checkpoint(self, *_: Any, **__: Any) -> DelayedSubmission:
        """Called at SIGUSR2: waits until the run has saved; returns what the requeued job is to do.

        Raises:
            NotebookFailed: it has reached its time limit too often without saving a new step.
        """
        self._request_stop()
        seconds_left = self._seconds_left()
        is_time_limit = seconds_left <= self._lead_s() + EARLY_S + REQUEUE_S
        # The run's owner is the kernel. It gives the run up once all is on disk; it has none before it has begun.
        deadline = time.monotonic() + seconds_left - REQUEUE_S
        while owner_of(self._job.files.owner_lock) is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        stalled = self._stalled + 1 if is_time_limit and self._saved_step() <= self._saved_before else 0
        if stalled >= MAX_STALLED_ATTEMPTS:
            self._job.files.failure.write_text(self._stalled_message(stalled), encoding="utf-8")
            raise NotebookFailed(self._stalled_message(stalled))
        return DelayedSubmission(Attempt(self._job, self._root, self._needs, stalled))

    def _stalled_message(self, stalled: int) -> str:
        save_s = self._progress().get("save_seconds")
        took = f" Its last save took {save_s:.0f} s." if save_s else ""
        if self._needs.signal_s is not None:
            lead_s = self._needs.model_copy(update={"signal_s": None}).lead_s(save_s, self._longest_step_s)
            value = f"{lead_s:.0f} or more" if save_s else "more"
            took += f" signal_s leaves {self._needs.signal_s} s to end a step and save: set {value}, or leave it out."
        return (
            f"{self._job.name} reached its time limit of {self._needs.timeout_min} min {stalled} times in a row"
            f" without saving a new step.{took} Raise timeout_min under `resources` if that is not enough, then --retry"
        )

    def _signal_in_time(self) -> None:
        """Sends SIGUSR2 as early as the saves and steps of this run have turned out to need."""
        step, since = self._progress().get("step"), time.monotonic()
        while self._ends - time.monotonic() > self._lead_s():
            time.sleep(POLL_S)
            now = self._progress().get("step")
            if now != step:
                self._longest_step_s = max(self._longest_step_s, time.monotonic() - since if step is not None else 0.0)
                step, since = now, time.monotonic()
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGUSR2)  # the main thread waits for the notebook, and is woken by it

    def _lead_s(self) -> float:
        return self._needs.lead_s(self._progress().get("save_seconds"), self._longest_step_s)

    def _seconds_left(self) -> float:
        """Until the time limit: as Slurm has it, which somebody may have changed, else by our own clock."""
        job = os.environ.get("SLURM_JOB_ID")
        by_slurm = seconds_left(job) if job else None
        return max(0.0, self._ends - time.monotonic() if by_slurm is None else by_slurm)

    def _request_stop(self, *_: Any) -> None:
        self._job.files.stop.parent.mkdir(parents=True, exist_ok=True)
        self._job.files.stop.touch()

    def _saved_step(self) -> int:
        """The last step that survives: that of a training's sealed checkpoint; others write each step as they go."""
        progress = self._progress()
        return int(progress.get("sealed_step", progress.get("step", 0)))

    def _progress(self) -> dict[str, Any]:
        return progress_of(self._job.folder)


def do_nothing() -> None:
    """An array element without a run, which keeps the indices of matching arrays aligned."""
