"""The end of a log, as text that is safe to print."""

from __future__ import annotations

from pathlib import Path

from ..files.validation import printable
from .notebook import ANSI

LOG_TAIL_BYTES = 100_000


def log_tail(log: Path) -> list[str]:
    """The lines at the end of a log, without control characters for a terminal."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        text = ANSI.sub("", file.read().decode("utf-8", errors="replace"))
    return [printable(line.replace("\t", "    ")) for line in text.splitlines()]
