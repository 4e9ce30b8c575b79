"""The statuses of jobs as a table, as lines of a log, or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..files.validation import printable
from .status import JobStatus, log_file

MAX_REASON_CHARACTERS = 400

_STYLES = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "blocked": "red",
    "waiting": "dim",
    "missing": "dim",
    "unknown": "yellow",
}


def table(statuses: Sequence[JobStatus]) -> RenderableType:
    """One row a job: run, state, progress, loss or reward, time left, and where and why; below it the counts.

    Slurm's columns are there once a run was submitted to it.
    """
    slurm = any(status.slurm for status in statuses)
    rows = Table(box=None, pad_edge=False)
    for column in ("run", "state", "progress", "", "loss / reward", "left", *(("node", "job", "why") * slurm)):
        numbers = column in ("loss / reward", "left")
        rows.add_column(column, justify="right" if numbers else "left", no_wrap=column != "why")
    for status in statuses:
        state = Text(status.state, style=_STYLES[status.state])
        job = status.slurm.job if status.slurm else ""
        rows.add_row(
            Text(status.job.name), state, *_progress(status), *((status.node, job, Text(why(status))) if slurm else ())
        )
    counts = {state: sum(status.state == state for status in statuses) for state in _STYLES}
    return Group(rows, Text(", ".join(f"{n} {state}" for state, n in counts.items() if n), style="dim"))


def line(status: JobStatus) -> str:
    """A job whose state has just changed, for a log file."""
    note = f": {why(status)}" if status.state == "blocked" else ""
    return f"{status.job.name} {status.state}{note}"


def why(status: JobStatus) -> str:
    """In one line, why a job waits, failed or is blocked."""
    if status.state == "blocked":
        return f"needs {printable(status.note)}"
    if status.state in ("failed", "waiting", "unknown") and status.note not in ("", "None"):
        return printable(status.note.splitlines()[0], MAX_REASON_CHARACTERS)
    return ""


def as_json(status: JobStatus) -> dict[str, Any]:
    """A job for a program."""
    return {
        "run": status.job.name,
        "folder": str(status.job.folder),
        "state": status.state,
        "progress": {k: v for k, v in status.progress.items() if k in ("step", "total", "seconds_left")},
        "node": status.node or None,
        "job": status.slurm.job if status.slurm else None,
        "why": status.note or None,
        "log": str(log) if (log := log_file(status)) else None,
        "needs": list(status.job.needs),
    }


def _progress(status: JobStatus) -> tuple[RenderableType, str, str, str]:
    progress = status.progress if status.state in ("running", "waiting", "failed", "missing") else {}
    step, total = progress.get("step"), progress.get("total")
    if step is None or not total:
        return "", "", "", ""
    measure = next((f"{k} {progress[k]:.3f}" for k in ("reward", "loss") if progress.get(k) is not None), "")
    seconds = progress.get("seconds_left") if status.state == "running" else None
    left = "" if seconds is None else str(timedelta(seconds=round(seconds)))
    return ProgressBar(total=total, completed=step, width=14), f"{step}/{total}", measure, left
