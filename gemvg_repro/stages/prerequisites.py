"""Are the runs that a notebook starts from there, and if not, may they be made first?"""

from __future__ import annotations

import shlex

from ..launching.notebook import execute
from ..study.parameters import DataParameters, EvaluateParameters, TrainParameters, project_root
from ..study.plan import Job, chain
from .data import check


class MissingPrerequisite(RuntimeError):
    """A run is not finished that this one starts from."""


def ensure(asked: TrainParameters | EvaluateParameters) -> dict[str, Job]:
    """The finished runs that this one starts from, by kind: `data` and training modes.

    With `prerequisites: train` an unfinished one is made first, by its own notebook in processes of its own,
    and said so; it goes on from where it was stopped.

    Raises:
        MissingPrerequisite: with `prerequisites: require`, when one is not finished.
        Refused: the given data is not in order; nothing was begun.
        NotebookFailed: when one could not be made.
    """
    check(asked)
    *needed, _ = chain(asked.model_copy(update={"prerequisites": "require"}), project_root(), asked.runs_folder)
    for job in needed:
        if job.finished:
            continue
        if asked.prerequisites == "require":
            raise MissingPrerequisite(
                f"{asked.notebook} needs {job.name}, and {job.folder} is not finished; "
                f"`-p prerequisites train` makes it first, or: {_command(job)}"
            )
        print(f"{job.name} is missing and comes first", flush=True)  # noqa: T201  a notebook shows it
        execute(job, project_root())
    return {str(job.parameters.get("mode", "data")): job for job in needed}


def _command(job: Job) -> str:
    """How a run of data or a training is made by hand."""
    fields = (DataParameters if job.notebook.stem == "data" else TrainParameters).model_fields
    told = {"runs", "mode", "seed"} | {k for k, v in job.parameters.items() if v and v != fields[k].default}
    given = [f"-p {k} {shlex.quote(str(v))}" for k, v in job.parameters.items() if k in told - {"prerequisites"}]
    return f"papermill notebooks/{job.notebook.name} OUT.ipynb {' '.join(given)}"
