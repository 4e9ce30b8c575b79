"""Are the runs that a run needs finished, and if not, may they be made first?"""

from __future__ import annotations

import shlex
from typing import Any

from ..launching.notebook import execute
from ..study.overrides import text
from ..study.parameters import DataParameters, TrainParameters
from ..study.paths import project_root
from ..study.plan import Job, job_of
from ..study.spec import RunSpec
from .data import check


class MissingPrerequisite(RuntimeError):
    """A run is not finished that this one needs."""


def ensure(spec: RunSpec[Any]) -> dict[str, str]:
    """The names of the directories of the finished runs that this one needs, by kind: `data` and training modes.

    With `prerequisites: train` an unfinished one is made first, by its own notebook in processes of its own,
    and said so; it resumes where it was stopped.

    Raises:
        MissingPrerequisite: with `prerequisites: require`, when one is not finished.
        Refused: the given data is not in order; nothing was begun.
        NotebookFailed: when one could not be made.
    """
    check(spec)
    *needs, _ = spec.chain
    for need in needs:
        if need.result is not None:
            continue
        job = job_of(need, project_root(), spec.parameters.runs_folder)
        if getattr(spec.parameters, "prerequisites", "") == "require":
            raise MissingPrerequisite(
                f"{spec.parameters.notebook} needs {need.identity.name}, and {need.folder} is not finished; "
                f"`-p prerequisites train` makes it first, or: {_command(job)}"
            )
        print(f"{need.identity.name} is missing and comes first", flush=True)  # noqa: T201  a notebook shows it
        execute(job, project_root())
    return {need.kind: need.identity.folder_name for need in needs}


def _command(job: Job) -> str:
    """How a run of data or a training is made by hand."""
    fields = (DataParameters if job.kind == "data" else TrainParameters).model_fields
    named = {"runs", "mode", "seed"} | {k for k, v in job.parameters.items() if v and v != fields[k].default}
    given = {k: text(v) if isinstance(v, dict) else str(v) for k, v in job.parameters.items() if k in named}
    options = [f"-p {k} {shlex.quote(v)}" for k, v in given.items() if k != "prerequisites"]
    return f"papermill notebooks/{job.notebook.name} OUT.ipynb {' '.join(options)}"
