"""What does one run through Slurm cost beyond its own work, and where does the time go?

    python -m tools.slurm_overhead [RUNS]

Brings up a one-host Slurm, submits runs of one notebook that does nothing, one after another, and prints the median of
each leg. Processor seconds stand beside, since a busy machine stretches the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import nbformat

from gemvg_repro.launching.notebook import execute
from gemvg_repro.launching.slurm_arrays import Array
from gemvg_repro.launching.slurm_submission import Submitter
from gemvg_repro.runs.layout import snapshots
from gemvg_repro.runs.snapshot import Snapshot
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import Job, plan
from gemvg_repro.study.resources import Resources
from tests import tiny_project
from tools import one_host_slurm as one_host
from tools.one_host_slurm import Cluster

LEGS = {
    "sbatch": "submitit hands the script over",
    "queue": "Slurm starts it on a node",
    "srun, Python": "srun, Python, import of submitit",
    "papermill": "our attempt and papermill are imported",
    "kernel": "the kernel starts",
    "end": "the kernel ends, the notebook is kept",
    "exit": "submitit and Slurm end the job",
}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.slurm_overhead",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=int, nargs="?", default=7, help="one after another (default: 7)")
    runs = parser.parse_args().runs
    if problem := one_host.missing():
        sys.exit(problem)
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm")))
    with tempfile.TemporaryDirectory() as folder:
        try:
            cluster.up()
            os.environ.update(cluster.environment)
            measured = [measure(Path(folder) / f"study-{number}", cluster) for number in range(runs)]
        finally:
            cluster.down()
        spent = processor_seconds(Path(folder) / "alone")
    for leg, what in LEGS.items():
        times = sorted(one[leg] for one in measured)
        print(f"{leg:>14}  {median(times):6.2f} s  [{times[0]:.2f}, {times[-1]:.2f}]  {what}")
    total = sorted(sum(one.values()) for one in measured)
    load = os.getloadavg()[0]
    print(f"{'in all':>14}  {median(total):6.2f} s  [{total[0]:.2f}, {total[-1]:.2f}]  {runs} runs, load {load:.1f}")
    print("processor seconds: " + ", ".join(f"{what} {seconds:.2f}" for what, seconds in spent.items()))
    return 0


def project(root: Path) -> Job:
    """A study whose first job does nothing but say that it is done."""
    tiny_project.project(root)
    file = root / "sweeps" / "miniature.yaml"
    job = next(job for job in plan(Grid.load(file), file, root, root / "runs") if job.name == "data")
    result = json.dumps({"id": job.key.rpartition("-")[2]})
    done = (
        f"import os; os.makedirs({str(job.folder)!r}); open({str(job.folder / 'result.json')!r}, 'w').write({result!r})"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(done)]), job.notebook)
    return job


def measure(root: Path, cluster: Cluster) -> dict[str, float]:
    """Seconds of each leg of one run."""
    job = project(root)
    needs = Resources(setup=[f"date +%s.%N > {root}/began"], timeout_min=10, signal_s=30).needs("data")
    submitter = Submitter(root / "runs", Snapshot.of(root, snapshots(root / "runs")))
    submitter._code.make()
    at = [time.time()]
    ids = submitter.submit([Array("data", (job,), needs)])
    at.append(time.time())
    while cluster.ask("squeue", "-h", "-j", ids[0], "-t", "PD,R,CG"):
        time.sleep(0.02)
    ended = time.time()
    log = (submitter.folder / f"{ids[0]}_0_log.out").read_text()
    logged = [datetime.strptime(t, "%Y-%m-%d %H:%M:%S,%f").timestamp() for t in re.findall(r"INFO \((.*?)\)", log)]
    papermill, first, last = executed(job)
    at += [float((root / "began").read_text()), logged[0], papermill, first]
    legs = [after - before for before, after in pairwise(at)]
    return dict(zip(LEGS, [*legs, logged[-1] - last, ended - logged[-1]], strict=True))


def executed(job: Job) -> tuple[float, float, float]:
    """When papermill began, its first cell began, its last ended."""
    book = json.loads((job.folder / "notebook.ipynb").read_text())
    cells = [cell["metadata"]["papermill"] for cell in book["cells"]]
    times = (book["metadata"]["papermill"]["start_time"], cells[0]["start_time"], cells[-1]["end_time"])
    begun, first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in times)
    return begun, first, last


def processor_seconds(root: Path) -> dict[str, float]:
    """Of what each run does anew, without Slurm."""
    job = project(root)
    spent = [used()]
    for what in ("import submitit.core._submit", "import submitit.core._submit, gemvg_repro.launching.slurm_job"):
        subprocess.run([sys.executable, "-c", what], check=True)
        spent.append(used())
    execute(job, root)
    spent.append(used())
    submitit, attempt, notebook = (after - before for before, after in pairwise(spent))
    return {"Python and submitit": submitit, "our attempt": attempt - submitit, "papermill and its kernel": notebook}


def used() -> float:
    """Processor seconds of all processes that this one has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


if __name__ == "__main__":
    sys.exit(main())
