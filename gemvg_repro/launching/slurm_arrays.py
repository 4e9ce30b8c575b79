"""Which arrays of jobs does a plan become, and which of them depends on which?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..runs.layout import REPORT_PAGE, RESULT
from ..study.plan import Job
from ..study.resources import Needs, Resources
from .slurm import SlurmError
from .status import JobStatus, root_failure


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
        """The report follows all other runs, whether they succeeded or not."""
        return any(job is not None and job.is_report for job in self.jobs)

    def dependency(self, ids: Mapping[int, str]) -> str | None:
        """The value of sbatch's --dependency; `ids` are Slurm's numbers of the arrays before, by their index."""
        if self.is_report:
            return ",".join(f"afterany:{i}" for i in (*ids.values(), *self.others)) or None
        corresponds = "aftercorr" if len(self.jobs) > 1 else "afterok"
        parts = [f"afterok:{ids[n]}" for n in self.whole] + [f"{corresponds}:{ids[n]}" for n in self.corresponding]
        return ",".join(parts + [f"afterok:{job}" for job in self.others]) or None


def mark_to_submit(statuses: list[JobStatus], retry: bool) -> list[JobStatus]:
    """The same statuses; `missing` are the runs to be submitted, with `retry` also those that failed.

    Raises:
        SlurmError: a missing run needs one that runs outside of this Slurm.
    """
    by_key = {status.job.key: status for status in statuses}
    for status in statuses:
        if retry and status.state in ("failed", "blocked", "unknown"):
            status.state, status.note = "missing", ""
        if status.state != "missing" or status.job.is_report:
            continue
        needs = [by_key[key] for key in status.job.needs if key in by_key]
        if failed := [need for need in needs if need.state in ("failed", "blocked")]:
            status.state, status.note = "blocked", root_failure(failed[0])
        elif outside := [need for need in needs if need.active and not need.slurm]:
            name, owner = outside[0].job.name, outside[0].note
            raise SlurmError(f"{name} runs outside of Slurm ({owner}); wait for it, or end it")
        elif unknown := [need for need in needs if need.state == "unknown"]:
            raise SlurmError(f"{unknown[0].job.name} {unknown[0].note}")
    return statuses


def plan_arrays(statuses: Sequence[JobStatus], resources: Resources, largest: int) -> list[Array]:
    """The arrays of the missing runs, each after those that it waits for.

    A variant is one array over all seeds, as long as no seed waits for runs of an earlier launch and no array has
    more than `largest` elements.
    """
    missing = {e.job.key: e.job for e in statuses if e.state == "missing" and not e.job.is_report}
    active = {e.job.key: e.slurm.job for e in statuses if e.active and e.slurm}
    planned: list[Array] = []
    number_of: dict[str, int] = {}
    for seeds in _blocks(missing, active, largest):
        for group in _variants([job for job in missing.values() if job.seed in seeds]):
            by_seed = {job.seed: job for job in group}
            keys = dict.fromkeys(key for job in group for key in job.needs)
            before = {number_of[key]: missing[key].seed for key in keys if key in number_of}
            planned.append(
                Array(
                    name=_variant(group[0]),
                    jobs=tuple(by_seed.get(seed) for seed in seeds),
                    needs=resources.needs(group[0].kind),
                    corresponding=tuple(n for n, seed in before.items() if seed is not None),
                    whole=tuple(n for n, seed in before.items() if seed is None),
                    others=tuple(active[key] for key in keys if key in active),
                )
            )
            number_of.update({job.key: len(planned) - 1 for job in group})
    reports = [e for e in statuses if e.job.is_report and (planned or not e.active)]
    if reports and (planned or _is_outdated(reports[0], statuses)):
        others = sorted({job.partition("_")[0] for job in active.values()})
        planned.append(Array("report", (reports[0].job,), resources.needs("report"), others=tuple(others)))
    return planned


def _blocks(missing: Mapping[str, Job], active: Mapping[str, str], largest: int) -> Iterator[list[int | None]]:
    """Seeds that share an array: first None, what all seeds share, then those that wait for the same earlier jobs."""
    earlier: dict[int | None, set[str]] = {}
    for job in missing.values():
        earlier.setdefault(job.seed, set()).update(active[key] for key in job.needs if key in active)
    if None in earlier:
        yield [None]
    same_wait: dict[frozenset[str], list[int | None]] = {}
    for seed, jobs in earlier.items():
        if seed is not None:
            same_wait.setdefault(frozenset(jobs), []).append(seed)
    for seeds in same_wait.values():
        for start in range(0, len(seeds), largest):
            yield seeds[start : start + largest]


def _variants(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs that differ by their seed only, in the order of the plan."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        parameters = sorted((k, str(v)) for k, v in job.parameters.items() if k != "seed")
        groups.setdefault(f"{job.notebook.name} {parameters}", []).append(job)
    return list(groups.values())


def _variant(job: Job) -> str:
    return job.name.removesuffix(f"-s{job.seed}")


def _is_outdated(report: JobStatus, statuses: Sequence[JobStatus]) -> bool:
    """Whether a run has come to its end, or is about to, since the report was made."""
    page = report.job.folder / REPORT_PAGE
    results = [e.job.folder / RESULT for e in statuses if e.state == "finished" and not e.job.is_report]
    written = page.stat().st_mtime if page.is_file() else 0.0
    return any(e.active for e in statuses) or any(result.stat().st_mtime > written for result in results)


def gpu_hours(arrays: Sequence[Array]) -> float:
    """The most that the arrays may take, if each run takes one attempt."""
    return sum(a.needs.gpus_in_all * a.needs.timeout_min / 60 * sum(job is not None for job in a.jobs) for a in arrays)
