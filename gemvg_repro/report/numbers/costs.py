"""What did each run cost: seconds, tokens, FLOPs and memory?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .collect import PURPOSES, Collection, Run
from .scores import Row

PARTS = ("generate", "train", "optimise", "measure")
"""Of a training's step (training/step_times.py)."""

COSTS = (
    *("seconds", "tokens_trained", "tokens_generated", "flops", "flops_unshared", "peak_memory_mb"),
    *("peak_gpu_memory_mb", "steps", "tokens_per_second", "seconds_of_steps", *(f"seconds_{part}" for part in PARTS)),
)
"""As result.json has them."""

UNFINISHED = "unfinished"
"""In place of a purpose, of seconds that have led to no result yet."""

SPENT = (*COSTS, "attempts", "gpu_hours")
"""With what follows from environment.json: processes that made the run, and hours times GPUs, where there are any."""


def rows(collection: Collection) -> Iterator[Row]:
    """The cost of each run and its seconds with all prerequisites; of trainings the means over seeds, too.

    Of a training that failed or is not at its end, the seconds of its steps.
    """
    directories = {run.directory.name: run for run in collection.counted}

    def with_prerequisites(run: Run) -> set[str]:
        """The directories of the run and of all its prerequisites, each once."""
        names = run.result.get("prerequisites", {}).values()
        before = [directories[name] for name in names if name in directories]
        return {run.directory.name}.union(*map(with_prerequisites, before))

    def in_all(run: Run) -> float:
        costs = [directories[name].result.get("cost", {}) for name in with_prerequisites(run)]
        return float(sum(cost.get("seconds", np.nan) for cost in costs))

    trained: dict[str, list[tuple[Run, dict[str, float]]]] = {}
    for run in [one for purpose in PURPOSES if purpose != "answers" for one in collection.finished(purpose)]:
        costs = _spent(run)
        for metric, value in (costs | {"seconds_in_all": in_all(run)}).items():
            yield (run.name, run.variant, run.seed, "", run.purpose, "", metric, value, None, None, None)
        if run.purpose == "training":
            own = {f"{metric}_of_stage": value for metric, value in costs.items()}
            trained.setdefault(run.variant, []).append((run, own | {"seconds_in_all": in_all(run)}))
    for run in collection.counted:
        if run.state in ("unfinished", "failed") and (seconds := _logged_seconds(run)):
            yield (run.name, run.variant, run.seed, "", UNFINISHED, "", "seconds", seconds, None, None, None)
    for variant, each in trained.items():
        names = " ".join(run.name for run, _ in each)
        for name, average in pd.DataFrame([costs for _, costs in each]).mean(skipna=False).items():
            yield (names, variant, None, "", "training", "", str(name), average, None, None, None)


def _spent(run: Run) -> dict[str, float]:
    """What a run cost, as far as it is known: SPENT. Of an attempt that was killed, the seconds up to its last save."""
    cost, environment = run.result.get("cost", {}), run.environment
    costs: dict[str, float] = {metric: cost[metric] for metric in COSTS if cost.get(metric) is not None}
    if environment:
        costs["attempts"] = 1 + len(environment.get("earlier", ()))
    gpus = [device for device in environment.get("devices", ()) if device != "cpu"]
    if gpus and "seconds" in costs:
        used = max(len(gpus), environment.get("processes", 1))  # the devices are those of the first node
        costs["gpu_hours"] = costs["seconds"] / 3600 * used
    return costs


def _logged_seconds(run: Run) -> float:
    """Of the steps of all attempts, up to the last that was logged; 0 of a run that logs none."""
    log = run.log()
    return float(log["seconds"].iloc[-1]) if len(log) and "seconds" in log else 0.0
