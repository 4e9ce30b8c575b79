"""Runs a grid of the study, on Slurm or on this machine: finished runs are skipped, unfinished ones resume.

examples:
  python sweeps/launch.py                               the whole miniature study, then its report
  python sweeps/launch.py -n                            only the plan: what would run, where, by which scripts
  python sweeps/launch.py --seeds 0 1 2                 the same with three seeds
  python sweeps/launch.py --only 'hybrid*'              these runs, and the unfinished ones that they need
  python sweeps/launch.py --only '!evaluate-*'          all but these
  python sweeps/launch.py --set steps=20 --set partition=gpu
  python sweeps/launch.py --status                      how what was launched last stands, from any shell; --watch
                                                        to follow it, --launches for what was launched before
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
import os
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console

from gemvg_repro.files.validation import Refused, printable
from gemvg_repro.launching.commands import run_here, submit
from gemvg_repro.launching.commands.cancel import cancel
from gemvg_repro.launching.commands.clean import clean
from gemvg_repro.launching.commands.list_launches import print_launches
from gemvg_repro.launching.commands.submit import SubmitOptions
from gemvg_repro.launching.commands.terminal import Terminal
from gemvg_repro.launching.commands.watch import print_logs, watch
from gemvg_repro.launching.launches import LaunchRecords, Request
from gemvg_repro.launching.slurm import SlurmError, unavailable_reason
from gemvg_repro.launching.slurm_submission import Submitter
from gemvg_repro.launching.weights import check_weights
from gemvg_repro.runs.json_files import RunError
from gemvg_repro.runs.layout import snapshots
from gemvg_repro.runs.snapshot import Snapshot
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.parameters import EXPORTED, ParameterError
from gemvg_repro.study.plan import Job, named, plan, select

ROOT = Path(__file__).resolve().parents[1]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("grid", nargs="?", type=Path, default=ROOT / "sweeps" / "miniature.yaml", metavar="GRID.yaml")
    what = parser.add_argument_group("instead of launching").add_mutually_exclusive_group()
    what.add_argument("-n", "--dry-run", action="store_true", help="show plan and sbatch scripts; start, write nothing")
    what.add_argument("--status", action="store_true", help="show how the runs stand")
    what.add_argument("--watch", action="store_true", help="show it until nothing waits or runs; Ctrl-C stops looking")
    what.add_argument("--launches", action="store_true", help="list what was launched, and how it stands")
    what.add_argument("--logs", metavar="RUN", help="print what this run last printed; * and ? as in --only")
    what.add_argument(
        "--cancel", action="store_true", help="end what runs or waits, or --only some; what was done is kept"
    )
    parser.add_argument(
        "--clean",
        action="store_true",
        help="remove checkpoints and weights that nothing needs any more; -n counts them",
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
    options = parser.parse_args()
    if options.jobs is not None and options.jobs < 1:
        parser.error(f"-j {options.jobs}: expected 1 or more runs side by side")
    if options.clean and (options.status or options.watch or options.launches or options.cancel or options.logs):
        parser.error("--clean: expected no other command beside it but -n")
    return options


def main() -> int:
    """Carries the command line out; returns the exit status."""
    options = arguments()
    grid_file, runs = options.grid.resolve(), options.runs.resolve()
    os.chdir(ROOT)  # from here on relative paths, such as a grid's data, count from the project
    try:
        exit_status = carry_out(options, grid_file, runs, Terminal())
        sys.stdout.flush()
        return exit_status
    except BrokenPipeError:  # whoever read the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as interrupt:
        print("\n".join(["stopped", *getattr(interrupt, "__notes__", ())]), file=sys.stderr)
        return 130
    except (ParameterError, RunError, SlurmError, Refused, OSError) as error:
        print(printable("\n".join([str(error), *getattr(error, "__notes__", ())])), file=sys.stderr)
        return 2


def carry_out(options: argparse.Namespace, grid_file: Path, runs: Path, console: Console) -> int:
    """Does what the options say; returns the exit status."""
    records = LaunchRecords(runs, ROOT)
    if options.launches:
        return print_launches(records, options.json, console)
    launches = not (options.status or options.watch or options.cancel or options.clean or options.logs is not None)
    as_launched = not (launches or options.seeds or options.set)
    jobs = records.launched_jobs(grid_file) if as_launched else ()
    if not jobs:
        grid = Grid.load(grid_file, options.seeds, options.set)
        jobs = plan(grid, grid_file, ROOT, runs, ("read" if options.dry_run else "remember") if launches else "look")
        if launches:
            return launch(jobs, Request(grid_file, grid, options.seeds or [], options.set), options, runs, console)
    if options.logs is not None:
        return print_logs(named(jobs, [options.logs]))
    if options.cancel:
        return cancel(jobs, options.only, options.yes, options.json)
    if options.clean:
        return clean(jobs, options.only, records, options.dry_run, options.yes)
    return watch(select(jobs, options.only), options.watch, options.json, console)


def launch(
    whole_plan: tuple[Job, ...], request: Request, options: argparse.Namespace, runs: Path, console: Console
) -> int:
    """Runs the selected jobs here or submits them to Slurm, or shows the plan of either; returns the exit status."""
    jobs, grid = select(whole_plan, options.only), request.grid
    cluster, reason = choose_cluster(options.cluster or grid.resources.cluster)
    if reason and not options.json:
        print(f"cluster: {cluster}, since {reason}")
    if EXPORTED in str(grid.benchmarks) and any(job.parameters.get("data") for job in jobs):
        print("benchmarks that are exported are left out where data is given: they are the profile's own data's")
    check_data(jobs)
    check_weights(jobs, whole_plan)
    code = Snapshot.of(ROOT, snapshots(runs))
    if cluster == "local":
        if options.dry_run:
            return run_here.dry_run(jobs, grid.resources, options.json, console)
        resources = grid.resources.model_copy(update={"jobs": options.jobs or grid.resources.jobs})
        return run_here.run_here(jobs, whole_plan, request, resources, code, options.json, console)
    resources = grid.resources.model_copy(update={"parallel": options.jobs} if options.jobs else {})
    words = SubmitOptions(options.retry, options.yes, options.json)
    if options.dry_run:
        return submit.dry_run(jobs, resources, Submitter(runs, code), words, console)
    return submit.submit(jobs, whole_plan, request, resources, Submitter(runs, code), words, console)


def choose_cluster(cluster: str) -> tuple[str, str]:
    """`slurm` or `local`, and the reason where the grid leaves it open (`auto`)."""
    if cluster != "auto":
        return cluster, ""
    missing = unavailable_reason()
    return ("local", missing) if missing else ("slurm", "one answers here; --cluster local runs it on this machine")


def check_data(jobs: tuple[Job, ...]) -> None:
    """Refuses data that a run would refuse, before anything waits for a place.

    Reads every given file of annotations, with all its images, and counts its prompts if GRPO is to be trained on it.

    Raises:
        ParameterError: the grid asks for a run with several settings, and for a report.
        Refused: a file or an image is not as it should be.
    """
    twice = sorted(name for name, n in Counter(job.name for job in jobs).items() if n > 1)
    if twice and any(job.is_report for job in jobs):
        raise ParameterError(
            f"the grid asks for {twice[0]} with several settings, and a report is of one: give the grid one value, "
            "as --set steps=20 does, or launch without the report: --only '!report'"
        )
    job_by_data = {
        (job.parameters["data"], job.parameters["images"]): job  # the last of each, which needs most of it
        for job in jobs
        if job.kind not in ("evaluate", "report") and job.parameters["data"] and not job.finished
    }
    for (data, _), job in job_by_data.items():
        from gemvg_repro.stages.data import check

        print(f"reading {data} and its images", file=sys.stderr)
        if job.spec:
            check(job.spec)


if __name__ == "__main__":
    sys.exit(main())
