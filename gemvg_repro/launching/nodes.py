"""The nodes of a Slurm job: a training starts its processes on all of them, by srun.

Slurm signals every process of a job's step, and an srun among them then kills all that it has started: SIGTERM comes
with any preemption, and the training would lose what it has not saved. A notebook's kernel is in a step. So srun is
started by a server beside the job's script, which is in none, at the kernel's request:

    python -m gemvg_repro.launching.nodes serve SOCKET           in the job's script
    python -m gemvg_repro.launching.nodes run COMMAND ...        in the kernel: runs it there, with its own output
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from threading import Thread

SOCKET = "STEP_SERVER"
"""The environment variable with the path of the server's socket, in a job of several nodes."""

MAX_REQUEST_BYTES = 200_000
"""Less than Linux takes as one packet (net.core.wmem_default)."""
PATIENCE_S = 60

_TORCHRUN = """
trap '' TERM USR1 USR2
export TORCHELASTIC_ERROR_FILE="$TORCHELASTIC_ERROR_FILE.$SLURM_NODEID"
exec "$0" -m torch.distributed.run --node-rank="$SLURM_NODEID" --master-addr="$SLURM_LAUNCH_NODE_IPADDR" "$@"
"""
"""Each node's launcher, which ignores Slurm's signals, like the processes that it starts: the run's owner says when
they are to stop. The node on which srun was started has the first process."""


def node_count() -> int:
    """How many nodes train this run."""
    return int(os.environ["SLURM_JOB_NUM_NODES"]) if SOCKET in os.environ else 1


def script_lines() -> list[str]:
    """What the script of a job of several nodes does before its srun. The socket is no other user's to open."""
    return [
        f"export {SOCKET}=$(mktemp -d)/socket",
        f'{shlex.quote(sys.executable)} -m {__spec__.name} serve "${SOCKET}" & server=$!',
        f"""trap 'kill $server; rm -r "$(dirname "${SOCKET}")"' EXIT""",
    ]


def torchrun_on_nodes(options: Sequence[str]) -> list[str]:
    """The command of torch's launcher on all nodes of this job, without the module; `options` are the launcher's."""
    nodes = node_count()
    with closing(socket.create_server(("", 0))) as free:
        port = free.getsockname()[1]
    srun = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--mem=0"]
    srun += [f"--cpus-per-task={os.environ['SLURM_CPUS_PER_TASK']}", "--kill-on-bad-exit=1", "--export=ALL"]
    rendezvous = [f"--nnodes={nodes}", "--rdzv-backend=static", f"--master-port={port}"]
    run = [sys.executable, "-m", __spec__.name, "run"]
    return [*run, *srun, "sh", "-c", _TORCHRUN, sys.executable, *rendezvous, *options]


def serve(address: str) -> None:
    """Runs commands for whoever connects, one after the other, for ever."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(address)
        server.listen()
        while True:
            with server.accept()[0] as client:
                _run_for(client)


def _run_for(client: socket.socket) -> None:
    """Runs a command with the client's environment and output; it ends with the client, who is sent its status."""
    content, outputs, _, _ = socket.recv_fds(client, MAX_REQUEST_BYTES, 2)
    if not content:
        return
    request = json.loads(content)
    ours = {k: v for k, v in os.environ.items() if k.startswith("SLURM")}  # the job's; the client has a step's
    process = subprocess.Popen(
        request["command"], env=request["environment"] | ours, cwd=request["folder"],
        stdin=subprocess.DEVNULL, stdout=outputs[0], stderr=outputs[1],
    )  # fmt: skip
    for output in outputs:
        os.close(output)
    watch = Thread(target=_end_with, args=(client, process))
    watch.start()
    status = process.wait()
    with suppress(OSError):  # the client has ended
        client.send(str(status).encode())
        client.shutdown(socket.SHUT_RDWR)
    watch.join()


def _end_with(client: socket.socket, process: subprocess.Popen[bytes]) -> None:
    client.recv(1)  # it sends nothing: it has ended
    process.terminate()  # which makes srun kill its step


def run(command: Sequence[str]) -> int:
    """Has the server run a command as if this process did; returns its exit status."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    request = json.dumps({"command": command, "environment": environment, "folder": os.getcwd()}).encode()
    if len(request) > MAX_REQUEST_BYTES:
        raise ValueError(f"the environment and the command have {len(request)} bytes; {MAX_REQUEST_BYTES} can be sent")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        _connect(server, os.environ[SOCKET])
        socket.send_fds(server, [request], [1, 2])
        status = server.recv(16)
    return abs(int(status)) if status else 1


def _connect(server: socket.socket, address: str) -> None:
    """Connects to a server that may be starting still."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return server.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    sys.exit(run(sys.argv[2:]))
