"""How is one notebook executed, in processes of its own that end with it?"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import submitit

from .locks import Lock, owner_of
from .plan import Job, Resources

KERNELS = Path(__file__).parent / "jupyter"
"""Where Jupyter looks for `python3` first, so that no kernel of that name installed elsewhere is taken.

Its command, `python`, is what jupyter_client replaces by the interpreter of the process that starts it.
"""

# jupyterlab brings rfc3987_syntax, which jsonschema imports if it can, at 2 s a process, for a check of IRIs
# that no notebook has.
_QUICKLY = "import sys; sys.modules['rfc3987_syntax'] = None; "
_PAPERMILL = _QUICKLY + "from papermill.cli import papermill; papermill()"

ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)  # loaded here, since little may be done between fork and exec


class NotebookFailed(RuntimeError):
    """A notebook was executed and did not come to its end."""


def desk_of(job: Job) -> Path:
    """The folder of what belongs to a job's executions and not to the run: locks, logs, half notebooks."""
    return job.folder.parent / ".jobs" / job.key


def log_of(job: Job) -> Path:
    """What the last execution of the job's notebook printed, cell by cell as it ran."""
    return desk_of(job) / "log.txt"


def execute(job: Job, root: Path) -> None:
    """Executes the job's notebook unless the run is finished, waiting for whoever is at it already.

    The executed notebook ends up in the run directory. The process that calls this owns the job all along;
    papermill and its kernel end when it does.

    Args:
        job: what to execute.
        root: the project; the notebook runs in it.

    Raises:
        NotebookFailed: with the error of the failing cell, and the paths of the log and the half notebook.
    """
    desk = desk_of(job)
    desk.mkdir(parents=True, exist_ok=True)
    failure = desk / "failure.txt"
    lock = Lock.take(desk / "job.lock", patience_s=None)
    try:
        failure.unlink(missing_ok=True)
        while owner_of(job.folder / "owner.lock") is not None:
            time.sleep(0.5)  # for a notebook that a person executes, or for the kernel of a killed one
        if not job.finished:
            _execute(job, root, desk / "notebook.part.ipynb")
    except Exception as error:
        failure.write_text(str(error), encoding="utf-8")
        raise
    finally:
        lock.release()


def executor_of(resources: Resources, folder: Path) -> submitit.Executor:
    """The one place that knows clusters: submitit's executor, with its files in `folder`.

    Raises:
        NotImplementedError: for a cluster that cannot be used yet.
    """
    if resources.cluster != "local":
        raise NotImplementedError(
            f"cluster: {resources.cluster} is planned and not built; "
            "write `cluster: local` under `resources` in the grid to run it on this machine"
        )
    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(timeout_min=resources.timeout_min, gpus_per_node=resources.gpus, stderr_to_stdout=True)
    return executor


def end_children() -> None:
    """Kills all that descends from this process; as after any kill, what they wrote is whole."""
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def export_html(notebook: Path) -> None:
    """Writes the executed report as a page beside it, by the report's own command (a floor above this one)."""
    command = [sys.executable, "-m", "gemvg_repro.report.html", str(notebook)]
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
        "-y",
        json.dumps(dict(job.parameters), ensure_ascii=False),
    ]
    threads = str(job.threads)
    environment = os.environ | {
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(KERNELS), os.environ.get("JUPYTER_PATH")])),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
    }
    with log_of(job).open("wb") as log:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=log, stderr=log, preexec_fn=_die_with_parent
        )
        try:
            status = process.wait()
        except BaseException:
            end_children()
            raise
    if status or not (job.is_report or job.finished):
        raise NotebookFailed(_why(job, part, status))
    job.folder.mkdir(parents=True, exist_ok=True)
    executed = job.folder / ("report.ipynb" if job.is_report else "notebook.ipynb")
    os.replace(part, executed)
    if job.is_report:
        export_html(executed)


def _die_with_parent() -> None:
    """In the child: be killed when the parent dies, even by kill -9; ipykernel follows within a second."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _why(job: Job, part: Path, status: int) -> str:
    """What failed, by the cells: papermill's metadata says `completed` even when the kernel was killed."""
    cells: list[dict[str, Any]] = []
    if part.is_file():
        cells = json.loads(part.read_text(encoding="utf-8"))["cells"]
    where = f"{job.notebook.name} failed for {job.name}"
    half = f"notebook: {part}" if part.is_file() else "no cell was executed"
    for cell in cells:
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                text = ANSI.sub("", f"{output['ename']}: {output['evalue']}")
                return f"{where} in cell [{cell['execution_count']}]: {text}\n{half}"
    if status:
        return f"{where}: papermill ended with status {status}, without an error; was its kernel killed?\n{half}"
    return f"{where}: it was executed to its end and wrote no {job.folder / 'result.json'}\n{half}"
