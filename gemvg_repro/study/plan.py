"""Which notebooks does a grid ask for, in which order, and with which parameters?"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

from ..runs.directory import result_of
from ..runs.layout import JobFiles
from .benchmark_content import Reading
from .grid import Grid
from .parameters import (
    EXPORTED,
    DataParameters,
    EvaluateParameters,
    ParameterError,
    Parameters,
    ReportParameters,
    TrainParameters,
)
from .spec import Resolver, RunSpec
from .variants import BASE

REPORT = "report"
MINIATURE = "miniature"
"""The grid whose report has no name of its own."""


@dataclass(frozen=True)
class Job:
    """One execution of a notebook.

    Attributes:
        name: for people: `hybrid-s0`, `evaluate-hybrid-s0`, `data`, `report`.
        notebook: the notebook that is executed.
        parameters: what it is given.
        folder: the run directory; the report's holds what it writes, and no result.json.
        needs: folder names of the runs that must be finished before.
        threads: how many threads the run computes with.
        spec: the run that it makes; None of the report, which makes none.
    """

    name: str
    notebook: Path
    parameters: Mapping[str, Any]
    folder: Path
    needs: tuple[str, ...]
    threads: int
    spec: RunSpec[Any] | None = field(default=None, repr=False, compare=False)

    @property
    def key(self) -> str:
        """The name of the run directory: no two jobs of a plan share it."""
        return self.folder.name

    @property
    def files(self) -> JobFiles:
        """What its executions leave."""
        return JobFiles(self.folder)

    @property
    def kind(self) -> str:
        """`data`, `evaluate`, `report`, or the mode of a training: what its needs of a machine go by."""
        stem = self.notebook.stem
        return str(self.parameters["mode"]) if stem == "train" else stem

    @property
    def seed(self) -> int | None:
        """The seed; None for what all seeds share."""
        return None if self.parameters.get("mode") == "base" else self.parameters.get("seed")

    @property
    def is_report(self) -> bool:
        """The report follows all others, whether they succeeded or not, and is always made anew."""
        return self.name == REPORT

    @property
    def finished(self) -> bool:
        """Whether there is nothing to do."""
        return not self.is_report and result_of(self.folder) is not None


def job_of(spec: RunSpec[Any], root: Path, runs: Path) -> Job:
    """The execution of a run's notebook below `root`, in the folder `runs`.

    It runs elsewhere than where it was planned: what is given relative to the project becomes absolute.
    """
    parameters = spec.parameters
    given = {"data": parameters.given, "images": parameters.images_folder}
    paths = {name: str(path) for name, path in given.items() if path}
    return Job(
        name=spec.identity.name,
        notebook=root / "notebooks" / parameters.notebook,
        parameters={**dict(parameters), "runs": str(runs), **paths},
        folder=runs / spec.identity.folder_name,
        needs=tuple(need.identity.folder_name for need in spec.needs),
        threads=spec.threads,
        spec=spec,
    )


def plan(grid: Grid, grid_file: Path, root: Path, runs: Path, reading: Reading = "look") -> tuple[Job, ...]:
    """The jobs of a grid, each after those it needs: data, trainings, evaluations of variants, benchmarks, the report.

    Args:
        grid: the grid, of `grid_file`.
        root: the project, whose notebooks are executed.
        runs: the folder of all runs.
        reading: whether the files of benchmarks may be read, and remembered. Of one that was never read, by `look`, the
            runs have ids that no run has.

    Raises:
        ParameterError: before anything is started, when a notebook would refuse what it is given.
        Refused: files of a benchmark are missing.
    """
    resolve = Resolver(reading=reading)
    jobs: dict[str, Job] = {}
    kinds: list[tuple[type[Parameters], Mapping[str, str]]] = [(TrainParameters, {}), (EvaluateParameters, {})]
    kinds += [(EvaluateParameters, group) for group in grid.benchmark_groups()]
    for (kind, group), point in product(kinds, grid.points()):
        if point["mode"] == BASE:
            if kind is TrainParameters:
                continue
            point.pop("seed", None)  # it has none: one run serves all seeds
        values = {k: v for k, v in point.items() if k in kind.model_fields}
        if group:
            values["benchmarks"] = {k: v for k, v in group.items() if v != EXPORTED or not point.get("data")}
            if not values["benchmarks"]:
                continue  # the exports are of the profile's own data
        spec = resolve(kind.check({**values, "runs": str(runs), "prerequisites": "require"}))
        for each in spec.chain:
            jobs.setdefault(each.identity.folder_name, job_of(each, root, runs))
    seeds = sorted({int(point["seed"]) for point in grid.points() if "seed" in point})
    values = {k: v for k, v in next(grid.points()).items() if k == "profile"}
    folder = report_folder(grid_file)
    own = {"runs": str(runs), "grid": str(grid_file), "seeds": seeds, "folder": folder}
    report = ReportParameters.check({**values, **own})
    jobs[folder] = Job(REPORT, root / "notebooks" / report.notebook, dict(report), runs / folder, tuple(jobs), 1)
    for kind in (DataParameters, TrainParameters, EvaluateParameters, ReportParameters):
        check_notebook(root / "notebooks" / kind.notebook, kind)
    return tuple(jobs.values())


def report_folder(grid_file: Path) -> str:
    """The name of the folder of a grid's report: `report` of miniature.yaml, `report-controls` of controls.yaml."""
    name = re.sub(r"[^a-z0-9_]+", "-", grid_file.stem.lower()).strip("-")
    return REPORT if name == MINIATURE else f"{REPORT}-{name}"


