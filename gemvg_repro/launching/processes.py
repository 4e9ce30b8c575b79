"""Starting the processes of a training by torch.distributed.run: they end with the process that starts them."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from ..files.validation import printable
from .notebook import MAX_ERROR_CHARACTERS, die_with_parent

PER_NODE, NODES = "TRAINING_PROCESSES", "TRAINING_NODES"
"""The environment variables by which whoever executes a notebook says how many processes train, and on how many nodes
of the Slurm job that it runs in."""

SHUTDOWN_S = 5
"""After one process has ended by an error, the others, which ignore SIGTERM as Slurm sends it too, are killed."""

_ON_NODE = """trap '' TERM USR1 USR2; export PET_NODE_RANK=$SLURM_NODEID
export TORCHELASTIC_ERROR_FILE=$TORCHELASTIC_ERROR_FILE.$SLURM_NODEID; exec "$@" """


class ProcessFailed(RuntimeError):
    """One of the processes of a training has failed, and with it the training."""


@dataclass(frozen=True)
class Layout:
    """How many processes train, on each of how many nodes."""

    per_node: int
    nodes: int

    @classmethod
    def here(cls, gpus: int) -> Self:
        """As the environment says; else one for each GPU that this process sees, or one."""
        return cls(int(os.environ.get(PER_NODE) or max(gpus, 1)), int(os.environ.get(NODES) or 1))

    @property
    def count(self) -> int:
        """Of all processes."""
        return self.per_node * self.nodes


def run_processes(
    layout: Layout, module: str, arguments: Sequence[str], folder: Path, hear: Callable[[str, Any], None]
) -> Any:
    """Runs a module in so many processes; returns the value of the event `done` of the first of them, or None.

    The first process writes its events, {"event": name, "value": JSON} a line, to its standard output.

    Args:
        layout: how many processes.
        module: what each runs.
        arguments: for each.
        folder: for the log of all processes, `processes.log`, and for their errors.
        hear: called with the name and the value of every other event.

    Raises:
        ProcessFailed: with the error of the process that failed first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "processes-error.json"
    for old in folder.glob(f"{errors.name}*"):
        old.unlink()
    environment = os.environ | {"TORCHELASTIC_ERROR_FILE": str(errors)}
    done = None
    with (folder / "processes.log").open("wb") as log:
        process = subprocess.Popen(
            [*_launcher(layout), "-m", module, *arguments], env=environment, stdout=subprocess.PIPE, stderr=log,
            text=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line)
                if message["event"] == "done":
                    done = message["value"]
                else:
                    hear(message["event"], message["value"])
            status = process.wait()
        finally:
            _kill(process)
    if status:
        raise ProcessFailed(_error(folder, status))
    return done


def _launcher(layout: Layout) -> list[str]:
    """The command of torch's launcher: alone, or started by srun on each node of the Slurm job."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={layout.per_node}"]
    torchrun += ["--signals-to-handle=SIGINT", f"--shutdown-timeout={SHUTDOWN_S}"]
    if layout.nodes == 1:
        return [*torchrun, "--standalone"]
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    meeting = [f"--nnodes={layout.nodes}", f"--master-addr={platform.node()}", f"--master-port={port}"]
    srun = ["srun", "--overlap", f"--nodes={layout.nodes}", f"--ntasks={layout.nodes}", "--ntasks-per-node=1"]
    return [*srun, "--kill-on-bad-exit=1", "bash", "-c", _ON_NODE, "bash", *torchrun, *meeting]


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
    messages = [json.loads(file.read_text())["message"] for file in folder.glob("processes-error.json*")]
    log = folder / "processes.log"
    if messages:
        first = min(messages, key=lambda message: int(message["extraInfo"]["timestamp"]))
        text = f"{first['message']}\n{first['extraInfo']['py_callstack']}"
    else:
        text = log.read_text(errors="replace").rpartition("Root Cause")[2] or f"they ended with status {status}"
    return f"{printable(text, MAX_ERROR_CHARACTERS)}\nlog of all processes: {log}"
