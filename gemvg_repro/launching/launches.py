"""What was launched, when, and with which settings?

A launch keeps its grid and its plan, so that its runs can be looked at and ended whatever becomes of the grid file.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..files.atomic import write_bytes
from ..runs.json_files import read_json_or_none, write_json
from ..runs.layout import launcher_folder
from ..study.grid import Grid
from ..study.plan import Job
from .status import job_statuses
from .submissions import Submissions, launch_folders

RECORD = "launch.json"


@dataclass(frozen=True)
class Request:
    """What a person launches: a grid file, with the seeds and settings of the command line instead of its own."""

    grid_file: Path
    grid: Grid
    seeds: Sequence[int]
    settings: Sequence[str]


@dataclass(frozen=True)
class Launch:
    """One launch, as it is recorded.

    Attributes:
        grid: the grid file, relative to the project where it is inside.
        seeds, settings: of the command line (`--seeds`, `--set`), instead of the grid's.
        where: on this machine or on Slurm.
        started: local time, ISO 8601.
        plan: the name of the file with all jobs of the grid.
    """

    grid: str
    seeds: list[int]
    settings: list[str]
    where: Literal["local", "slurm"]
    started: str
    plan: str

    @property
    def command(self) -> str:
        """The arguments that name the same grid and settings."""
        seeds = ["--seeds", *map(str, self.seeds)] if self.seeds else []
        return shlex.join([self.grid, *seeds, *(part for setting in self.settings for part in ("--set", setting))])


class LaunchRecords:
    """All launches into one folder of runs.

    Args:
        runs: the folder of all runs.
        root: the project.
    """

    def __init__(self, runs: Path, root: Path) -> None:
        self._runs = runs
        self._root = root
        self._folder = launcher_folder(runs) / "launches"

    def record(
        self, jobs: Sequence[Job], request: Request, where: Literal["local", "slurm"], name: str | None = None
    ) -> None:
        """Writes a launch down, unless it repeats the last one; `jobs` are the whole plan of the grid.

        `name` is that of the launch's submissions, if it has some.
        """
        launch = Launch(
            grid=self._relative(request.grid_file),
            seeds=list(request.seeds),
            settings=list(request.settings),
            where=where,
            started=time.strftime("%Y-%m-%dT%H:%M:%S"),
            plan=self._write_plan(jobs),
        )
        before = self.all()
        if before and replace(before[-1], started=launch.started) == launch:
            return
        folder = self._folder / (name or Submissions(self._runs).new_launch_name())
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, asdict(launch))

    def all(self) -> list[Launch]:
        """All recorded launches, in their order."""
        records = (read_json_or_none(folder / RECORD) for folder in launch_folders(self._folder))
        return [Launch(**record) for record in records if record is not None]

    def of_grid(self, grid_file: Path) -> list[Launch]:
        """The launches of a grid file, whatever it contained then."""
        return [launch for launch in self.all() if launch.grid == self._relative(grid_file)]

    def launched_jobs(self, grid_file: Path) -> tuple[Job, ...]:
        """The jobs that were launched last from a grid file, and those of its earlier launches that wait or run.

        The latter are named by their directories, since the names may be the same. Empty if it was never launched.

        Raises:
            SlurmError: runs were submitted to Slurm, and it does not answer.
        """
        launches = self.of_grid(grid_file)
        latest = self.jobs(launches[-1]) if launches else ()
        plans = dict.fromkeys(launch.plan for launch in reversed(launches) if launch.plan != launches[-1].plan)
        others = {job.key: job for plan in plans for job in self._jobs(plan) if not job.finished}
        for job in latest:
            others.pop(job.key, None)
        active = [s.job for s in job_statuses(list(others.values())) if s.active] if others else []
        return (*latest, *(replace(job, name=job.key) for job in active))

    def jobs(self, launch: Launch) -> tuple[Job, ...]:
        """All jobs of a launch's plan; where runs and project were moved, as they are now."""
        return self._jobs(launch.plan)

    def all_jobs(self) -> list[Job]:
        """The jobs of all launches."""
        return [job for plan in dict.fromkeys(launch.plan for launch in self.all()) for job in self._jobs(plan)]

    def _jobs(self, plan: str) -> tuple[Job, ...]:
        content = read_json_or_none(self._plan_file(plan)) or {"jobs": []}
        return tuple(self._job(**job) for job in content["jobs"])

    def _job(self, notebook: str, folder: str, parameters: dict[str, Any], needs: list[str], **rest: Any) -> Job:
        return Job(
            notebook=self._root / "notebooks" / notebook,
            folder=self._runs / folder,
            parameters={**parameters, "runs": str(self._runs)},
            needs=tuple(needs),
            **rest,
        )

    def _write_plan(self, jobs: Sequence[Job]) -> str:
        content = [
            {
                "name": job.name,
                "notebook": job.notebook.name,
                "parameters": dict(job.parameters),
                "folder": job.key,
                "needs": list(job.needs),
                "threads": job.threads,
            }
            for job in jobs
        ]
        text = json.dumps({"jobs": content}, indent=1)
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        file = self._plan_file(name)
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(file, text.encode())
        return name

    def _plan_file(self, name: str) -> Path:
        return launcher_folder(self._runs) / "plans" / f"{name}.json"

    def _relative(self, file: Path) -> str:
        return str(file.relative_to(self._root)) if file.is_relative_to(self._root) else str(file)


def pin_grid(jobs: Sequence[Job], grid: Grid, runs: Path) -> tuple[Job, ...]:
    """The same jobs, the report with a copy of the grid as it is now, settings of the command line included."""
    content = grid.dump().encode()
    file = launcher_folder(runs) / "grids" / f"{hashlib.sha256(content).hexdigest()[:12]}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, content)
    report = {"grid": str(file)}
    return tuple(replace(j, parameters={**j.parameters, **report}) if j.is_report else j for j in jobs)
