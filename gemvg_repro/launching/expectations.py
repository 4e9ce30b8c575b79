"""What is a launch expected to take: hours, disk and memory of each run, before it is submitted?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table

from ..preflight.base_config import base_config
from ..preflight.costs import Expected, expected
from ..preflight.shapes import ModelShape
from ..study.devices import DEVICES
from ..study.plan import Job
from ..study.resources import Needs, Resources

GB = 1e9


@dataclass(frozen=True)
class Expectation:
    """What a run is expected to take, by kind of GPU; `memory`, in bytes, on each GPU and on the host."""

    job: Job
    needs: Needs
    by_gpu: dict[str, Expected]
    memory: float

    @property
    def hours(self) -> float | None:
        """GPU hours on the kind that the grid names; None where it names none."""
        return self.by_gpu[self.needs.gpu].hours if self.needs.gpu else None


def expectations(jobs: Sequence[Job], resources: Resources) -> list[Expectation]:
    """Of the unfinished jobs that compute on GPUs."""
    return list(_expectations(jobs, resources))


def _expectations(jobs: Sequence[Job], resources: Resources) -> Iterator[Expectation]:
    memory: dict[tuple[str, str, int], float] = {}
    for job in jobs:
        needs = resources.needs(job.kind)
        if not needs.gpus or job.finished or job.spec is None or job.kind == "data":
            continue
        profile, kind = job.spec.profile, job.kind
        config = base_config(profile)
        shape, steps = ModelShape.of(config), int(job.parameters.get("steps") or 0)
        by_gpu = {name: expected(kind, profile, shape, gpu, needs.gpus_in_all, steps) for name, gpu in DEVICES.items()}
        if (key := (kind, profile.name, needs.gpus_in_all)) not in memory:
            from ..preflight.estimates import memory_of  # torch, which takes seconds

            memory[key] = memory_of(kind, profile, config, needs.gpus_in_all).total
        yield Expectation(job, needs, by_gpu, memory[key])


def table(each: Sequence[Expectation]) -> Table:
    """One row a run, and all together."""
    rows = Table(title="expected, by formulas (gemvg_repro/preflight): no run of this size has been measured", box=None)
    rows.add_column("run")
    for head in ("GPUs", *(f"GPU h on {name}" for name in DEVICES), "GB a GPU", "GB of disk", "s a save"):
        rows.add_column(head, justify="right")
    for one in each:
        cost = next(iter(one.by_gpu.values()))
        hours = [f"{of_gpu.hours:.1f}" for of_gpu in one.by_gpu.values()]
        numbers = (f"{one.memory / GB:.0f}", f"{cost.disk / GB:.0f}", f"{cost.save_s:.0f}")
        rows.add_row(one.job.name, str(one.needs.gpus_in_all), *hours, *numbers)
    total = [f"{sum(one.by_gpu[name].hours for one in each):.0f}" for name in DEVICES]
    disk = sum(next(iter(one.by_gpu.values())).disk for one in each)
    rows.add_row("in all", "", *total, "", f"{disk / GB:.0f}", "")
    return rows


def utilisations() -> str:
    """What the hours assume."""
    shares = ", ".join(f"{name} {100 * gpu.utilisation:.0f} %" for name, gpu in DEVICES.items())
    return f"Hours assume mean sizes of samples, and in training a utilisation of {shares} of the maker's bf16 peak."
