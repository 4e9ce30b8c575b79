"""Why did a job of Slurm end without a result?"""

from __future__ import annotations

import signal

from .logs import log_tail
from .slurm import QueuedJob
from .submissions import Submission

SETUP_FAILED = "setup failed"
"""How the line begins that a job's script prints when a command of `setup` fails."""

MAX_LINE_CHARACTERS = 300

_ENDINGS = {
    "CANCELLED": "it was cancelled",
    "TIMEOUT": "it was killed at its time limit, before it could be requeued; raise signal_s or timeout_min",
    "OUT_OF_MEMORY": "it took more memory than it had requested; raise mem_gb",
    "NODE_FAIL": "its node failed, and Slurm did not requeue it",
    "PREEMPTED": "it made room for another job, and its partition does not requeue",
    "COMPLETED": "it came to its end and left no result.json",
}

_SIGNALS = {number.value for number in signal.Signals}
_LAUNCH_FAILED = "JobLaunchFailure"
_UNTOLD = ("", "None", "NonZeroExitCode", _LAUNCH_FAILED)
"""Reasons of Slurm that say no more than the exit code, or that are explained here."""


def ended_reason(submission: Submission, queued: QueuedJob | None) -> str:
    """What Slurm and the log say of a job that ended without a result, and what to do; `queued` None: it is forgotten.

    The log is what the job printed outside of its notebook.
    """
    if queued is None:
        return (
            f"Slurm does not know job {submission.job} any more: it was cancelled before it began, or ended long ago"
            " without a result; --retry submits it again"
        )
    ending = queued.state.partition(" ")[0]
    last_line = _last_line(submission)
    parts = [_ENDINGS.get(ending, ""), *_exit(queued), f"its log ends: {last_line}" if last_line else ""]
    if queued.reason == _LAUNCH_FAILED and not last_line:
        parts = [f"node {queued.node} could not launch it: it must see and be able to write {submission.log.parent}"]
    reason = f" ({queued.reason})" if queued.reason not in _UNTOLD else ""
    details = "; ".join(filter(None, parts))
    return f"job {queued.id} ended as {ending}{reason}{': ' if details else ''}{details}; --retry submits it again"


def _exit(queued: QueuedJob) -> list[str]:
    """The exit code, which a shell raises by 128 for a process that a signal killed, and the signal."""
    code, number = (int(part) for part in queued.exit_code.split(":"))
    number = number or (code - 128 if code > 128 else 0)
    if number in _SIGNALS:
        return [f"its process was killed by {signal.Signals(number).name}"]
    return [f"its exit code was {code}"] if code else []


def _last_line(submission: Submission) -> str:
    """The line with the failed command of `setup` or, if that succeeded, the last one."""
    if not submission.log.is_file():
        return ""
    lines = [line.strip()[:MAX_LINE_CHARACTERS] for line in log_tail(submission.log) if line.strip()]
    return next((line for line in reversed(lines) if line.startswith(SETUP_FAILED)), lines[-1] if lines else "")
