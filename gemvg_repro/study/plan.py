"""Which notebooks does a grid ask for, in which order, and with which parameters?"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..runs.directory import result_of
from .identity import CONTINUES, identify, threads_of
from .parameters import (
    TRAIN_MODES,
    DataParameters,
    EvaluateParameters,
    ParameterError,
    Parameters,
    ReportParameters,
    TrainParameters,
    resolve,
    suggest,
)
from .profiles import load_profile
from .resources import Resources

AXES = ("mode", "seed", "profile", "data", "steps", "samples")
"""What a grid may vary or fix."""

REPORT = "report"

Values = Annotated[list[str | int], Field(min_length=1)]


class Grid(BaseModel):
    """A question: what is varied, what it must not hang on, what is held still."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scientific: Mapping[str, Values]
    nuisance: Mapping[str, Values] = {}
    fixed: Mapping[str, str | int] = {}
    resources: Resources = Resources()

    @field_validator("scientific", "nuisance", "fixed")
    @classmethod
    def _data_is_absolute(cls, axes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its report reads the grid elsewhere."""
        if not (given := axes.get("data")):
            return axes
        found = [str(resolve(str(path))) if path else "" for path in (given if isinstance(given, list) else [given])]
        return {**axes, "data": found if isinstance(given, list) else found[0]}

    @classmethod
    def load(cls, file: Path, seeds: Sequence[int] | None = None, settings: Sequence[str] = ()) -> Self:
        """Reads a grid file; `seeds` replaces its seeds, `settings` such as `steps=20` or `partition=gpu` the rest.

        Raises:
            ParameterError: naming the file, the wrong key or value, and the valid ones.
        """
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            grid = cls.model_validate(_override(content, settings))
        except FileNotFoundError:
            raise ParameterError(
                f"there is no grid {file}; one comes with the project: sweeps/miniature.yaml"
            ) from None
        except yaml.YAMLError as error:
            raise ParameterError(f"{file} is not YAML: {error}") from None
        except ValidationError as error:
            raise ParameterError(f"{file} is no grid:\n{_explain(error)}") from None
        for axis in (*grid.scientific, *grid.nuisance, *grid.fixed):
            if axis not in AXES:
                raise ParameterError(f"{file}: no axis {axis!r}{suggest(axis, AXES)}. Axes: {', '.join(AXES)}")
        if seeds:
            where = "scientific" if "seed" in grid.scientific else "nuisance"
            grid = grid.model_copy(update={where: {**getattr(grid, where), "seed": list(seeds)}})
        return grid

    def dump(self) -> str:
        """The grid as a file that `load` reads."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def points(self) -> Iterator[dict[str, str | int]]:
        """Every combination of values, the scientific axes outermost within each nuisance combination."""
        axes = {**{k: [v] for k, v in self.fixed.items()}, **self.nuisance, **self.scientific}
        axes.setdefault("mode", list(TRAIN_MODES))
        for values in product(*axes.values()):
            yield dict(zip(axes, values, strict=True))


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
    """

    name: str
    notebook: Path
    parameters: Mapping[str, Any]
    folder: Path
    needs: tuple[str, ...]
    threads: int

    @property
    def key(self) -> str:
        """The name of the run directory: no two jobs of a plan share it."""
        return self.folder.name

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


def plan(grid: Grid, grid_file: Path, root: Path, runs: Path) -> tuple[Job, ...]:
    """The jobs of a grid, each after those it needs: data, trainings, evaluations of variants, the report.

    Args:
        grid: the grid, of `grid_file`.
        root: the project, whose notebooks are executed.
        runs: the folder of all runs.

    Raises:
        ParameterError: before anything is started, when a notebook would refuse what it is given.
    """
    jobs: dict[str, Job] = {}
    kinds: tuple[type[Parameters], ...] = (TrainParameters, EvaluateParameters)
    for kind, point in product(kinds, grid.points()):
        if kind is TrainParameters and point["mode"] == "base":
            continue
        known = {k: v for k, v in point.items() if k in kind.model_fields}
        for job in chain(kind.check({**known, "prerequisites": "require"}), root, runs):
            jobs.setdefault(job.key, job)
    seeds = sorted({int(point["seed"]) for point in grid.points() if "seed" in point})
    known = {k: v for k, v in next(grid.points()).items() if k == "profile"}
    report = ReportParameters.check({**known, "runs": str(runs), "grid": str(grid_file), "seeds": seeds})
    jobs[REPORT] = Job(REPORT, root / "notebooks" / report.notebook, dict(report), runs / REPORT, tuple(jobs), 1)
    for kind in (DataParameters, TrainParameters, EvaluateParameters, ReportParameters):
        check_notebook(root / "notebooks" / kind.notebook, kind)
    return tuple(jobs.values())


def named(jobs: Sequence[Job], patterns: Iterable[str]) -> tuple[Job, ...]:
    """The jobs whose names match one of the shell patterns (all, if there is none), less those of `!pattern`.

    Raises:
        ParameterError: when a pattern matches nothing.
    """
    wanted = [p for p in patterns if not p.startswith("!")] or ["*"]
    excluded = [p[1:] for p in patterns if p.startswith("!")]
    names = ", ".join(job.name for job in jobs)
    for pattern in (*wanted, *excluded):
        if not any(fnmatchcase(job.name, pattern) for job in jobs):
            raise ParameterError(f"{pattern!r} matches no run of the grid. Its runs: {names}")

    def among(job: Job, some: Iterable[str]) -> bool:
        return any(fnmatchcase(job.name, pattern) for pattern in some)

    return tuple(job for job in jobs if among(job, wanted) and not among(job, excluded))


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
    found: dict[str, Any] = {}
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            found[line.targets[0].id] = ast.literal_eval(line.value)
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value:
            found[line.target.id] = ast.literal_eval(line.value)
    expected = {name: field.default for name, field in kind.model_fields.items()}
    if found != expected:
        wrong = sorted(k for k in {*found, *expected} if found.get(k, ...) != expected.get(k, ...))
        raise ParameterError(
            f"the parameters cell of {notebook} disagrees with {kind.__name__} about {', '.join(wrong)}; "
            f"it must say {', '.join(f'{k} = {v!r}' for k, v in expected.items())}"
        )


def chain(parameters: Parameters, root: Path, runs: Path) -> Iterator[Job]:
    """The jobs that a notebook with these parameters needs, in an order that they can run in, and its own."""
    if isinstance(parameters, EvaluateParameters) and not parameters.checkpoint and parameters.training:
        yield from chain(parameters.training, root, runs)
    elif isinstance(parameters, TrainParameters) and (earlier := CONTINUES[parameters.mode]):
        yield from chain(parameters.model_copy(update={"mode": earlier}), root, runs)
    elif not isinstance(parameters, DataParameters):
        shared = {k: v for k, v in dict(parameters).items() if k in ("profile", "runs", "data")}
        yield from chain(DataParameters.check(shared), root, runs)
    yield _job(parameters, root, runs)


def _job(parameters: Parameters, root: Path, runs: Path) -> Job:
    profile = load_profile(parameters.profile)
    identity = identify(parameters, profile)
    kind = "data" if isinstance(parameters, DataParameters) else "evaluate"
    if isinstance(parameters, TrainParameters):
        kind = parameters.mode
    # A job runs elsewhere than where it was planned: what is given relative to the project becomes absolute.
    data = {"data": str(resolve(given))} if (given := getattr(parameters, "data", "")) else {}
    return Job(
        name=identity.name,
        notebook=root / "notebooks" / parameters.notebook,
        parameters={**dict(parameters), "runs": str(runs), **data},
        folder=runs / identity.folder_name,
        needs=tuple(need.folder_name for need in identity.prerequisites),
        threads=threads_of(kind, profile),
    )


def _override(content: Any, settings: Sequence[str]) -> Any:
    """A grid's content with `key=value` settings: an axis is held at one value, anything else is a resource.

    Raises:
        ParameterError: naming the wrong setting and the valid keys.
    """
    if not settings or not isinstance(content, dict) or not all(isinstance(v or {}, dict) for v in content.values()):
        return content  # what is wrong with it is told by the model
    content = {key: dict(value or {}) for key, value in content.items()}
    for setting in settings:
        key, equals, text = setting.partition("=")
        valid = (*AXES, *(name for name in Resources.model_fields if name != "kinds"))
        if not equals or key not in valid:
            raise ParameterError(f"--set {setting}: expected KEY=VALUE{suggest(key, valid)}. Keys: {', '.join(valid)}")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ParameterError(f"--set {setting}: the value is not YAML: {error}") from None
        if key in AXES:
            for axes in ("scientific", "nuisance", "fixed"):
                content.get(axes, {}).pop(key, None)
            content.setdefault("fixed", {})[key] = value
        else:
            content.setdefault("resources", {})[key] = value
    return content


def _explain(error: ValidationError) -> str:
    return "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
