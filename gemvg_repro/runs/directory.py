"""What is a run directory, who may write to it, and when is it done?"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..files.atomic import write_bytes, writing
from .ownership import Lock, owner_of
from .snapshot import current

LIBRARIES = ("torch", "transformers", "trl", "numpy", "tokenizers")
"""The libraries whose versions move the numbers."""

MODEL = "model"
"""The folder of a training's weights, within its run directory."""


class Interrupted(RuntimeError):
    """A run was asked to stop and has: all it did is kept, and the same command goes on from there."""


class RunError(RuntimeError):
    """A run directory is not what its name says, or was written to by someone who may not."""


@cache
def library_versions() -> Mapping[str, str]:
    """Versions that move the numbers: the LIBRARIES and Python's minor version."""
    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def plain(value: Any) -> Any:
    """The value as JSON holds it: scalars of numpy and torch become Python's, and what is not finite null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def run_id(parameters: Mapping[str, Any]) -> str:
    """Ten hex digits of the SHA-256 of the parameters as canonical JSON (sorted keys, no spaces, no NaN)."""
    text = json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file as a whole."""
    write_bytes(path, (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode())


def read_json_or_none(path: Path) -> Any:
    """The content of a JSON file, or None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(f"{path} is not JSON ({error}); move it away and run the same command again") from None


def desk_of(folder: Path) -> Path:
    """Where what belongs to the executions of a run is, and not to the run: locks, logs, half notebooks."""
    return folder.parent / ".jobs" / folder.name


def stop_file(folder: Path) -> Path:
    """While this file exists, the run in `folder` is asked to stop at the next point that it can go on from."""
    return desk_of(folder) / "stop"


def result_of(folder: Path) -> dict[str, Any] | None:
    """The result of the run in this directory, or None while it is not finished.

    Raises:
        RunError: when the result is another run's.
    """
    result: dict[str, Any] | None = read_json_or_none(folder / "result.json")
    if result is not None and not folder.name.endswith(f"-{result.get('id')}"):
        raise RunError(
            f"{folder}/result.json is of run {result.get('id')}; a run directory keeps the name it was given"
        )
    return result


def parameters_of(folder: Path) -> dict[str, Any] | None:
    """What moves the numbers of the run in this directory; None where nothing was written down yet.

    Raises:
        RunError: what is written down is another run's, or an edited one's.
    """
    known = read_json_or_none(folder / "parameters.json")
    if known is None:
        return None
    parameters = {k: v for k, v in known.items() if k != "id"} if isinstance(known, dict) else {}
    if not folder.name.endswith(f"-{run_id(parameters)}"):
        raise RunError(
            f"{folder}/parameters.json is not of run {folder.name.rpartition('-')[2]}, but of run {run_id(parameters)}"
            f" (results_version {parameters.get('results_version')}): it was edited, or the folder renamed."
            " Move the folder away and run the same command again."
        )
    return parameters


class Log:
    """A file of one JSON object a line, appended to as a run goes; it may be cut off at any byte."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keep([line for line, _ in self._lines()])

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds one line; numbers that are not finite are written as null."""
        line = json.dumps(plain(record), allow_nan=False) + "\n"
        with writing(self.path, len(line)), self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def rewind(self, step: int) -> None:
        """Forgets what was logged after `step`, the checkpoint from which the run goes on."""
        self._keep([line for line, record in self._lines() if record.get("step", 0) <= step])

    def records(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        return [record for _, record in self._lines()]

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Whole lines up to the first torn one."""
        for line in self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n") or not isinstance(record, dict):
                return
            yield line, record

    def _keep(self, lines: list[bytes]) -> None:
        content = b"".join(lines)
        if self.path.exists() and self.path.stat().st_size != len(content):
            write_bytes(self.path, content)


class Run:
    """A run directory that this process owns, or one that is finished and that nobody writes to any more.

    Used as a context manager, or closed by `finish`; a process that dies gives it up as well.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any], lock: Lock | None) -> None:
        self.folder = folder
        self.parameters = dict(parameters)
        self.id = run_id(parameters)
        self.name = folder.name.removesuffix(f"-{self.id}")
        self._lock = lock
        self._progress_at = -math.inf

    @classmethod
    def open(cls, root: Path, name: str, parameters: Mapping[str, Any], patience_s: float = 10.0) -> Self:
        """Makes or reopens `root/name-id`; nothing in it is touched before this process is its owner.

        Args:
            root: the folder of all runs.
            name: such as `hybrid-s0`; for people, the id says what the run is.
            parameters: everything that can move the run's numbers, and nothing else.
            patience_s: how long to wait for an owner that is about to die (a killed notebook's kernel
                lives on for about a second).

        Raises:
            OwnedError: somebody else is writing to the directory.
            RunError: its parameters.json is not of this run.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", name):
            raise RunError(f"{name!r} cannot name a run; expected lower-case letters, digits, '_', '-' and '.'")
        folder = Path(root) / f"{name}-{run_id(parameters)}"
        run = cls(folder, parameters, None)
        parameters_of(folder)
        if run.finished is None:
            folder.mkdir(parents=True, exist_ok=True)
            run._lock = Lock.take(folder / "owner.lock", patience_s)
            if owner_of(desk_of(folder) / "job.lock") is None:
                stop_file(folder).unlink(missing_ok=True)  # whoever was meant is gone; else it is for who executes this
            try:
                run._introduce()
            except BaseException:
                run.close()
                raise
        return run

    @property
    def finished(self) -> dict[str, Any] | None:
        """The result, or None while there is none."""
        return result_of(self.folder)

    def log(self, name: str = "log.jsonl") -> Log:
        """The log of one JSON object a step; a line torn by a kill is cut off."""
        self._must_own(name)
        return Log(self.folder / name)

    def progress(self, step: int, total: int, seconds_left: float | None = None, **measures: float) -> None:
        """Says how far the run is, for whoever watches: `measures` such as loss or reward.

        Called as often as one likes; the file is rewritten at most four times a second, and at the last step.
        """
        self._must_own("progress.json")
        if step < total and time.monotonic() - self._progress_at < 0.25:
            return
        self._progress_at = time.monotonic()
        state = {
            "step": step,
            "total": total,
            "seconds_left": seconds_left,
            **measures,
            "updated": time.time(),
        }
        write_json(self.folder / "progress.json", state)

    def asked_to_stop(self) -> bool:
        """Whether somebody wants this machine: save as soon as can be, then `stop_if_asked`.

        Raises:
            OwnedError: the run is no longer this process's to write to.
        """
        if self._lock is not None:
            self._lock.check()
        return stop_file(self.folder).exists()

    def stop_if_asked(self) -> None:
        """Ends the run's work for now; called where all that was done is on disk.

        Raises:
            Interrupted: when the run is asked to stop.
        """
        if self.asked_to_stop():
            raise Interrupted(f"{self.name} was asked to stop, and did; the same command goes on from here")

    def write(self, name: str, value: Any) -> Path:
        """Writes a JSON file of the run as a whole."""
        self._must_own(name)
        write_json(self.folder / name, value)
        return self.folder / name

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Writes result.json, the only sign that the run is done, and gives the directory up."""
        self.write("result.json", {"id": self.id, "name": self.name, **result})
        self.close()
        return dict(self.finished or {})

    def close(self) -> None:
        """Gives the directory up."""
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

    def _introduce(self) -> None:
        """Writes what the run is and where it runs."""
        if parameters_of(self.folder) is None:
            self.write("parameters.json", {"id": self.id, **self.parameters})
        earlier = read_json_or_none(self.folder / "environment.json") or {"earlier": []}
        before = [*earlier.pop("earlier"), earlier] if len(earlier) > 1 else []
        code, patch = current(), None
        if code.difference:
            content = code.difference.encode()
            patch = f"difference-{hashlib.sha256(content).hexdigest()[:8]}.patch"
            write_bytes(self.folder / patch, content)
        made_by = {"commit": code.commit, "dirty": patch is not None, "difference": patch}
        self.write("environment.json", {**made_by, **environment(), "earlier": before})


class Announcer:
    """Says every ten seconds, and at the end, how far a run is: for whoever watches a notebook's output."""

    def __init__(self, name: str, every_s: float = 10.0):
        self._name = name
        self._every_s = every_s
        self._last = -every_s

    def __call__(self, step: int, total: int, seconds_left: float, measures: Mapping[str, float]) -> None:
        now = time.monotonic()
        if step == total or now - self._last >= self._every_s:
            self._last = now
            shown = "".join(f"  {name} {value:.3f}" for name, value in measures.items())
            print(f"{self._name}: {step}/{total}{shown}  {seconds_left / 60:.1f} min left", flush=True)  # noqa: T201


def environment() -> dict[str, Any]:
    """Where and with what this process runs: recorded beside a run, never part of its id."""
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": {k: v for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if (v := os.environ.get(k))},
        "versions": {**library_versions(), "python": platform.python_version()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
