"""Which runs are on disk, how far is each, and what did it record?"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ...runs.directory import result_of
from ...runs.json_files import RunError, read_json_or_none
from ...runs.layout import ENVIRONMENT, LOG, PARAMETERS, RESULT, VALIDATION_REWARD, JobFiles
from ...runs.progress import progress_of
from ...study.identity import RESULTS_VERSION
from ...study.overrides import variant
from ..labels import position
from .score_files import read_rewards, read_scores

Purpose = Literal["data", "training", "evaluation", "answers"]
PURPOSES: tuple[Purpose, ...] = ("data", "training", "evaluation", "answers")
"""answers: another model's, of a file (`other_models`)."""

ANSWERS = "answers"

State = Literal["finished", "unfinished", "failed", "unreadable"]

_KINDS: dict[str, Purpose] = {"data": "data", "train": "training", "evaluate": "evaluation", ANSWERS: "answers"}
"""By the `kind` of parameters.json."""

_DIRECTORY = re.compile(r"(?P<name>[a-z0-9][a-z0-9_.=-]*)-(?P<id>[0-9a-f]{10})")


@dataclass(frozen=True)
class Run:
    """One run directory. Only `result.json` says that a run is finished; the rest tells how far it came.

    Attributes:
        directory: `name-id`; nothing but these two is taken from its name.
        purpose: what parameters.json says.
        variant, seed, overrides: what result.json says. Of an unfinished training the variant is its mode, or its name
            where that has overrides; of other unfinished runs it is the name.
        state: how it stands, and `note`, why.
    """

    directory: Path
    name: str
    id: str
    purpose: Purpose
    variant: str
    seed: int | None
    state: State
    note: str
    overrides: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict, repr=False)
    environment: dict[str, Any] = field(default_factory=dict, repr=False)
    result: dict[str, Any] = field(default_factory=dict, repr=False)

    def log(self) -> pd.DataFrame:
        """As `log_of`."""
        return log_of(self.directory)

    def scores(self) -> dict[tuple[str, str], pd.DataFrame]:
        """The scores of every sample, one row each, by (benchmark, mode); read once, and not to be changed."""
        return self._scores

    @cached_property
    def _scores(self) -> dict[tuple[str, str], pd.DataFrame]:
        return {task: read_scores(path) for task, path in self._files("scores").items()}

    def of_metric(self, benchmark: str, mode: str, of: str) -> pd.DataFrame:
        """The rows of `scores` that an official metric averages; made once, and not to be changed."""
        return self._of_metric.get((benchmark, mode, of), pd.DataFrame())

    @cached_property
    def _of_metric(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        tables = ((task, table) for task, table in self._scores.items() if "of" in table)
        return {(*task, str(of)): part for task, table in tables for of, part in table.groupby("of", sort=False)}

    def official(self) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
        """The headline of every official score: by (benchmark, mode), by metric, its value, n and share."""
        return {
            task: (read_json_or_none(path) or {}).get("headline", {}) for task, path in self._files("official").items()
        }

    def revision(self, benchmark: str, mode: str) -> str | None:
        """The known revision of the file that a benchmark was scored on; None if it is none."""
        path = self._files("official").get((benchmark, mode))
        fingerprint = ((read_json_or_none(path) if path else None) or {}).get("fingerprint", {})
        revision: str | None = fingerprint.get("revision")
        return revision

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """What a finished evaluation was of: benchmark, mode, samples, and the files of each (None: it has none)."""
        return list(self.result.get("tasks", ()))

    def _files(self, which: Literal["scores", "official"]) -> dict[tuple[str, str], Path]:
        tasks = ((task, self.directory / task[which]) for task in self.tasks if task[which])
        return {(task["benchmark"], task["mode"]): path for task, path in tasks}


@dataclass(frozen=True)
class Collection:
    """The runs of one folder.

    `counted` enter the numbers: one run a name. `others` lie beside them, of another seed or of other settings;
    `missing` were expected and have no directory. `read_at`: when reading began, in seconds since the epoch.
    """

    counted: tuple[Run, ...]
    others: tuple[Run, ...] = ()
    missing: tuple[str, ...] = ()
    read_at: float = 0.0

    def finished(self, purpose: Purpose) -> list[Run]:
        """Finished runs that enter the numbers, in the order of the variants, then by seed."""
        return [run for run in self.counted if run.purpose == purpose and run.state == "finished"]


def collect(runs: Path, expected: Sequence[str] = ()) -> Collection:
    """Reads every run directory under `runs`; a folder that does not exist holds no runs.

    Args:
        runs: the folder of run directories (`<name>-<id>`); whatever else lies in it is passed over.
        expected: names of directories that the plan of a grid asks for (`hybrid-s0-0123456789`). With them,
            exactly those enter the numbers, and the newest answers of other models; without, the newest finished run
            of each name does.

    Raises:
        ValueError: two of the expected are of one name, so of different settings.
    """
    _one_a_name(expected)
    read_at = time.time()
    directories = sorted(runs.iterdir()) if runs.is_dir() else []
    runs_on_disk = [run for run in map(_read, directories) if run is not None]
    given = [run for run in runs_on_disk if run.purpose == "answers"]
    counted = {*expected} | _newest(given if expected else runs_on_disk)
    ordered = sorted(runs_on_disk, key=_order)
    present = {run.directory.name for run in runs_on_disk}
    return Collection(
        counted=tuple(readable(run) for run in ordered if run.directory.name in counted),
        others=tuple(run for run in ordered if run.directory.name not in counted),
        missing=tuple(name for name in expected if name not in present),
        read_at=read_at,
    )


def readable(run: Run) -> Run:
    """The run; as unreadable, with the reason, if one of its tables is damaged or of an earlier version."""
    if run.state != "finished":
        return run
    try:
        run.scores()
        run.official()
        if (rewards := run.directory / VALIDATION_REWARD).is_file():
            read_rewards(rewards)
    except (OSError, ValueError, TypeError, KeyError, RunError) as error:
        version = run.parameters.get("results_version", RESULTS_VERSION)
        of = f" (results version {version}; this is {RESULTS_VERSION})" if version != RESULTS_VERSION else ""
        return replace(run, state="unreadable", note=f"{error}{of}; remove the folder and launch again")
    return run


def completeness(collection: Collection) -> pd.DataFrame:
    """One row per run that was expected or found: run, id, state, note. What is left out comes last."""
    rows = [(run.name, run.id, str(run.state), run.note) for run in collection.counted]
    rows += [(*_name_and_id(directory), "missing", "not started") for directory in collection.missing]
    rows += [(run.name, run.id, "left out", f"{run.state}, other seed or settings") for run in collection.others]
    return pd.DataFrame(rows, columns=["run", "id", "state", "note"])


def _name_and_id(directory: str) -> tuple[str, str]:
    match = _DIRECTORY.fullmatch(directory)
    return (match["name"], match["id"]) if match else (directory, "")


def _one_a_name(expected: Sequence[str]) -> None:
    """Refuses what could only be averaged over more than seeds."""
    first: dict[str, str] = {}
    for directory in dict.fromkeys(expected):
        name, _ = _name_and_id(directory)
        if (other := first.setdefault(name, directory)) != directory:
            raise ValueError(
                f"the grid plans two runs {name}, {other} and {directory}, which differ in profile, data, steps or "
                "samples; a report is of one setting: give it a grid with one value of each, such as "
                "`python sweeps/launch.py GRID.yaml --set steps=20` makes and reports"
            )


def _read(directory: Path) -> Run | None:
    match = _DIRECTORY.fullmatch(directory.name)
    if match is None or not directory.is_dir():
        return None
    documents = _documents(directory)
    about = {**documents.get("parameters", {}), **documents.get("result", {})}
    purpose = _KINDS.get(str(about.get("kind")), "training")
    if purpose == "evaluation" and documents["state"] == "finished" and "tasks" not in about:
        old = "its result.json does not name its tasks: an earlier version made it; remove the folder and launch again"
        documents |= {"state": "unreadable", "note": old}
    return Run(
        directory=directory,
        name=match["name"],
        id=match["id"],
        purpose=purpose,
        variant=_variant(match["name"], about),
        seed=about.get("seed"),
        overrides=about.get("overrides", {}),
        **documents,
    )


def _variant(name: str, about: Mapping[str, Any]) -> str:
    """By the mode and the overrides; without them, by name."""
    mode, seed = about.get("mode"), about.get("seed")
    if mode is None:
        return name
    if "overrides" not in about and name != f"{mode}-s{seed}":
        return name
    return variant(mode, about.get("overrides", {}))


def _documents(directory: Path) -> dict[str, Any]:
    """The run's JSON files, and the state that they show."""
    try:
        result = result_of(directory)
        documents = {
            "parameters": read_json_or_none(directory / PARAMETERS),
            "environment": read_json_or_none(directory / ENVIRONMENT),
        }
        state, note = ("finished", "") if result else _unfinished(directory)
    except RunError as error:
        return {"state": "unreadable", "note": str(error)}
    return {"state": state, "note": note, "result": result or {}} | {k: v or {} for k, v in documents.items()}


def _unfinished(directory: Path) -> tuple[State, str]:
    progress = {"step": 0, "total": "?"} | progress_of(directory)
    step = f"step {progress['step']} of {progress['total']}"
    failure = JobFiles(directory).failure
    if failure.is_file():
        return "failed", f"{step}; {failure.read_text('utf-8', errors='replace')[:300]}"
    return "unfinished", f"{step}; launching again resumes there"


def _newest(runs: list[Run]) -> set[str]:
    """Of the runs of one name, the finished one whose result was written last; else the last by its id."""

    def age(run: Run) -> tuple[float, str]:
        return (run.directory / RESULT).stat().st_mtime if run.state == "finished" else 0.0, run.id

    newest = {run.name: run for run in sorted(runs, key=age)}
    return {run.directory.name for run in newest.values()}


def _order(run: Run) -> tuple[int, tuple[int, str], int, str]:
    return PURPOSES.index(run.purpose), position(run.variant), -1 if run.seed is None else run.seed, run.id


def log_of(directory: Path) -> pd.DataFrame:
    """One row per training step of the run in this directory, indexed by step; empty before the first.

    A line cut off by a kill, or not written to its end, is left out; of a step that was logged twice (before a kill,
    and after the resume) the later line counts.
    """
    rows = [row for row in map(_parsed, _lines(directory / LOG)) if "step" in row]
    table = pd.DataFrame(list({row["step"]: row for row in rows}.values()), columns=None if rows else ["step"])
    return table.set_index("step").sort_index()


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []


def _parsed(text: str) -> dict[str, Any]:
    """The JSON object, or {} where the text is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
