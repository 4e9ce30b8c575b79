"""The command `--launches`: what was launched into a folder of runs, and how it stands."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..launches import LaunchRecords
from ..status import job_statuses


def print_launches(records: LaunchRecords, json_output: bool, console: Console) -> int:
    """Prints all launches, the last one below; returns the exit status."""
    launches = records.all()
    jobs = {job.key: job for launch in launches for job in records.jobs(launch)}
    states = {status.job.key: status.state for status in job_statuses(list(jobs.values()))} if jobs else {}
    counts = [Counter(states[job.key] for job in records.jobs(launch)) for launch in launches]
    if json_output:
        content = [{**asdict(launch), "states": count} for launch, count in zip(launches, counts, strict=True)]
        print(json.dumps(content, indent=2))
        return 0
    rows = Table("started", "where", "runs", "arguments (add --status to look at it)", box=None, pad_edge=False)
    for launch, count in zip(launches, counts, strict=True):
        summary = ", ".join(f"{n} {state}" for state, n in count.items())
        rows.add_row(launch.started.replace("T", " "), launch.where, summary, Text(launch.command))
    console.print(rows if launches else "nothing was launched yet")
    return 0
