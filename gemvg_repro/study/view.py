"""How do the jobs of a study stand, for a person to see?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .schedule import Entry

_STYLES = {
    "finished": "green",
    "running": "cyan",
    "failed": "red",
    "blocked": "red",
    "waiting": "dim",
    "missing": "dim",
}


def table(entries: Sequence[Entry]) -> RenderableType:
    """One row a job: run, state, progress, loss or reward, time left; below it the count of each state."""
    rows = Table(box=None, pad_edge=False)
    for column in ("run", "state", "progress", "", "loss / reward", "left"):
        rows.add_column(column, justify="right" if column in ("loss / reward", "left") else "left")
    for entry in entries:
        state = Text(entry.state, style=_STYLES[entry.state])
        rows.add_row(Text(entry.job.name), state, *_progress(entry))
    counts = {state: sum(entry.state == state for entry in entries) for state in _STYLES}
    return Group(rows, Text(", ".join(f"{n} {state}" for state, n in counts.items() if n), style="dim"))


def line(entry: Entry) -> str:
    """A job whose state has just changed, for a log file."""
    note = f": needs {entry.note}" if entry.state == "blocked" else ""
    return f"{entry.job.name} {entry.state}{note}"


def _progress(entry: Entry) -> tuple[RenderableType, str, str, str]:
    progress = entry.progress if entry.state in ("running", "failed", "missing") else {}
    step, total = progress.get("step"), progress.get("total")
    if step is None or not total:
        return "", "", "", ""
    measure = next((f"{k} {progress[k]:.3f}" for k in ("reward", "loss") if progress.get(k) is not None), "")
    seconds = progress.get("seconds_left") if entry.state == "running" else None
    left = "" if seconds is None else str(timedelta(seconds=round(seconds)))
    return ProgressBar(total=total, completed=step, width=14), f"{step}/{total}", measure, left
