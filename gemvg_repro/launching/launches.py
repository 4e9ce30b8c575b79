"""What is kept of a launch, whatever becomes of its grid file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..files.atomic import write_bytes
from ..runs.layout import launcher_folder
from ..study.grid import Grid
from ..study.plan import Job


def pin_grid(jobs: Sequence[Job], grid: Grid, runs: Path) -> tuple[Job, ...]:
    """The same jobs, the report with a copy of the grid as it is now, settings of the command line included."""
    content = grid.dump().encode()
    file = launcher_folder(runs) / "grids" / f"{hashlib.sha256(content).hexdigest()[:12]}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, content)
    report = {"grid": str(file)}
    return tuple(replace(j, parameters={**j.parameters, **report}) if j.is_report else j for j in jobs)
