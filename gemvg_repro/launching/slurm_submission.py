"""Submitting arrays to Slurm: their scripts, what is checked before, and what is written down."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit

from ..runs.snapshot import Snapshot
from ..study.plan import Job
from ..study.resources import Needs, Resources
from .slurm import SlurmError, check_script, check_time, check_visible
from .slurm_arrays import Array
from .slurm_job import Attempt, do_nothing, interpreter
from .submissions import Submissions, comment_of

_SCRIPTED = tuple(
    f"SBATCH_{option}"
    for option in (
        *("ACCOUNT", "ARRAY_INX", "CONSTRAINT", "ERROR", "GPUS", "GPUS_PER_NODE", "JOB_NAME", "MEM_PER_CPU"),
        *("MEM_PER_GPU", "MEM_PER_NODE", "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "PARTITION", "QOS", "REQUEUE"),
        *("SIGNAL", "TIMELIMIT", "WAIT", "WCKEY"),
    )
)
"""Variables that sbatch prefers to what our scripts say (sbatch(1), INPUT ENVIRONMENT VARIABLES)."""


class Submitter:
    """Submits arrays to Slurm, as one launch.

    Args:
        runs: the folder of all runs.
        code: the copy of the code that the jobs run.
    """

    def __init__(self, runs: Path, code: Snapshot) -> None:
        self._submissions = Submissions(runs)
        self._launch = self._submissions.new_launch_name()
        self._code = code
        self.folder = self._submissions.folder / self._launch
        if "%" in str(self.folder) or not str(self.folder).isprintable():
            raise SlurmError(f"{str(runs)!r}: Slurm reads a % in a path as its own; give another folder (--runs DIR)")

    def script(self, number: int, array: Array, ids: Mapping[int, str]) -> str:
        """The script as sbatch is given it."""
        executor = self._executor(number, array, ids)
        if len(array.jobs) > 1:
            executor.parameters["map_count"] = len(array.jobs)  # as submitit does for an array
        return str(executor._make_submission_file_text(executor._submitit_command_str, ""))

    def check(self, arrays: Sequence[Array], resources: Resources) -> None:
        """Refuses what Slurm would refuse, before anything is submitted.

        Raises:
            SlurmError: the nodes do not see the folder of runs, or Slurm would refuse an array.
        """
        check_visible(self.folder, resources.shared)
        checked: list[Needs] = []
        for number, array in enumerate(arrays):
            if array.needs not in checked:
                alone = replace(array, corresponding=(), whole=(), others=())
                check_script(self.script(number, alone, {}), array.name)
                if array.needs.qos is None:  # one may allow more than the partition
                    check_time(array.needs.partition, array.needs.timeout_min, array.name)
                checked.append(array.needs)

    def submit(self, arrays: Sequence[Array]) -> dict[int, str]:
        """Submits the arrays in their order; returns their Slurm job numbers by index.

        Raises:
            SlurmError: naming the array that was refused; those before it are submitted, and written down.
        """
        root = self._code.make()
        ids: dict[int, str] = {}
        for number, array in enumerate(arrays):
            tasks = [_function(job, root, array.needs) for job in array.jobs]
            executor = self._executor(number, array, ids)
            for job in array.jobs:
                if job is not None:
                    job.files.failure.unlink(missing_ok=True)
            self._submissions.announce(self._launch, number, [job.key if job else None for job in array.jobs])
            try:
                submitted = executor.submit_array(tasks) if len(tasks) > 1 else [executor.submit(tasks[0])]
            except submitit.core.utils.FailedJobError as error:
                raise SlurmError(
                    f"Slurm refused {array.name}: {error}\n{number} of {len(arrays)} arrays are submitted;"
                    " the same command submits the rest"
                ) from None
            ids[number] = submitted[0].job_id.partition("_")[0]
            self._submissions.confirm(self._launch, number, ids[number])
        return ids

    def _executor(self, number: int, array: Array, ids: Mapping[int, str]) -> Any:
        needs = array.needs
        threads = max(job.threads for job in array.jobs if job is not None)
        cpus = needs.cpus or threads
        # `Attempt` limits the time-outs itself.
        executor = submitit.SlurmExecutor(self.folder, max_num_timeout=10**6, python=interpreter())
        where = shlex.quote(str(self._code.folder))
        optional = {
            "mem": f"{round(needs.mem_gb * 1024)}M" if needs.mem_gb else None,
            "gpus_per_node": needs.gpus or None,
            "partition": needs.partition,
            "account": needs.account,
            "qos": needs.qos,
            "constraint": needs.constraint,
            "dependency": array.dependency(ids),
        }
        executor.update_parameters(
            job_name=array.name,
            time=needs.timeout_min,
            cpus_per_task=cpus,
            signal_delay_s=needs.signal_s,
            array_parallelism=needs.parallel or len(array.jobs),
            comment=comment_of(self._launch, number),
            stderr_to_stdout=True,
            # The code that was launched is imported, from the working folder as from PYTHONPATH.
            setup=[*needs.setup, f"export PYTHONPATH={where}${{PYTHONPATH:+:$PYTHONPATH}}"],
            # Since 22.05 srun does not take the job's --cpus-per-task over.
            srun_args=[f"--cpus-per-task={cpus}"],
            additional_parameters={"chdir": str(self._code.folder), "kill-on-invalid-dep": "yes", "requeue": True},
            **{name: value for name, value in optional.items() if value is not None},
        )
        return executor


def _function(job: Job | None, root: Path, needs: Needs) -> Any:
    if job is None:
        return do_nothing
    return Attempt(replace(job, notebook=root / "notebooks" / job.notebook.name), root, needs)


def with_user_defaults(resources: Resources) -> Resources:
    """The resources, with the person's own SBATCH_ variables for what the grid leaves open.

    From here on sbatch finds nothing in the environment that it would prefer to a script: neither those variables,
    nor those of a job that the launcher itself may run in.
    """
    defaults = {
        name: os.environ.get(f"SBATCH_{name.upper()}") for name in ("partition", "account", "qos", "constraint")
    }
    inside = ("SLURM_", "SRUN_") if "SLURM_JOB_ID" in os.environ else ()
    for name in list(os.environ):
        if name in _SCRIPTED or (name.startswith(inside) and name != "SLURM_CONF"):
            del os.environ[name]
    return resources.model_copy(update={k: v for k, v in defaults.items() if v and getattr(resources, k) is None})
