"""Runs a grid of the study on this machine: what is finished is skipped, what is unfinished goes on.

examples:
  python sweeps/launch.py                               the whole miniature study, then its report
  python sweeps/launch.py -n                            only the plan: what would run, and where it goes
  python sweeps/launch.py --seeds 0 1 2                 the same with three seeds
  python sweeps/launch.py --only 'hybrid*'              these runs, and the unfinished ones that they need
  python sweeps/launch.py --only '!evaluate-*'          all but these
  python sweeps/launch.py --status                      how far a study is, from any shell

A killed launcher loses nothing: give the same command again. Runs that still go on are waited for.
exit status: 0 all runs finished; 1 a run failed; 2 the grid or a parameter is wrong; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from gemvg_repro.study.parameters import ParameterError
from gemvg_repro.study.plan import REPORT, Grid, Job, Resources, plan, select
from gemvg_repro.study.runs import RunError
from gemvg_repro.study.schedule import Schedule, explain, states
from gemvg_repro.study.view import line, table

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 0.2


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", nargs="?", type=Path, default=ROOT / "sweeps" / "miniature.yaml", metavar="GRID.yaml")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show the plan, start and write nothing")
    parser.add_argument("--status", action="store_true", help="show how the runs stand, start nothing")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="runs by name, with * and ?; repeatable; '!PATTERN' excludes",
    )
    parser.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="instead of the grid's")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="runs side by side, instead of the grid's number")
    parser.add_argument(
        "--runs",
        type=Path,
        default=ROOT / "runs",
        metavar="DIR",
        help="the folder of all runs (default: %(default)s)",
    )
    asked = parser.parse_args()
    if asked.jobs is not None and asked.jobs < 1:
        parser.error(f"-j {asked.jobs}: expected 1 or more runs side by side")
    return asked


def main() -> int:
    """Carries the command line out; returns the exit status."""
    asked = arguments()
    grid_file, runs = asked.grid.resolve(), asked.runs.resolve()
    os.chdir(ROOT)  # from here on relative paths, such as a grid's data, count from the project
    console = Console()
    try:
        grid = Grid.load(grid_file, asked.seeds)
        resources = grid.resources.model_copy(update={"jobs": asked.jobs or grid.resources.jobs})
        jobs = select(plan(grid, grid_file, ROOT, runs), asked.only)
        if asked.dry_run or asked.status:
            return show(jobs, asked.dry_run, console)
        return run(jobs, resources, runs, console)
    except (ParameterError, RunError, NotImplementedError) as error:
        print(error, file=sys.stderr)
        return 2


def show(jobs: tuple[Job, ...], dry_run: bool, console: Console) -> int:
    """Prints how the runs stand, and for a dry run where each one goes and what it needs."""
    entries = states(jobs)
    console.print(table(entries))
    for entry in entries:
        if dry_run and entry.state != "finished":
            needs = ", ".join(key for key in entry.job.needs) or "nothing"
            job = entry.job
            print(f"{job.notebook.name} -> {job.folder} ({job.threads} threads; needs {needs})")
        elif entry.state == "failed":
            print(explain(entry))
    return int(any(entry.state == "failed" for entry in entries) and not dry_run)


def run(jobs: tuple[Job, ...], resources: Resources, runs: Path, console: Console) -> int:
    """Runs the jobs to their end, showing how they stand."""
    runs.mkdir(parents=True, exist_ok=True)
    schedule = Schedule(jobs, resources, ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        watch(schedule, console)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        schedule.cancel()
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    failed = [entry for entry in schedule.entries if entry.state == "failed"]
    for entry in failed:
        print(explain(entry), file=sys.stderr)
    if any(entry.job.is_report and entry.state == "finished" for entry in schedule.entries):
        print(runs / REPORT / "report.html")
    return int(bool(failed))


def watch(schedule: Schedule, console: Console) -> None:
    """Steps the schedule until it is over: a live table on a terminal, elsewhere a line for every change."""
    if console.is_terminal:
        with Live(table(schedule.entries), console=console, refresh_per_second=2) as live:
            while not schedule.over:
                schedule.step()
                live.update(table(schedule.entries))
                time.sleep(EVERY_S)
    else:
        for entry in schedule.entries:
            print(line(entry), flush=True)
        while not schedule.over:
            for entry in schedule.step():
                print(line(entry), flush=True)
            time.sleep(EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
