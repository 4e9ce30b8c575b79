"""Which runs does a grid plan, and which commands make them?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..study.grid import AXES, Grid
from ..study.overrides import text
from ..study.parameters import ParameterError, ReportParameters
from ..study.paths import absolute, project_root
from ..study.plan import plan

SETTINGS = (*(axis for axis in AXES if axis not in ("mode", "seed")), "overrides")
"""What all variants and seeds of a report share."""

_GRID, _RUNS = "sweeps/miniature.yaml", "runs"
"""Defaults of the commands."""


@dataclass(frozen=True)
class Planned:
    """A study as its grid plans it.

    Attributes:
        keys: the names of its run directories.
        seeds: in order.
        settings: the value of each of SETTINGS; 0 steps or samples, no data and no overrides are the profile's own.
        launch: the command that makes its runs, to which `--seeds ...` may be added.
        pilot: the command that makes power.PILOT from runs of pilot seeds, likewise.
    """

    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, str | int]
    launch: str = "python sweeps/launch.py"
    pilot: str = "python -m gemvg_repro.report.numbers.pilot"


def reported(params: ReportParameters) -> Planned:
    """The study of a report.

    Raises:
        ParameterError: the grid is none, or its profile is another than the report's.
    """
    study = planned(absolute(params.grid), params.seeds, params.runs_folder)
    if params.profile != study.settings["profile"]:
        raise ParameterError(
            f"profile = {params.profile!r}, but {params.grid} is a grid of profile {study.settings['profile']}; "
            f"report it with -p profile {study.settings['profile']}, or name another grid with -p grid"
        )
    return study


def planned(file: Path, seeds: Sequence[int], runs: Path) -> Planned:
    """What the grid in `file` plans in the folder `runs`, with its own seeds or with these.

    Raises:
        ParameterError: the grid is none, or a notebook would refuse what it asks for.
    """
    root, file, runs = project_root(), file.resolve(), runs.resolve()
    whole_grid = Grid.load(file, seeds)
    jobs = [job for job in plan(whole_grid, file, root, runs) if not job.is_report]
    evaluated = next(job.parameters for job in jobs if job.kind == "evaluate")
    home = project_root(runs) if project_root(runs) != runs else root  # a launched report runs in a copy of the project
    grid = [] if _is_default(file, root / _GRID) else [_relative(file, home)]
    folder = [] if runs == home / _RUNS else ["--runs", _relative(runs, home)]
    return Planned(
        keys=tuple(job.key for job in jobs),
        seeds=tuple(sorted({job.seed for job in jobs if job.seed is not None})),
        settings={**{axis: evaluated[axis] for axis in SETTINGS}, "overrides": text(whole_grid.fixed_overrides)},
        launch=shlex.join(["python", "sweeps/launch.py", *grid, *folder]),
        pilot=shlex.join(
            ["python", "-m", "gemvg_repro.report.numbers.pilot", *(["--grid", *grid] if grid else []), *folder]
        ),
    )


def _is_default(file: Path, default: Path) -> bool:
    """Whether a grid is the default but for its seeds: the launcher gives the report a copy of what it ran."""
    return file == default or (default.is_file() and Grid.load(file, [0]) == Grid.load(default, [0]))


def _relative(path: Path, home: Path) -> str:
    return str(path.relative_to(home) if path.is_relative_to(home) else path)
