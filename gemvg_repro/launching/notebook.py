"""How is one notebook executed, in processes of its own that end with it?"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ..files.validation import printable
from ..runs.directory import Interrupted
from ..runs.layout import (
    NOTEBOOK,
    REPORT_NOTEBOOK,
    RESULT,
    failure_file,
    job_folder,
    job_lock,
    job_log,
    owner_lock,
    partial_notebook,
    stop_file,
)
from ..runs.ownership import Lock, Owner, owner_of
from ..study.plan import Job

KERNELS = Path(__file__).parent / "jupyter"
"""Where Jupyter looks for `python3` first, so that no kernel of that name installed elsewhere is taken.

Its command, `python`, is what jupyter_client replaces by the interpreter of the process that starts it.
"""

# jupyterlab brings rfc3987_syntax, which jsonschema imports if it can, at 2 s a process, for a check of IRIs
# that no notebook has.
_QUICKLY = "import sys; sys.modules['rfc3987_syntax'] = None; "
_PAPERMILL = _QUICKLY + "from papermill.cli import papermill; papermill()"

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
FULL = 2**20
"""Bytes: where less is free no notebook can be executed, and that is why it failed, whatever else is told."""

MOST_TOLD = 4000
"""Characters of an error that are passed on; the log has all of them."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SHIELDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Slurm sends them to every process of a job; papermill and its kernel are told to stop by `stop_file` instead."""
_LIBC = ctypes.CDLL(None)  # loaded here, since little may be done between fork and exec


class NotebookFailed(RuntimeError):
    """A notebook was executed and did not come to its end."""


def log_of(job: Job) -> Path:
    """What the last execution of the job's notebook printed, cell by cell as it ran."""
    return job_log(job.folder)


def failure_of(job: Job) -> Path:
    """Why the last execution of the job failed; there is no such file when it did not."""
    return failure_file(job.folder)


def told(job: Job) -> str:
    """Why the last execution of the job failed, in words."""
    free = shutil.disk_usage(failure_of(job).parent).free
    return failure_of(job).read_text(encoding="utf-8", errors="replace") or (
        f"{job.name} failed, and why could not be written down; the disk has {free:,} bytes left."
        " Free some room, and the same command goes on"
    )


def at_it(job: Job) -> Owner | None:
    """Who executes the job now, from this machine or from another."""
    return owner_of(owner_lock(job.folder)) or owner_of(job_lock(job.folder))


def launcher_of(job: Job) -> psutil.Process | None:
    """The launcher on this machine that executes the job now, if one does."""
    owner = owner_of(job_lock(job.folder))
    if owner is None or not owner.lives:
        return None
    above = psutil.Process(owner.pid).parents()
    return next((p for p in above if any(Path(word).name == "launch.py" for word in p.cmdline())), None)


def execute(job: Job, root: Path) -> None:
    """Executes the job's notebook unless the run is finished, waiting for whoever is at it already.

    The executed notebook ends up in the run directory. The process that calls this owns the job all along;
    papermill and its kernel end when it does.

    Args:
        job: what to execute.
        root: the project; the notebook runs in it.

    Raises:
        NotebookFailed: with the error of the failing cell, and the paths of the log and the half notebook.
        Interrupted: the run was asked to stop (`stop_file`) and has.
    """
    job_folder(job.folder).mkdir(parents=True, exist_ok=True)
    failure = failure_of(job)
    if (owner := at_it(job)) is not None:
        print(f"{job.name}: waiting for {owner}, who is at it already", flush=True)  # noqa: T201
    lock = Lock.take(job_lock(job.folder), patience_s=None)
    try:
        failure.unlink(missing_ok=True)
        stop_file(job.folder).unlink(missing_ok=True)
        while owner_of(owner_lock(job.folder)) is not None:
            time.sleep(0.5)  # for a notebook that a person executes, or for the kernel of a killed one
        if not job.finished:
            _execute(job, root, partial_notebook(job.folder))
    except Interrupted:
        raise
    except Exception as error:
        with suppress(OSError):  # a full disk has no room for this either
            failure.write_text(str(error), encoding="utf-8")
        raise
    finally:
        lock.release()


