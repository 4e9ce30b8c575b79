"""How do the jobs of a study stand, for a person or a program to see?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..files.validation import printable
from .status import Entry, log_file

_STYLES = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "blocked": "red",
    "waiting": "dim",
    "missing": "dim",
}


def table(entries: Sequence[Entry]) -> RenderableType:
    """One row a job: run, state, progress, loss or reward, time left, and where and why; below it the counts.

    The columns of Slurm are there once a run was given to it.
    """
    slurm = any(entry.slurm for entry in entries)
    rows = Table(box=None, pad_edge=False)
    for column in ("run", "state", "progress", "", "loss / reward", "left", *(("node", "job", "why") * slurm)):
        numbers = column in ("loss / reward", "left")
        rows.add_column(column, justify="right" if numbers else "left", no_wrap=column in ("run", "job", "why"))
    for entry in entries:
        state = Text(entry.state, style=_STYLES[entry.state])
        job = entry.slurm.job if entry.slurm else ""
        rows.add_row(
            Text(entry.job.name), state, *_progress(entry), *((entry.node, job, Text(why(entry))) if slurm else ())
        )
    counts = {state: sum(entry.state == state for entry in entries) for state in _STYLES}
    return Group(rows, Text(", ".join(f"{n} {state}" for state, n in counts.items() if n), style="dim"))


def line(entry: Entry) -> str:
    """A job whose state has just changed, for a log file."""
    note = f": {why(entry)}" if entry.state == "blocked" else ""
    return f"{entry.job.name} {entry.state}{note}"


def why(entry: Entry) -> str:
    """In a few words, why a job waits or does not go on."""
    if entry.state == "blocked":
        return f"needs {printable(entry.note)}"
    if entry.state in ("failed", "waiting") and entry.note not in ("", "None"):
        first = printable(entry.note.splitlines()[0])
        return first if len(first) <= 80 else f"{first[:79]}…"
    return ""


def as_json(entry: Entry) -> dict[str, Any]:
    """A job for a program."""
    return {
        "run": entry.job.name,
        "folder": str(entry.job.folder),
        "state": entry.state,
        "progress": {k: v for k, v in entry.progress.items() if k in ("step", "total", "seconds_left")},
        "node": entry.node or None,
        "job": entry.slurm.job if entry.slurm else None,
        "why": entry.note or None,
        "log": str(log) if (log := log_file(entry)) else None,
        "needs": list(entry.job.needs),
    }


def _progress(entry: Entry) -> tuple[RenderableType, str, str, str]:
    progress = entry.progress if entry.state in ("running", "waiting", "failed", "missing") else {}
    step, total = progress.get("step"), progress.get("total")
    if step is None or not total:
        return "", "", "", ""
    measure = next((f"{k} {progress[k]:.3f}" for k in ("reward", "loss") if progress.get(k) is not None), "")
    seconds = progress.get("seconds_left") if entry.state == "running" else None
    left = "" if seconds is None else str(timedelta(seconds=round(seconds)))
    return ProgressBar(total=total, completed=step, width=14), f"{step}/{total}", measure, left
