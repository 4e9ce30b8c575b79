"""Runs a grid of the study, on Slurm or on this machine: finished runs are skipped, unfinished ones go on.

examples:
  python sweeps/launch.py                               the whole miniature study, then its report
  python sweeps/launch.py -n                            only the plan: what would run, where, by which scripts
  python sweeps/launch.py --seeds 0 1 2                 the same with three seeds
  python sweeps/launch.py --only 'hybrid*'              these runs, and the unfinished ones that they need
  python sweeps/launch.py --only '!evaluate-*'          all but these
  python sweeps/launch.py --set steps=20 --set partition=gpu
  python sweeps/launch.py --status                      how a study stands, from any shell; --watch to follow it
  python sweeps/launch.py --logs sft-s0                 what a run last printed
  python sweeps/launch.py --retry                       on Slurm: the failed ones too

Where a Slurm answers it submits what is missing and returns; the cluster does the rest. Elsewhere it runs all
here and shows how it stands. A killed launcher loses nothing: give the same command again. What is queued or
running already is never started twice.
exit status: 0 no selected run has failed; 1 one has; 2 grid, parameters, data, Slurm or a full disk refuse; 130
stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.live import Live

from gemvg_repro.files.atomic import write_bytes
from gemvg_repro.files.validation import Refused, printable
from gemvg_repro.launching.local import Schedule
from gemvg_repro.launching.notebook import end, failure_of, launcher_of
from gemvg_repro.launching.slurm import SlurmError, answers, cancel_jobs, largest_array
from gemvg_repro.launching.slurm_arrays import Submitter, arrays, gpu_hours, settle, to_submit
from gemvg_repro.launching.status import Entry, explain, log_file, printed, states
from gemvg_repro.launching.status_table import as_json, line, table
from gemvg_repro.runs.json_files import RunError
from gemvg_repro.runs.layout import REPORT_PAGE, job_folder, launcher_folder, snapshots
from gemvg_repro.runs.ownership import Lock, OwnedError
from gemvg_repro.runs.snapshot import Snapshot
from gemvg_repro.study.parameters import DataParameters, ParameterError, TrainParameters
from gemvg_repro.study.plan import Grid, Job, named, plan, select
from gemvg_repro.study.resources import Resources

ROOT = Path(__file__).resolve().parents[1]
EVERY_S = 0.2
SLURM_EVERY_S = 2.0
OUTAGE_S = 15.0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("grid", nargs="?", type=Path, default=ROOT / "sweeps" / "miniature.yaml", metavar="GRID.yaml")
    what = parser.add_argument_group("instead of launching").add_mutually_exclusive_group()
    what.add_argument("-n", "--dry-run", action="store_true", help="show plan and sbatch scripts; start, write nothing")
    what.add_argument("--status", action="store_true", help="show how the runs stand")
    what.add_argument("--watch", action="store_true", help="show it until nothing waits or runs; Ctrl-C stops looking")
    what.add_argument("--logs", metavar="RUN", help="print what this run last printed; * and ? as in --only")
    what.add_argument(
        "--cancel", action="store_true", help="end what runs or waits, or --only some; what was done is kept"
    )
    which = parser.add_argument_group("which runs, and where")
    add = which.add_argument
    add(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="by name, with * and ?; repeatable; '!…' excludes",
    )
    add("--seeds", type=int, nargs="+", metavar="SEED", help="instead of the grid's")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="an axis or a resource, instead of the grid's")
    add("--retry", action="store_true", help="on Slurm: failed runs again, from where they were (here: always)")
    add("--cluster", choices=["auto", "slurm", "local"], help="instead of the grid's; auto: Slurm where one answers")
    add("-j", "--jobs", type=int, metavar="N", help="runs side by side: here, or on Slurm of each variant")
    add("--runs", type=Path, default=ROOT / "runs", metavar="DIR", help="the folder of all runs (default: %(default)s)")
    add("-y", "--yes", action="store_true", help="do not ask before spending GPU hours, or before cancelling")
    add("--json", action="store_true", help="print how the runs stand as JSON instead of as a table")
    asked = parser.parse_args()
    if asked.jobs is not None and asked.jobs < 1:
        parser.error(f"-j {asked.jobs}: expected 1 or more runs side by side")
    return asked


def main() -> int:
    """Carries the command line out; returns the exit status."""
    asked = arguments()
    grid_file, runs = asked.grid.resolve(), asked.runs.resolve()
    os.chdir(ROOT)  # from here on relative paths, such as a grid's data, count from the project
    console = Console(width=None if sys.stdout.isatty() else 180)
    try:
        grid = Grid.load(grid_file, asked.seeds, asked.set)
        jobs = plan(grid, grid_file, ROOT, runs)
        if asked.logs is not None:
            return logs(named(jobs, [asked.logs]))
        if asked.cancel:
            return cancel(jobs, asked)
        chosen = select(jobs, asked.only)
        if asked.status or asked.watch:
            return watch(chosen, asked.watch, asked.json, console)
        return launch(chosen, grid, asked, runs, console)
    except (ParameterError, RunError, SlurmError, Refused, OSError) as error:
        print(printable("\n".join([str(error), *getattr(error, "__notes__", ())])), file=sys.stderr)
        return 2


def launch(jobs: tuple[Job, ...], grid: Grid, asked: argparse.Namespace, runs: Path, console: Console) -> int:
    """Runs the jobs or submits them, or shows the plan of either."""
    name, why = choose(asked.cluster or grid.resources.cluster)
    if why and not asked.json:
        print(f"cluster: {name}, since {why}")
    check_data(jobs)
    code = Snapshot.of(ROOT, snapshots(runs))
    if name == "slurm":
        limit = {"parallel": asked.jobs} if asked.jobs else {}
        return submit(jobs, grid, grid.resources.model_copy(update=limit), asked, Submitter(runs, code), console)
    entries = states(jobs)
    if asked.dry_run:
        show(entries, asked.json, console)
        for job in (entry.job for entry in entries if entry.state != "finished" and not asked.json):
            needs = ", ".join(job.needs) or "nothing"
            print(f"{job.notebook.name} -> {job.folder} ({job.threads} threads; needs {needs})")
        return 0
    if queued := [entry.job.name for entry in entries if entry.queued]:
        raise SlurmError(f"in Slurm's hands already: {', '.join(queued)}; leave them to it, or --cancel them first")
    places = {"jobs": asked.jobs or grid.resources.jobs}
    return run(pinned(jobs, grid, runs), grid.resources.model_copy(update=places), code, asked.json, console)


def check_data(jobs: tuple[Job, ...]) -> None:
    """Refuses what could not be done, before anything waits for a place.

    Reads every given file of annotations, with all its images, and counts its prompts if GRPO is to be trained on it.
    """
    twice = sorted(name for name, n in Counter(job.name for job in jobs).items() if n > 1)
    if twice and any(job.is_report for job in jobs):
        raise ParameterError(
            f"the grid asks for {twice[0]} with several settings, and a report is of one: give the grid one value, "
            "as --set steps=20 does, or launch without the report: --only '!report'"
        )
    given = {
        job.parameters["data"]: job  # the last of each, which needs most of it
        for job in jobs
        if job.kind not in ("evaluate", "report") and job.parameters["data"] and not job.finished
    }
    for data, job in given.items():
        from gemvg_repro.stages.data import check

        print(f"reading {data} and its images", file=sys.stderr)
        check((DataParameters if job.kind == "data" else TrainParameters).check(job.parameters))


def choose(cluster: str) -> tuple[str, str]:
    """Slurm or this machine, and why, where that was to be found out."""
    if cluster != "auto":
        return cluster, ""
    missing = answers()
    return ("local", missing) if missing else ("slurm", "one answers here; --cluster local runs it on this machine")


def pinned(jobs: tuple[Job, ...], grid: Grid, runs: Path) -> tuple[Job, ...]:
    """The same jobs, the report with the grid as it is now: with --set, and whatever becomes of its file."""
    text = grid.dump().encode()
    file = launcher_folder(runs) / "grids" / f"{hashlib.sha256(text).hexdigest()[:12]}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, text)
    report = {"grid": str(file)}
    return tuple(replace(j, parameters={**j.parameters, **report}) if j.is_report else j for j in jobs)


def submit(
    jobs: tuple[Job, ...],
    grid: Grid,
    resources: Resources,
    asked: argparse.Namespace,
    submitter: Submitter,
    console: Console,
) -> int:
    """Submits what is missing to Slurm and says how all stand then; a dry run only says what it would submit."""
    resources = settle(resources)
    runs = jobs[0].folder.parent
    if asked.dry_run:
        entries = to_submit(states(jobs), asked.retry)
        made = arrays(entries, resources, largest_array())
        show(entries, asked.json, console)
        for number, array in enumerate(made if not asked.json else ()):
            ids = {n: f"<{made[n].name}>" for n in range(number)}
            print(f"\n# --- {array.name}\n{submitter.script(number, array, ids)}")
        return 0
    jobs = pinned(jobs, grid, runs)
    with turn(launcher_folder(runs) / "launch.lock"):  # of two launchers the second finds all done
        entries = to_submit(states(jobs), asked.retry)
        made = arrays(entries, resources, largest_array())
        submitter.check(made, resources)
        hours = gpu_hours(made)
        most = f"This may take up to {math.ceil(hours):,} GPU hours, in the first attempt of each run."
        if hours and not agreed(most, asked):
            return 130
        ids = submitter.submit(made)
    entries = states(jobs)
    status = show(entries, asked.json, console)
    if not asked.json:
        count = sum(job is not None for array in made for job in array.jobs)
        print(f"submitted {count} runs as {len(ids)} jobs or arrays of Slurm; --status says how they stand")
    return status


def turn(lock: Path) -> Lock:
    """Waits for its turn among launchers, and says so."""
    try:
        return Lock.take(lock, patience_s=0)
    except OwnedError as error:
        print(f"waiting for another launcher: {str(error).partition(';')[0]}", file=sys.stderr)
        return Lock.take(lock, patience_s=None)


def agreed(what: str, asked: argparse.Namespace) -> bool:
    """Asks the person at the terminal, if there is one."""
    if asked.yes or not sys.stdin.isatty():
        return True
    print(f"{what} Go on? [y/N] ", end="", file=sys.stderr, flush=True)  # not among what is printed for a program
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def show(entries: Sequence[Entry], as_json_too: bool, console: Console) -> int:
    """Prints how the runs stand and why some failed; returns the exit status."""
    failed = [entry for entry in entries if entry.state == "failed"]
    if as_json_too:
        print(json.dumps([as_json(entry) for entry in entries], indent=2))
    else:
        console.print(table(entries))
        for entry in failed:
            print(explain(entry))
    return int(bool(failed))


def watch(jobs: tuple[Job, ...], on: bool, as_json_too: bool, console: Console) -> int:
    """Shows how the jobs stand: once, or until none of them waits or runs any more."""
    entries = states(jobs)
    try:
        if on and console.is_terminal and not as_json_too:
            with Live(table(entries), console=console, refresh_per_second=2, transient=True) as live:
                while any(entry.active for entry in entries):
                    entries = later(jobs, entries)
                    live.update(table(entries))
        while on and any(entry.active for entry in entries):
            before, entries = [entry.state for entry in entries], later(jobs, entries)
            for entry in (e for e, state in zip(entries, before, strict=True) if e.state != state and not as_json_too):
                print(line(entry), flush=True)
    except KeyboardInterrupt:
        return 130
    return show(entries, as_json_too, console)


def later(jobs: Sequence[Job], entries: list[Entry]) -> list[Entry]:
    """How the jobs stand a moment later; as before, while Slurm does not answer: who watches for days sees that."""
    time.sleep(SLURM_EVERY_S)
    try:
        return states(jobs)
    except SlurmError as error:
        print(error, file=sys.stderr, flush=True)
        time.sleep(OUTAGE_S)
        return entries


def logs(jobs: tuple[Job, ...]) -> int:
    """Prints what runs last printed."""
    found = [(entry, log) for entry in states(jobs) if (log := log_file(entry))]
    for entry, log in found:
        print(f"==> {entry.job.name} ({entry.state}): {log}")
        print(*printed(log), sep="\n")
    if not found:
        print(f"{', '.join(job.name for job in jobs)}: nothing was printed yet", file=sys.stderr)
    return int(not found)


def cancel(jobs: tuple[Job, ...], asked: argparse.Namespace) -> int:
    """Ends the named runs that wait or run, and in Slurm what needs them; all that they did is kept.

    Without names, launchers on this machine end, too; with some, what does not need those goes on.
    """
    keys = {job.key for job in named(jobs, asked.only)}
    ended: list[Entry] = []
    for entry in states(jobs):
        needs = keys.intersection(entry.job.needs) if entry.slurm and not entry.job.is_report else ()
        if entry.active and (entry.job.key in keys or needs):
            ended.append(entry)
            keys.add(entry.job.key)
    nothing = "nothing was ended" if ended else "nothing waits or runs"
    if ended and not agreed(f"This ends {', '.join(entry.job.name for entry in ended)}.", asked):
        return 130
    cancel_jobs([entry.slurm.job for entry in ended if entry.slurm])
    launchers: dict[int, psutil.Process] = {}
    for entry in tuple(ended):
        if entry.slurm:
            job_folder(entry.job.folder).mkdir(parents=True, exist_ok=True)
            failure_of(entry.job).write_text(f"{entry.job.name} was ended by --cancel; --retry goes on with it")
        elif not (launcher := launcher_of(entry.job)):
            print(f"{entry.job.name} is left alone: no launcher on this machine started it ({entry.note})")
            ended.remove(entry)
        elif asked.only:
            end(entry.job)
        else:
            launchers[launcher.pid] = launcher
    for launcher in launchers.values():
        with suppress(psutil.NoSuchProcess):
            launcher.send_signal(signal.SIGTERM)  # it ends all that it has started
    psutil.wait_procs(list(launchers.values()), timeout=OUTAGE_S)
    if asked.json:
        show(states(jobs), True, Console())
    else:
        print(f"ended: {', '.join(entry.job.name for entry in ended)}" if ended else nothing)
    return 0


def run(jobs: tuple[Job, ...], resources: Resources, code: Snapshot, as_json_too: bool, console: Console) -> int:
    """Runs the jobs here to their end, showing how they stand."""
    root = code.make()
    report = next((job.folder / REPORT_PAGE for job in jobs if job.is_report), None)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    os.chdir(root)  # what runs is what was launched, whatever becomes of the checkout
    schedule = Schedule([replace(j, notebook=root / "notebooks" / j.notebook.name) for j in jobs], resources, root)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        step(schedule, Console(file=sys.stderr) if as_json_too else console)
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second one would leave the children running
        schedule.cancel()
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    failed = [entry for entry in schedule.entries if entry.state == "failed"]
    for entry in failed:
        print(explain(entry), file=sys.stderr)
    if as_json_too:
        print(json.dumps([as_json(entry) for entry in schedule.entries], indent=2))
    elif report and any(entry.job.is_report and entry.state == "finished" for entry in schedule.entries):
        print(report)
    return int(bool(failed))


def step(schedule: Schedule, console: Console) -> None:
    """Steps the schedule until it is over: a live table on a terminal, elsewhere a line for every change."""
    if console.is_terminal:
        with Live(table(schedule.entries), console=console, refresh_per_second=2) as live:
            while not schedule.over:
                schedule.step()
                live.update(table(schedule.entries))
                time.sleep(EVERY_S)
    else:
        for entry in schedule.entries:
            print(line(entry), flush=True, file=console.file)
        while not schedule.over:
            for entry in schedule.step():
                print(line(entry), flush=True, file=console.file)
            time.sleep(EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