def named(jobs: Sequence[Job], patterns: Iterable[str]) -> tuple[Job, ...]:
    """The jobs whose names match one of the shell patterns (all, if there is none), less those of `!pattern`.

    Raises:
        ParameterError: when a pattern matches nothing.
    """
    included = [p for p in patterns if not p.startswith("!")] or ["*"]
    excluded = [p[1:] for p in patterns if p.startswith("!")]
    names = ", ".join(job.name for job in jobs)
    for pattern in (*included, *excluded):
        if not any(fnmatchcase(job.name, pattern) for job in jobs):
            raise ParameterError(f"{pattern!r} matches no run of the grid. Its runs: {names}")

    def among(job: Job, some: Iterable[str]) -> bool:
        return any(fnmatchcase(job.name, pattern) for pattern in some)

    return tuple(job for job in jobs if among(job, included) and not among(job, excluded))


def select(jobs: Sequence[Job], patterns: Sequence[str]) -> tuple[Job, ...]:
    """The jobs that the patterns name, with the unfinished ones that they need and, unless excluded, the report.

    Raises:
        ParameterError: when a pattern matches nothing, or excludes an unfinished run that a selected one needs.
    """
    excluded = [p for p in patterns if p.startswith("!")]
    allowed = {job.key for job in named(jobs, excluded)}
    chosen = {job.key for job in named(jobs, patterns)} | {j.key for j in jobs if j.is_report and j.key in allowed}
    unfinished = {job.key for job in jobs if not job.finished}
    for job in reversed(jobs):  # from the last to the first, so that needs of needs are found
        if job.key in chosen and job.key not in allowed:
            raise ParameterError(f"--only '!…' excludes {job.name}, which is not finished and which others need")
        if job.key in chosen & unfinished and not job.is_report:
            chosen.update(unfinished.intersection(job.needs))
    if not chosen:
        raise ParameterError(f"--only {' '.join(patterns)} leaves no run of the grid")
    return tuple(job for job in jobs if job.key in chosen)


def check_notebook(notebook: Path, kind: type[Parameters]) -> None:
    """Refuses a notebook whose `parameters` cell has other names or defaults than its model.

    The cell is read here rather than by papermill.inspect_notebook, whose import takes seconds.
    """
    if not notebook.is_file():
        raise ParameterError(f"there is no {notebook}; a checkout of the project has it")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    source = next(("".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])), "")
    defaults: dict[str, Any] = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            defaults[line.targets[0].id] = ast.literal_eval(line.value)
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value:
            defaults[line.target.id] = ast.literal_eval(line.value)
    expected = {name: field.default for name, field in kind.model_fields.items()}
    if defaults != expected:
        wrong = sorted(k for k in {*defaults, *expected} if defaults.get(k, ...) != expected.get(k, ...))
        raise ParameterError(
            f"the parameters cell of {notebook} disagrees with {kind.__name__} about {', '.join(wrong)}; "
            f"it must say {', '.join(f'{k} = {v!r}' for k, v in expected.items())}"
        )
