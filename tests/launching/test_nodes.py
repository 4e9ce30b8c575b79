"""The server beside a job's script runs commands for the job's kernel, as if it did itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gemvg_repro.launching.nodes import SOCKET, node_count

MODULE = [sys.executable, "-m", "gemvg_repro.launching.nodes"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psutil.Process]:
    monkeypatch.setenv(SOCKET, str(tmp_path / "socket"))
    process = subprocess.Popen([*MODULE, "serve", str(tmp_path / "socket")], env=os.environ | {"SLURM_STEP": "none"})
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def test_a_command_has_the_client_s_environment_but_for_slurm_s_and_its_output(
    server: psutil.Process, tmp_path: Path
) -> None:
    command = ["sh", "-c", 'echo "$COLOUR in step $SLURM_STEP of $PWD"; echo bad >&2; exit 7']
    environment = os.environ | {"COLOUR": "red", "SLURM_STEP": "ours"}
    done = subprocess.run([*MODULE, "run", *command], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, f"red in step none of {os.getcwd()}\n", "bad\n")


def test_a_command_ends_with_its_client_and_the_next_is_run(server: psutil.Process) -> None:
    client = subprocess.Popen([*MODULE, "run", "sh", "-c", "echo begun; exec sleep 600"], stdout=subprocess.PIPE)
    assert client.stdout is not None and client.stdout.readline() == b"begun\n"
    (command,) = server.children()
    client.kill()
    client.wait()
    command.wait(timeout=60)
    assert subprocess.run([*MODULE, "run", "true"]).returncode == 0


def test_without_a_server_there_is_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "4")  # somebody's own job
    assert node_count() == 1
    monkeypatch.setenv(SOCKET, "there")
    assert node_count() == 4
