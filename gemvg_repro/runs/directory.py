"""What is a run directory, who may write to it, and when is it done?"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat

from .environment import record_environment
from .json_files import RunError, read_json_or_none, write_json
from .layout import ENVIRONMENT, LOG, PARAMETERS, PROGRESS, RESULT, JobFiles
from .log import Log
from .ownership import Lock, owner_of
from .progress import ProgressFile


class Interrupted(RuntimeError):
    """A run was stopped on request: all it did is kept, and the same command resumes it."""


def run_id(parameters: Mapping[str, Any]) -> str:
    """Ten hex digits of the SHA-256 of the parameters as canonical JSON (sorted keys, no spaces, no NaN)."""
    text = json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def result_of(folder: Path) -> dict[str, Any] | None:
    """The result of the run in this directory, or None while it is not finished.

    Raises:
        RunError: the file is damaged, or the result of another run.
    """
    result = read_json_or_none(folder / RESULT)
    if result is not None and not folder.name.endswith(f"-{result.get('id')}"):
        raise RunError(f"{folder / RESULT} is of run {result.get('id')}; a run directory keeps the name it was given")
    return result


def verified_result(folder: Path) -> dict[str, Any] | None:
    """The result of a run whose parameters.json is its own, or None while it is not finished.

    Raises:
        RunError: as `result_of` and `parameters_of` do.
    """
    parameters_of(folder)
    return result_of(folder)


def parameters_of(folder: Path) -> dict[str, Any] | None:
    """The parameters that move the numbers of the run in this directory; None where none were written yet.

    Raises:
        RunError: the file is damaged, edited, or another run's.
    """
    content = read_json_or_none(folder / PARAMETERS)
    if content is None:
        return None
    parameters = {k: v for k, v in content.items() if k != "id"}
    if not folder.name.endswith(f"-{run_id(parameters)}"):
        raise RunError(
            f"{folder / PARAMETERS} is not of run {folder.name.rpartition('-')[2]}, but of run {run_id(parameters)}"
            f" (results_version {parameters.get('results_version')}): it was edited, or the folder renamed."
            " Move the folder away and run the same command again."
        )
    return parameters


class Run:
    """A run directory that this process owns, or one that is finished and that nobody writes to any more.

    Used as a context manager, or closed by `finish`; a process that dies releases it as well.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any], lock: Lock | None) -> None:
        self.folder = folder
        self.parameters = dict(parameters)
        self.id = run_id(parameters)
        self.name = folder.name.removesuffix(f"-{self.id}")
        self._lock = lock
        self._progress = ProgressFile(folder)

    @classmethod
    def open(
        cls, root: Path, name: str, parameters: Mapping[str, Any], processes: int = 1, patience_s: float = 10.0
    ) -> Self:
        """Makes or reopens `root/name-id`; nothing in it is touched before this process is its owner.

        Args:
            root: the folder of all runs.
            name: such as `hybrid-s0`; for people, the id says what the run is.
            parameters: everything that can move the run's numbers, and nothing else.
            processes: how many compute it, for its environment.json.
            patience_s: how long to wait for an owner that is about to die (a killed notebook's kernel
                lives on for about a second).

        Raises:
            OwnedError: somebody else is writing to the directory.
            RunError: its parameters.json is not of this run.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.=-]*", name):
            raise RunError(f"{name!r} cannot name a run; expected lower-case letters, digits, '_', '-', '=' and '.'")
        folder = Path(root) / f"{name}-{run_id(parameters)}"
        run = cls(folder, parameters, None)
        parameters_of(folder)
        if run.finished is None:
            folder.mkdir(parents=True, exist_ok=True)
            run._lock = Lock.take(JobFiles(folder).owner_lock, patience_s)
            if owner_of(JobFiles(folder).lock) is None:
                JobFiles(folder).stop.unlink(missing_ok=True)  # it was for a process that is gone
            try:
                run._record_start(processes)
            except BaseException:
                run.close()
                raise
        return run

    @property
    def finished(self) -> dict[str, Any] | None:
        """The result, or None while there is none."""
        return result_of(self.folder)

    def log(self, name: str = LOG) -> Log:
        """The log of one JSON object a step; a line torn by a kill is cut off."""
        self._must_own(name)
        return Log(self.folder / name)

    def progress(self, step: int, total: int, seconds_left: float | None = None, **measures: SupportsFloat) -> None:
        """Writes progress.json, at most four times a second; `measures` are such as loss or reward."""
        self._must_own(PROGRESS)
        self._progress.write(step, total, seconds_left, measures)

    def stop_requested(self) -> bool:
        """Whether the run is to stop: save as soon as possible, then call `stop_if_requested`.

        Raises:
            OwnedError: the run is no longer this process's to write to.
        """
        if self._lock is not None:
            self._lock.check()
        return JobFiles(self.folder).stop.exists()

    def stop_if_requested(self) -> None:
        """Ends this process's work on the run if that is requested; called where all that was done is on disk.

        Raises:
            Interrupted: a stop was requested.
        """
        if self.stop_requested():
            raise Interrupted(f"{self.name} was stopped as requested; the same command resumes it")

    def write(self, name: str, value: Any) -> Path:
        """Writes a JSON file of the run as a whole."""
        self._must_own(name)
        write_json(self.folder / name, value)
        return self.folder / name

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Writes result.json, the only sign that the run is done, and releases the directory."""
        self.write(RESULT, {"id": self.id, "name": self.name, **result})
        self.close()
        return dict(self.finished or {})

    def close(self) -> None:
        """Releases the directory."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _must_own(self, name: str) -> None:
        if self._lock is None:
            why = "is finished" if self.finished else "was closed"
            raise RunError(f"{self.folder / name} was not written: the run {why}; `Run.open` makes it yours again")
        self._lock.check()

    def _record_start(self, processes: int) -> None:
        """Writes what the run is and where it runs."""
        if parameters_of(self.folder) is None:
            self.write(PARAMETERS, {"id": self.id, **self.parameters})
        self._must_own(ENVIRONMENT)
        record_environment(self.folder, processes)
