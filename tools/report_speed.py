"""How long does the report take, and how much memory? On runs of the default grid with made scores of real size.

    python -m tools.report_speed [RUNS [PREDICTIONS]]

Lays out RUNS evaluations (200) of PREDICTIONS scored answers each (5,000, half with either prompts) as the grid plans
them, and executes the report on them twice. Asked: under 60 s and 4 GB, and 15 s where no run has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from gemvg_repro.grounding.samples import GROUNDING_KINDS, MODES
from gemvg_repro.launching.notebook import PAPERMILL
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.paths import project_root
from gemvg_repro.study.plan import plan

GRID = "sweeps/miniature.yaml"
SECONDS, GIGABYTES = (60, 15), 4


def table(rng: Generator, samples: int) -> pd.DataFrame:
    """Scores as `benchmarks.generalised.score` makes them, of scenes of two samples."""
    place = np.arange(samples)
    true = rng.integers(1, 4, samples)
    tp = rng.binomial(true, 0.7)
    return pd.DataFrame({
        "sample": [f"test/{n}" for n in place], "scene": [f"scene/{n // 2}" for n in place],
        "kind": np.array(GROUNDING_KINDS)[place // 2 % len(GROUNDING_KINDS)], "mode": "direct", "pictures": 2,
        "n_true": true, "n_predicted": tp + rng.binomial(true - tp, 0.8), "tp": tp, "iou": rng.random(samples),
        "picture_ok": rng.random(samples) < 0.9, "unreadable": False, "tokens": 20, "correct": None,
        "hops": 0, "difficulties": 0,
    })  # fmt: skip


def lay_out(runs: Path, seeds: list[int], evaluations: int, predictions: int) -> int:
    """Writes the evaluations of the grid's plan, at most so many; returns how many."""
    root = project_root()
    jobs = [job for job in plan(Grid.load(root / GRID, seeds), root / GRID, root, runs) if job.kind == "evaluate"]
    own = [job for job in jobs if not job.parameters["benchmarks"]][:evaluations]
    for n, job in enumerate(own):
        rng = np.random.default_rng(n)
        job.folder.mkdir(parents=True)
        tasks: list[dict[str, Any]] = []
        for mode in MODES:
            name = f"scores-generalised-{mode}.parquet"
            table(rng, predictions // len(MODES)).to_parquet(job.folder / name, index=False)
            tasks.append({"benchmark": "generalised", "mode": mode, "limited": False, "scores": name, "official": None})
        about = {"mode": job.parameters["mode"], "seed": job.seed, "overrides": {}, "id": job.key[-10:]}
        _write(job.folder / "parameters.json", {"kind": "evaluate", **about})
        _write(job.folder / "result.json", about | {"tasks": tasks, "cost": {"seconds": 60.0}})
    return len(own)


def execute(runs: Path, seeds: list[int], output: Path) -> tuple[float, float]:
    """Seconds of one execution of the report's notebook by wall clock, and of CPU."""
    command = [sys.executable, "-c", PAPERMILL, str(project_root() / "notebooks" / "report.ipynb"), str(output)]
    command += ["-k", "python3", "--no-progress-bar", "-p", "runs", str(runs), "-y", f"seeds: {seeds}"]
    started, used = time.monotonic(), _cpu_seconds()
    subprocess.run(command, cwd=project_root(), env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    return time.monotonic() - started, _cpu_seconds() - used


def main() -> int:
    """The command; 1 if it took longer, or more memory, than is asked."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.report_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=int, nargs="?", default=200, help="evaluations (default: 200)")
    parser.add_argument("predictions", type=int, nargs="?", default=5000, help="scored answers of each (default: 5000)")
    options = parser.parse_args()
    return measure(options.runs, options.predictions)


def measure(evaluations: int, predictions: int) -> int:
    """Lays the runs out, and executes the report on them twice."""
    seeds = [*range(-(-evaluations // 6))]
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        laid_out = lay_out(runs, seeds, evaluations, predictions)
        seconds = [execute(runs, seeds, Path(folder) / "report.ipynb") for _ in SECONDS]
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    (cold, cold_cpu), (again, again_cpu) = seconds
    print(
        f"{laid_out} runs of {predictions} predictions: {cold:.0f} s ({cold_cpu:.0f} of CPU), again {again:.0f} s "
        f"({again_cpu:.0f} of CPU), {memory:.1f} GB"
    )
    return int(cold > SECONDS[0] or again > SECONDS[1] or memory > GIGABYTES)


def _cpu_seconds() -> float:
    """Of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
