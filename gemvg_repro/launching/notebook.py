"""Executing one notebook, in processes of its own that end with the caller."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ..files.validation import printable
from ..runs.directory import Interrupted
from ..runs.layout import NOTEBOOK, REPORT_NOTEBOOK, RESULT
from ..runs.owner import Owner
from ..runs.ownership import owner_of, take_job
from ..study.plan import Job
from ..study.resources import Needs
from .gpus import check_gpus

KERNELS = Path(__file__).parent / "jupyter"
"""Where Jupyter looks for `python3` first, so that no kernel of that name installed elsewhere is taken.

Its command, `python`, is what jupyter_client replaces by the interpreter of the process that starts it.
"""

# jupyterlab brings rfc3987_syntax, which jsonschema imports if it can, at 2 s a process, for a check of IRIs
# that no notebook has.
_SKIP_SLOW_IMPORT = "import sys; sys.modules['rfc3987_syntax'] = None; "
PAPERMILL = _SKIP_SLOW_IMPORT + "from papermill.cli import papermill; papermill()"
"""A program for `python -c`, which takes papermill's arguments."""

PATIENT = "passive"
"""Threads that wait for each other sleep. By GNU OpenMP's default they spin, which costs nothing on an idle machine; on
one with other work they keep the core that the other thread waits for, and a step takes ten times as long."""

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
FULL_DISK_BYTES = 2**20
"""Where fewer bytes are free no notebook can be executed: the full disk is why it failed."""

MAX_ERROR_CHARACTERS = 4000
"""Of an error in a message; the log has all of it."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Slurm sends them to every process of a job; papermill and its kernel are told to stop by `stop_file` instead."""
_LIBC = ctypes.CDLL(None)  # loaded here, since little may be done between fork and exec


class NotebookFailed(RuntimeError):
    """A notebook was executed and did not come to its end."""


def failure_text(job: Job) -> str:
    """The error of the job's last execution."""
    free = shutil.disk_usage(job.files.failure.parent).free
    return job.files.failure.read_text(encoding="utf-8", errors="replace") or (
        f"{job.name} failed, and its error could not be written down; the disk has {free:,} bytes left."
        " Free some room; the same command resumes it"
    )


def launcher_of(job: Job) -> psutil.Process | None:
    """The launcher on this machine that runs the job now, if one does."""
    owner = owner_of(job.files.lock)
    if owner is None or not owner.lives:
        return None
    parents = psutil.Process(owner.pid).parents()
    return next((p for p in parents if any(Path(part).name == "launch.py" for part in p.cmdline())), None)


def execute(job: Job, root: Path, needs: Needs | None = None) -> None:
    """Executes the job's notebook unless the run is finished, waiting for whoever executes it already.

    The executed notebook ends up in the run directory. The process that calls this owns the job all along;
    papermill and its kernel end when it does.

    Args:
        job: what to execute.
        root: the project; the notebook runs in it.
        needs: what was requested of the machine for it; the run does not begin without its GPUs.

    Raises:
        NotebookFailed: with the error of the failing cell, and the paths of the log and the half notebook.
        Interrupted: the run was asked to stop (`stop_file`) and has.
    """
    failure = job.files.failure
    lock = take_job(job.files, lambda owner: _say_waiting(job, owner))
    try:
        failure.unlink(missing_ok=True)
        if not job.finished:
            check_gpus(needs)
            _execute(job, root, job.files.partial_notebook)
    except Interrupted:
        raise
    except Exception as error:
        with suppress(OSError):  # a full disk has no room for this either
            failure.write_text(str(error), encoding="utf-8")
        raise
    finally:
        lock.release()


def _say_waiting(job: Job, owner: Owner) -> None:
    print(f"{job.name}: waiting for {owner}, which executes it already", flush=True)  # noqa: T201


def kill(job: Job) -> None:
    """Kills what executes the job on this machine, and that alone; what it wrote stays whole."""
    if (owner := owner_of(job.files.lock)) is None:
        return
    job.files.failure.write_text(f"{job.name} was ended by --cancel; the same command resumes it", encoding="utf-8")
    with suppress(psutil.NoSuchProcess):
        psutil.Process(owner.pid).kill()  # papermill and its kernel end with it


def kill_children() -> None:
    """Kills all descendants of this process; what they wrote stays whole."""
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
        PAPERMILL,
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
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", PATIENT),
        "TOKENIZERS_PARALLELISM": "false",
    }
    with job.files.log.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=log, stderr=log, preexec_fn=die_with_parent
        )
        try:
            status = process.wait()
        except BaseException:
            kill_children()
            raise
    if status and job.files.stop.exists():
        raise Interrupted(f"{job.name} was asked to stop, and did")
    if status or not (job.is_report or job.finished):
        raise NotebookFailed(_failure_message(job, part, status))
    job.folder.mkdir(parents=True, exist_ok=True)
    executed = job.folder / (REPORT_NOTEBOOK if job.is_report else NOTEBOOK)
    os.replace(part, executed)
    if job.is_report:
        export_html(executed)


def _home(folder: Path) -> str:
    """The home that Jupyter and others write to, or a folder here where there is none."""
    home = os.environ.get("HOME", "")
    if home and Path(home).is_dir() and os.access(home, os.W_OK):
        return home
    (folder / "home").mkdir(exist_ok=True)
    return str(folder / "home")


def die_with_parent() -> None:
    """In the child: ignores Slurm's signals, dies with the parent even by kill -9; ipykernel follows in a second."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # inherited by the kernel, from its first instruction on
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _failure_message(job: Job, part: Path, status: int) -> str:
    """The error of the failed cell; papermill's metadata says `completed` even when the kernel was killed."""
    cells: list[dict[str, Any]] = []
    if part.is_file():
        cells = json.loads(part.read_text(encoding="utf-8"))["cells"]
    where = f"{job.notebook.name} failed for {job.name}"
    half = f"notebook: {part}" if part.is_file() else "no cell was executed"
    if (free := shutil.disk_usage(part.parent).free) < FULL_DISK_BYTES:
        half = f"the disk of {part.parent} is full: {free:,} bytes are free\n{half}"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                text = printable(ANSI.sub("", f"{output['ename']}: {output['evalue']}"), MAX_ERROR_CHARACTERS)
                return f"{where} in cell [{cell['execution_count']}]: {text}\n{half}"
    if status:
        return f"{where}: papermill ended with status {status}, without an error; was its kernel killed?\n{half}"
    return f"{where}: it was executed to its end and wrote no {job.folder / RESULT}\n{half}"
