"""Starting the processes of a training by torch.distributed.run: they end with the process that starts them.

There are as many on each node of the job (`nodes`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ..files.validation import printable
from .nodes import node_count, torchrun_on_nodes
from .notebook import MAX_ERROR_CHARACTERS, die_with_parent

PROCESSES = "TRAINING_PROCESSES"
"""The environment variable that says how many processes train on a node; without it, one for each GPU."""

ERRORS = "processes-error.json"
"""The error file of torch's launcher; of several nodes each adds its number."""

SHUTDOWN_S = 5
"""After one process has ended by an error, the others, which ignore SIGTERM as Slurm sends it too, are killed."""


class ProcessFailed(RuntimeError):
    """One of the processes of a training has failed, and with it the training."""


def process_count(gpus: int) -> int:
    """How many processes train: on each node as many as the environment says; else one for each GPU that this process
    sees, or one."""
    return node_count() * int(os.environ.get(PROCESSES) or max(gpus, 1))


def run_processes(
    count: int, module: str, arguments: Sequence[str], folder: Path, on_event: Callable[[str, Any], None]
) -> Any:
    """Runs a module in so many processes; returns the value of the event `done` of the first of them, or None.

    The first process writes its events, {"event": name, "value": JSON} a line, to its standard output.

    Args:
        count: how many processes.
        module: what each runs.
        arguments: for each.
        folder: for the log of all processes, `processes.log`, and for their errors.
        on_event: called with the name and the value of every other event.

    Raises:
        ProcessFailed: with the error of the process that failed first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / ERRORS
    for old in folder.glob(f"{errors.name}*"):
        old.unlink()
    environment = os.environ | {"TORCHELASTIC_ERROR_FILE": str(errors)}
    done = None
    with (folder / "processes.log").open("wb") as log:
        process = subprocess.Popen(
            [*_launcher(count), "-m", module, *arguments], env=environment, stdout=subprocess.PIPE, stderr=log,
            text=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line)
                if message["event"] == "done":
                    done = message["value"]
                else:
                    on_event(message["event"], message["value"])
            status = process.wait()
        finally:
            _kill(process)
    if status:
        raise ProcessFailed(_error(folder, status))
    return done


def _launcher(count: int) -> list[str]:
    """The command of torch's launcher, without the module."""
    options = ["--signals-to-handle=SIGINT", f"--shutdown-timeout={SHUTDOWN_S}"]
    options += [f"--nproc-per-node={count // node_count()}"]
    if node_count() > 1:
        return torchrun_on_nodes(options)
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", *options]


def _kill(process: subprocess.Popen[str]) -> None:
    """Kills the launcher and what it started, if they live."""
    with suppress(psutil.NoSuchProcess):
        launcher = psutil.Process(process.pid)
        for each in (*launcher.children(recursive=True), launcher):
            with suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


def _error(folder: Path, status: int) -> str:
    """The error of the process that failed first, or the end of the log where it left none: it was killed."""
    messages = [json.loads(file.read_text())["message"] for file in folder.glob(f"{ERRORS}*")]
    log = folder / "processes.log"
    if messages:
        first = min(messages, key=lambda message: int(message["extraInfo"]["timestamp"]))
        text = f"{first['message']}\n{first['extraInfo']['py_callstack']}"
    else:
        text = log.read_text(errors="replace").rpartition("Root Cause")[2] or f"they ended with status {status}"
    return f"{printable(text, MAX_ERROR_CHARACTERS)}\nlog of all processes: {log}"