def end(job: Job) -> None:
    """Ends what executes the job on this machine, and that alone; as after any kill, what it wrote is whole."""
    if (owner := owner_of(job_lock(job.folder))) is None:
        return
    failure_of(job).write_text(f"{job.name} was ended by --cancel; the same command goes on with it", encoding="utf-8")
    with suppress(psutil.NoSuchProcess):
        psutil.Process(owner.pid).kill()  # papermill and its kernel end with it


def end_children() -> None:
    """Kills all that descends from this process; as after any kill, what they wrote is whole."""
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def export_html(notebook: Path) -> None:
    """Writes the executed report as a page beside it, by the report's own command (a floor above this one)."""
    command = [sys.executable, "-m", "gemvg_repro.report.page.html", str(notebook)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotebookFailed(f"{notebook} was executed, but no HTML could be made of it:\n{done.stderr[-2000:]}")


def _execute(job: Job, root: Path, part: Path) -> None:
    part.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-c",
        _PAPERMILL,
        str(job.notebook),
        str(part),
        "-k",
        "python3",
        "-l",
        "python",
    ]
    command += [
        "--log-output",
        "--no-progress-bar",
        "--start-timeout",  # papermill's own 60 s are short on a busy machine or a cold file system
        "600",
        "-y",
        json.dumps(dict(job.parameters), ensure_ascii=False),
    ]
    threads = str(job.threads)
    environment = os.environ | {
        "HOME": _home(part.parent),
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(KERNELS), os.environ.get("JUPYTER_PATH")])),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
    }
    with log_of(job).open("wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=log, stderr=log, preexec_fn=_tied_to_parent
        )
        try:
            status = process.wait()
        except BaseException:
            end_children()
            raise
    if status and stop_file(job.folder).exists():
        raise Interrupted(f"{job.name} was asked to stop, and did")
    if status or not (job.is_report or job.finished):
        raise NotebookFailed(_why(job, part, status))
    job.folder.mkdir(parents=True, exist_ok=True)
    executed = job.folder / (REPORT_NOTEBOOK if job.is_report else NOTEBOOK)
    os.replace(part, executed)
    if job.is_report:
        export_html(executed)


def _home(desk: Path) -> str:
    """Where Jupyter and others keep what they need while they run: the home, or a folder here where there is none."""
    home = os.environ.get("HOME", "")
    if home and Path(home).is_dir() and os.access(home, os.W_OK):
        return home
    (desk / "home").mkdir(exist_ok=True)
    return str(desk / "home")


def _tied_to_parent() -> None:
    """In the child: be ended by the parent only, and with it, even by kill -9; ipykernel follows within a second."""
    for number in _SHIELDED:
        signal.signal(number, signal.SIG_IGN)  # inherited by the kernel, from its first instruction on
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _why(job: Job, part: Path, status: int) -> str:
    """What failed, by the cells: papermill's metadata says `completed` even when the kernel was killed."""
    cells: list[dict[str, Any]] = []
    if part.is_file():
        cells = json.loads(part.read_text(encoding="utf-8"))["cells"]
    where = f"{job.notebook.name} failed for {job.name}"
    half = f"notebook: {part}" if part.is_file() else "no cell was executed"
    if (free := shutil.disk_usage(part.parent).free) < FULL:
        half = f"the disk of {part.parent} is full: {free:,} bytes are free\n{half}"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                text = printable(ANSI.sub("", f"{output['ename']}: {output['evalue']}"), MOST_TOLD)
                return f"{where} in cell [{cell['execution_count']}]: {text}\n{half}"
    if status:
        return f"{where}: papermill ended with status {status}, without an error; was its kernel killed?\n{half}"
    return f"{where}: it was executed to its end and wrote no {job.folder / RESULT}\n{half}"
