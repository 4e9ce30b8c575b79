"""A real cluster for all tests here, and small studies on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from gemvg_repro.files.atomic import write_bytes
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import Job, plan
from tools import one_host_slurm as one_host
from tools.one_host_slurm import Cluster

from .. import tiny_project
from ..sweeps.test_launch import hears_ctrl_c

ON_A_CLUSTER = [pytest.mark.slurm, pytest.mark.xdist_group("on a cluster")]
"""One after the other: they mostly wait, so they share a machine with tests that compute, not with each other."""

PATIENCE_S = 900
"""For what takes seconds on a machine that has nothing else to do."""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    if problem := one_host.missing():
        assert not os.environ.get("SLURM_REQUIRED"), problem
        pytest.skip(problem)
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm")))  # short: the path of a socket has 107 characters
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


@dataclass
class Study:
    """A tiny project on the cluster, and the launcher as a person uses it."""

    root: Path
    cluster: Cluster

    @property
    def gate(self) -> Path:
        return self.root / "gate"

    def allow(self, step: int) -> None:
        """Lets slow runs go on up to this step, after which they wait: no test hangs on how fast a machine is."""
        write_bytes(self.gate, str(step).encode())

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(self.root / "sweeps" / "launch.py"), *arguments]
        return subprocess.Popen(
            command,
            env=os.environ | self.cluster.environment | {"TINY_GATE": str(self.gate)} | environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=hears_ctrl_c,
        )

    def launch(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        out, error = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, error

    def submitted(self, *arguments: str, **environment: str) -> None:
        status, out, error = self.launch(*arguments, **environment)
        assert (status, error) == (0, ""), out + error

    def states(self, *arguments: str) -> dict[str, dict[str, Any]]:
        _, out, error = self.launch("--status", "--json", *arguments)
        assert error == ""
        return {run["run"]: run for run in json.loads(out)}

    def until_over(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Waits until nothing of the study waits or runs any more; how the runs stand then."""
        self.until(lambda: not self.cluster.ask("squeue", "-h", "-t", "PD,R,CG,S,RQ"))
        return self.states(*arguments)

    def jobs(self, seeds: list[int] | None = None) -> dict[str, Job]:
        file = self.root / "sweeps" / "miniature.yaml"
        return {j.name: j for j in plan(Grid.load(file, seeds), file, self.root, self.root / "runs")}

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """A job that needs all nodes, and has them once this is entered."""
        nodes = ["-p", "urgent", "-N3", "--exclusive", "-o", "/dev/null"]
        job = self.cluster.ask("sbatch", "--parsable", *nodes, "--wrap", "sleep 999").strip()
        try:
            self.until(lambda: self.cluster.ask("squeue", "-h", "-j", job, "-o", "%T").strip() == "RUNNING")
            yield
        finally:
            self.cluster.ask("scancel", job)

    def until_logged(self, name: str, lines: int) -> None:
        log = self.jobs([0, 1, 2])[name].folder / "log.jsonl"
        self.until(lambda: log.is_file() and log.read_text().count("\n") >= lines)

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, self.cluster.ask("squeue", "-t", "all")
            time.sleep(0.1)

    def steps(self, name: str) -> list[dict[str, Any]]:
        folder = self.jobs([0, 1, 2])[name].folder
        return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]

    def pids(self, name: str) -> Counter[int]:
        """The processes that made the run's steps, in their order, with how many each made."""
        return Counter(step["pid"] for step in self.steps(name))

    def is_whole(self, name: str) -> bool:
        """Whether the run is finished and has every step once, as if nothing had happened."""
        steps = [step["step"] for step in self.steps(name)]
        return tiny_project.result(self.root, name)["metrics"] == {"steps": tiny_project.STEPS} and steps == [
            *range(1, tiny_project.STEPS + 1)
        ]

    def processes(self, name: str, word: str) -> list[psutil.Process]:
        """The processes of a run by a word of their command line: submitit, papermill or ipykernel."""
        folder = self.jobs([0, 1, 2])[name].folder
        owner = json.loads((folder / "owner.lock").read_text())["pid"]
        family = [psutil.Process(owner), *psutil.Process(owner).parents()]
        return [p for p in family if any(word in part for part in p.cmdline())]


@pytest.fixture
def study(slurm: Cluster, tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Makes studies of these modes; their data is there already, unless asked for."""

    def make(modes: str = "[sft]", resources: str = "timeout_min: 10, signal_s: 30", data: bool = True) -> Study:
        root = tiny_project.project(tmp_path / "a 'study'", modes, f"{{cluster: slurm, {resources}}}")
        one = Study(root, slurm)
        if data:
            job = one.jobs()["data"]
            job.folder.mkdir(parents=True)
            (job.folder / "result.json").write_text(json.dumps({"id": job.key.rpartition("-")[2]}))
        return one

    yield make
    slurm.ask("scancel", "-u", "root")
    deadline = time.monotonic() + PATIENCE_S
    while slurm.ask("squeue", "-h", "-t", "PD,R,CG"):
        assert time.monotonic() < deadline, slurm.ask("squeue")
        time.sleep(0.1)
