"""Printing how runs stand, and asking the person at the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console

from ..status import JobStatus, explain
from ..status_table import as_json, table


class Terminal(Console):
    """A console that is wide where it is no terminal, and leaves a reader that has gone (`| head`) to the caller."""

    def __init__(self) -> None:
        super().__init__(width=None if sys.stdout.isatty() else 180)

    def on_broken_pipe(self) -> None:
        """Instead of rich's exit with status 1, which says here that a run has failed.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError


def print_statuses(statuses: Sequence[JobStatus], json_output: bool, console: Console) -> int:
    """Prints how the runs stand and why some failed; returns the exit status, 1 if one has failed."""
    failed = [status for status in statuses if status.state == "failed"]
    if json_output:
        print(json.dumps([as_json(status) for status in statuses], indent=2))
    else:
        console.print(table(statuses))
        for status in failed:
            print(explain(status))
    return int(bool(failed))


def confirm(consequence: str, yes: bool) -> bool:
    """Asks whether to go on; without a terminal, or with --yes, the answer is yes."""
    if yes or not sys.stdin.isatty():
        return True
    print(f"{consequence} Go on? [y/N] ", end="", file=sys.stderr, flush=True)  # stdout may be read by a program
    return sys.stdin.readline().strip().lower() in ("y", "yes")
