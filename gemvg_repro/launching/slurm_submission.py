"""Submitting arrays to Slurm: their scripts, what is checked before, and what is written down."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import DelayedSubmission

from ..runs.snapshot import Snapshot
from ..study.plan import Job
from ..study.resources import Needs, Resources
from .endings import SETUP_FAILED
from .nodes import script_lines
from .slurm import SlurmError, cluster_name, plain_environment, submit_script
from .slurm_arrays import Array
from .slurm_checks import check_script, check_time, check_visible
from .slurm_job import Attempt, do_nothing, interpreter
from .submissions import Submissions, comment_of

USER_DEFAULTS = ("partition", "account", "qos", "constraint")
"""What a person's own SBATCH_ variables may say where the grid leaves it open."""

MAX_TIMEOUTS = 10**6
"""submitit's limit, of no effect: `Attempt` limits the time-outs itself."""

FIRST_NODE = ("--nodes=1", "--ntasks=1", "--relative=0")

_TRAP = f"""trap 'echo "{SETUP_FAILED} with exit code $? at: $BASH_COMMAND"' EXIT"""


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
        if any(sign in str(self.folder) for sign in "%\\") or not str(self.folder).isprintable():
            raise SlurmError(
                f"{str(runs)!r}: Slurm reads a % or a backslash in a path as its own; give another folder (--runs DIR)"
            )

    def script(self, number: int, array: Array, ids: Mapping[int, str]) -> str:
        """The script as sbatch is given it."""
        executor = self._executor(number, array, ids)
        if len(array.jobs) > 1:
            executor.parameters["map_count"] = len(array.jobs)  # as submitit does for an array
        return str(executor._make_submission_file_text(executor._submitit_command_str, ""))

    def check(self, arrays: Sequence[Array], resources: Resources) -> list[str]:
        """Refuses what Slurm would refuse, before anything is submitted.

        Returns:
            Of arrays that Slurm takes and that would wait for more than room, why.

        Raises:
            SlurmError: the nodes do not see the folder of runs, or Slurm would refuse an array.
        """
        check_visible(self.folder, resources.shared)
        waits: list[str] = []
        checked: list[Needs] = []
        for number, array in enumerate(arrays):
            if array.needs not in checked:
                alone = replace(array, corresponding=(), whole=(), others=())
                if reason := check_script(self.script(number, alone, {}), array.name):
                    waits.append(f"{array.name} would wait, because Slurm says: {reason}")
                if array.needs.qos is None:  # one may allow more than the partition
                    check_time(array.needs.partition, array.needs.timeout_min, array.name)
                checked.append(array.needs)
        return waits

    def submit(self, arrays: Sequence[Array]) -> dict[int, str]:
        """Submits the arrays in their order; returns their Slurm job numbers by index.

        All that a job needs is written before its array is given to sbatch, so that it runs whatever ends this process.

        Raises:
            SlurmError: naming the array that was refused; those before it are submitted, and written down.
            KeyboardInterrupt: with a note that says how many were submitted.
        """
        root = self._code.make()
        ids: dict[int, str] = {}
        for number, array in enumerate(arrays):
            script = self._prepare(number, array, ids, root)
            progress = f"{number} of {len(arrays)} arrays are submitted; the same command submits the rest"
            try:
                ids[number] = submit_script(script)
                self._submissions.confirm(self._launch, number, ids[number])
            except SlurmError as error:
                raise SlurmError(f"Slurm refused {array.name}: {error}\n{progress}") from None
            except KeyboardInterrupt as interrupt:
                interrupt.add_note(progress)
                raise
        return ids

    def _prepare(self, number: int, array: Array, ids: Mapping[int, str], root: Path) -> Path:
        """Writes the record of an array, what each of its jobs executes, and its script, whose path it returns."""
        for job in array.jobs:
            if job is not None:
                job.files.failure.unlink(missing_ok=True)
        keys = [job.key if job else None for job in array.jobs]
        self._submissions.announce(self._launch, number, keys, array.name, cluster_name(), self._code.folder)
        for index, job in enumerate(array.jobs):
            submission = DelayedSubmission(_function(job, root, array.needs))
            submission.set_timeout(array.needs.timeout_min, MAX_TIMEOUTS)
            submission.dump(self.folder / _pickle_name(number, str(index)))
        script = self.folder / f"array-{number:04}.sh"
        script.write_text(self.script(number, array, ids), encoding="utf-8")
        return script

    def _setup(self, number: int, array: Array) -> list[str]:
        """The lines of the script before srun: those of the grid, of which none may fail, and ours.

        submitit finds what a job executes by the job's number, which is not known before sbatch; a requeued job finds
        what its last attempt left there.
        """
        is_array = len(array.jobs) > 1
        job = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" if is_array else "${SLURM_JOB_ID}"
        folder = shlex.quote(str(self.folder))
        prepared = f"{folder}/{_pickle_name(number, '${SLURM_ARRAY_TASK_ID}' if is_array else '0')}"
        target = f"{folder}/{job}_submitted.pkl"
        return [
            "set -e",
            _TRAP,
            *array.needs.setup,
            f"task={target}",
            f'[ -e "$task" ] || {{ cp {prepared} "$task.part" && mv "$task.part" "$task"; }}',
            "trap - EXIT",
            "set +e",
            # The code that was launched is imported, from the working folder as from PYTHONPATH.
            f"export PYTHONPATH={shlex.quote(str(self._code.folder))}${{PYTHONPATH:+:$PYTHONPATH}}",
            *(script_lines() if array.needs.nodes > 1 else []),
        ]

    def _executor(self, number: int, array: Array, ids: Mapping[int, str]) -> Any:
        needs = array.needs
        threads = max(job.threads for job in array.jobs if job is not None)
        cpus = needs.cpus or threads
        executor = submitit.SlurmExecutor(self.folder, max_num_timeout=MAX_TIMEOUTS, python=interpreter())
        optional = {
            "mem": f"{round(needs.mem_gb * 1024)}M" if needs.mem_gb else None,
            "gpus_per_node": needs.gpus or None,
            "ntasks_per_node": 1 if needs.nodes > 1 else None,
            "partition": needs.partition,
            "account": needs.account,
            "qos": needs.qos,
            "constraint": needs.constraint,
            "dependency": array.dependency(ids),
        }
        executor.update_parameters(
            job_name=array.name,
            time=needs.timeout_min,
            nodes=needs.nodes,
            cpus_per_task=cpus,
            signal_delay_s=needs.slurm_signal_s,
            array_parallelism=needs.parallel or len(array.jobs),
            comment=comment_of(self._launch, number),
            stderr_to_stdout=True,
            setup=self._setup(number, array),
            # Since 22.05 srun does not take the job's --cpus-per-task over. The run's owner is on the first node.
            srun_args=[f"--cpus-per-task={cpus}", "--export=ALL", *(FIRST_NODE if needs.nodes > 1 else [])],
            additional_parameters={
                "chdir": str(self._code.folder),
                "export": "ALL",
                "kill-on-invalid-dep": "yes",
                "requeue": True,
            },
            **{name: value for name, value in optional.items() if value is not None},
        )
        return executor


def _pickle_name(number: int, index: str) -> str:
    return f"array-{number:04}-{index}.pkl"


def _function(job: Job | None, root: Path, needs: Needs) -> Any:
    if job is None:
        return do_nothing
    return Attempt(replace(job, notebook=root / "notebooks" / job.notebook.name, spec=None), root, needs)


def with_user_defaults(resources: Resources) -> Resources:
    """The resources, with the person's own SBATCH_ variables for what the grid leaves open.

    From here on the environment, which jobs inherit, has nothing that Slurm would prefer to a script or hand to srun:
    neither the person's variables (SBATCH_EXPORT=NONE takes a job all that it needs) nor those of a job that the
    launcher itself may run in.
    """
    defaults = {name: os.environ.get(f"SBATCH_{name.upper()}") for name in USER_DEFAULTS}
    for name in os.environ.keys() - plain_environment().keys():
        del os.environ[name]
    return resources.model_copy(update={k: v for k, v in defaults.items() if v and getattr(resources, k) is None})
