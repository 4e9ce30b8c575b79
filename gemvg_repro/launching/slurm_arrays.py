"""Which arrays bring a plan to Slurm, after which others, and in which words?"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import submitit

from ..runs.layout import REPORT_PAGE, RESULT
from ..runs.snapshot import Snapshot
from ..study.plan import Job
from ..study.resources import Needs, Resources
from .notebook import failure_of
from .slurm import SlurmError, check_script, check_time, check_visible
from .slurm_job import Attempt, interpreter, ride_along
from .status import Entry, root_of
from .submissions import Launches, comment_of

_SCRIPTED = tuple(
    f"SBATCH_{option}"
    for option in (
        *("ACCOUNT", "ARRAY_INX", "CONSTRAINT", "ERROR", "GPUS", "GPUS_PER_NODE", "JOB_NAME", "MEM_PER_CPU"),
        *("MEM_PER_GPU", "MEM_PER_NODE", "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "PARTITION", "QOS", "REQUEUE"),
        *("SIGNAL", "TIMELIMIT", "WAIT", "WCKEY"),
    )
)
"""Variables that sbatch prefers to what our scripts say (sbatch(1), INPUT ENVIRONMENT VARIABLES)."""


@dataclass(frozen=True)
class Array:
    """Runs that differ by their seed only, submitted together; one of a single element is a plain job.

    Attributes:
        name: the variant, for people.
        jobs: by element; None has nothing to do, and keeps the indices of matching arrays in step.
        needs: what each run asks of the cluster.
        corresponding: numbers of the arrays whose element of the same index must succeed before each.
        whole: numbers of the arrays that must succeed as a whole, such as the data's.
        others: jobs of earlier launches that must succeed.
    """

    name: str
    jobs: tuple[Job | None, ...]
    needs: Needs
    corresponding: tuple[int, ...] = ()
    whole: tuple[int, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def is_report(self) -> bool:
        """The report comes after everything, whatever became of it."""
        return any(job is not None and job.is_report for job in self.jobs)

    def dependency(self, ids: Mapping[int, str]) -> str | None:
        """What sbatch is told to wait for; `ids` are those of the arrays before, by number."""
        if self.is_report:
            return ",".join(f"afterany:{i}" for i in (*ids.values(), *self.others)) or None
        corresponds = "aftercorr" if len(self.jobs) > 1 else "afterok"
        parts = [f"afterok:{ids[n]}" for n in self.whole] + [f"{corresponds}:{ids[n]}" for n in self.corresponding]
        return ",".join(parts + [f"afterok:{job}" for job in self.others]) or None


def to_submit(entries: list[Entry], retry: bool) -> list[Entry]:
    """The same entries, `missing` being what is to be submitted: with `retry` the failed ones too.

    Raises:
        SlurmError: when a run is going on outside of Slurm that a missing one needs.
    """
    by_key = {entry.job.key: entry for entry in entries}
    for entry in entries:
        if retry and entry.state in ("failed", "blocked"):
            entry.state, entry.note = "missing", ""
        if entry.state != "missing" or entry.job.is_report:
            continue
        needs = [by_key[key] for key in entry.job.needs if key in by_key]
        if broken := [need for need in needs if need.state in ("failed", "blocked")]:
            entry.state, entry.note = "blocked", root_of(broken[0])
        elif elsewhere := [need for need in needs if need.active and not need.slurm]:
            name, who = elsewhere[0].job.name, elsewhere[0].note
            raise SlurmError(f"{name} runs outside of Slurm ({who}); wait for it, or end it")
    return entries


def arrays(entries: Sequence[Entry], resources: Resources, largest: int) -> list[Array]:
    """The arrays that bring the missing runs to Slurm, each after those that it waits for.

    There is one a variant over all seeds, as long as no seed waits for runs of an earlier launch and no
    array has more than `largest` elements.
    """
    todo = {e.job.key: e.job for e in entries if e.state == "missing" and not e.job.is_report}
    active = {e.job.key: e.slurm.job for e in entries if e.active and e.slurm}
    made: list[Array] = []
    number_of: dict[str, int] = {}
    for seeds in _blocks(todo, active, largest):
        for group in _variants([job for job in todo.values() if job.seed in seeds]):
            by_seed = {job.seed: job for job in group}
            keys = dict.fromkeys(key for job in group for key in job.needs)
            before = {number_of[key]: todo[key].seed for key in keys if key in number_of}
            made.append(
                Array(
                    name=_variant(group[0]),
                    jobs=tuple(by_seed.get(seed) for seed in seeds),
                    needs=resources.needs(group[0].kind),
                    corresponding=tuple(n for n, seed in before.items() if seed is not None),
                    whole=tuple(n for n, seed in before.items() if seed is None),
                    others=tuple(active[key] for key in keys if key in active),
                )
            )
            number_of.update({job.key: len(made) - 1 for job in group})
    reports = [e for e in entries if e.job.is_report and (made or not e.active)]
    if reports and (made or _stale(reports[0], entries)):
        others = sorted({job.partition("_")[0] for job in active.values()})
        made.append(Array("report", (reports[0].job,), resources.needs("report"), others=tuple(others)))
    return made


def _blocks(todo: Mapping[str, Job], active: Mapping[str, str], largest: int) -> Iterator[list[int | None]]:
    """Seeds that go together: what all share first, then those that wait for the same jobs of earlier launches."""
    waits: dict[int | None, set[str]] = {}
    for job in todo.values():
        waits.setdefault(job.seed, set()).update(active[key] for key in job.needs if key in active)
    if None in waits:
        yield [None]
    alike: dict[frozenset[str], list[int | None]] = {}
    for seed, jobs in waits.items():
        if seed is not None:
            alike.setdefault(frozenset(jobs), []).append(seed)
    for seeds in alike.values():
        for start in range(0, len(seeds), largest):
            yield seeds[start : start + largest]


def _variants(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs by what they do, seeds aside, in the order of the plan."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        what = sorted((k, str(v)) for k, v in job.parameters.items() if k != "seed")
        groups.setdefault(f"{job.notebook.name} {what}", []).append(job)
    return list(groups.values())


def _variant(job: Job) -> str:
    return job.name.removesuffix(f"-s{job.seed}")


def _stale(report: Entry, entries: Sequence[Entry]) -> bool:
    """Whether a run has come to its end, or is about to, since the report was made."""
    page = report.job.folder / REPORT_PAGE
    results = [e.job.folder / RESULT for e in entries if e.state == "finished" and not e.job.is_report]
    made = page.stat().st_mtime if page.is_file() else 0.0
    return any(e.active for e in entries) or any(result.stat().st_mtime > made for result in results)


class Submitter:
    """Brings arrays to Slurm, as one launch.

    Args:
        runs: the folder of all runs.
        code: what the jobs run.
    """

    def __init__(self, runs: Path, code: Snapshot) -> None:
        self._launches = Launches(runs)
        self._launch = self._launches.name()
        self._code = code
        self.folder = self._launches.folder / self._launch
        if "%" in str(self.folder) or not str(self.folder).isprintable():
            raise SlurmError(f"{str(runs)!r}: Slurm reads a % in a path as its own; give another folder (--runs DIR)")

    def script(self, number: int, array: Array, ids: Mapping[int, str]) -> str:
        """The very script that sbatch is given."""
        executor = self._executor(number, array, ids)
        if len(array.jobs) > 1:
            executor.parameters["map_count"] = len(array.jobs)  # as submitit does for an array
        return str(executor._make_submission_file_text(executor._submitit_command_str, ""))

    def check(self, made: Sequence[Array], resources: Resources) -> None:
        """Has everything judged before anything is submitted.

        Raises:
            SlurmError: the nodes do not see the folder of runs, or Slurm would refuse an array.
        """
        check_visible(self.folder, resources.shared)
        judged: list[Needs] = []
        for number, array in enumerate(made):
            if array.needs not in judged:
                alone = replace(array, corresponding=(), whole=(), others=())
                check_script(self.script(number, alone, {}), array.name)
                if array.needs.qos is None:  # one may allow more than the partition
                    check_time(array.needs.partition, array.needs.timeout_min, array.name)
                judged.append(array.needs)

    def submit(self, made: Sequence[Array]) -> dict[int, str]:
        """Submits the arrays in their order; returns their numbers in Slurm.

        Raises:
            SlurmError: naming the array that was refused; those before it are submitted, and written down.
        """
        root = self._code.make()
        ids: dict[int, str] = {}
        for number, array in enumerate(made):
            tasks = [_task(job, root, array.needs) for job in array.jobs]
            executor = self._executor(number, array, ids)
            for job in array.jobs:
                if job is not None:
                    failure_of(job).unlink(missing_ok=True)
            self._launches.announce(self._launch, number, [job.key if job else None for job in array.jobs])
            try:
                submitted = executor.submit_array(tasks) if len(tasks) > 1 else [executor.submit(tasks[0])]
            except submitit.core.utils.FailedJobError as error:
                raise SlurmError(
                    f"Slurm refused {array.name}: {error}\n{number} of {len(made)} arrays are submitted;"
                    " the same command submits the rest"
                ) from None
            ids[number] = submitted[0].job_id.partition("_")[0]
            self._launches.confirm(self._launch, number, ids[number])
        return ids

    def _executor(self, number: int, array: Array, ids: Mapping[int, str]) -> Any:
        needs = array.needs
        threads = max(job.threads for job in array.jobs if job is not None)
        cpus = needs.cpus or threads
        # `Attempt` says how many timeouts are enough.
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


def _task(job: Job | None, root: Path, needs: Needs) -> Any:
    if job is None:
        return ride_along
    return Attempt(replace(job, notebook=root / "notebooks" / job.notebook.name), root, needs)


def gpu_hours(made: Sequence[Array]) -> float:
    """What the arrays may take at most, if each run takes one attempt."""
    return sum(a.needs.gpus * a.needs.timeout_min / 60 * sum(job is not None for job in a.jobs) for a in made)


def settle(resources: Resources) -> Resources:
    """The resources with what the grid leaves open and the person's own SBATCH_ variables say.

    From here on sbatch finds nothing in the environment that it would prefer to a script: neither those variables,
    nor those of a job that the launcher itself may run in.
    """
    wishes = {name: os.environ.get(f"SBATCH_{name.upper()}") for name in ("partition", "account", "qos", "constraint")}
    inside = ("SLURM_", "SRUN_") if "SLURM_JOB_ID" in os.environ else ()
    for name in list(os.environ):
        if name in _SCRIPTED or (name.startswith(inside) and name != "SLURM_CONF"):
            del os.environ[name]
    return resources.model_copy(update={k: v for k, v in wishes.items() if v and getattr(resources, k) is None})
