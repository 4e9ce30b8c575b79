"""Bad days of a cluster and of whoever uses it: nothing is lost, and nobody else's jobs are harmed."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.one_host_slurm import Cluster

from .. import tiny_project
from .conftest import ON_A_CLUSTER, PATIENCE_S, Study

pytestmark = ON_A_CLUSTER

Make = Callable[..., Study]
ONE = ("--only", "sft-s0", "--only", "!report")
LINE = ("--only", "!report")


@contextmanager
def closed(cluster: Cluster) -> Iterator[None]:
    """While this is entered no job starts."""
    cluster.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        yield
    finally:
        cluster.ask("scontrol", "update", "PartitionName=main", "State=UP")


# --- only our own jobs


@pytest.fixture
def new_cluster(slurm: Cluster) -> Iterator[Callable[..., Cluster]]:
    """Brings up clusters that number their jobs from 1; no job of them starts."""
    clusters: list[Cluster] = []

    def up(name: str = "lab") -> Cluster:
        for cluster in clusters:
            cluster.down()
        clusters.append(Cluster(Path(tempfile.mkdtemp(prefix="slurm"))))
        clusters[-1].up(name=name)
        clusters[-1].ask("scontrol", "update", "PartitionName=main", "State=DOWN")
        return clusters[-1]

    yield up
    for cluster in clusters:
        cluster.down()


def queue(cluster: Cluster) -> list[str]:
    return cluster.ask("squeue", "-h", "-r", "-o", "%i %T").splitlines()


@pytest.mark.parametrize("name", ["lab", "other"])
def test_jobs_of_another_study_that_have_our_numbers(
    study: Make, new_cluster: Callable[..., Cluster], tmp_path: Path, name: str
) -> None:
    """Of a cluster that was set up again under its name, and of another one with the same home."""
    ours = study()
    ours.cluster = new_cluster()
    ours.submitted(*LINE)
    numbers = [run["job"] for run in ours.states(*LINE).values() if run["job"]]
    theirs = Study(tiny_project.project(tmp_path / "theirs", resources="{cluster: slurm}"), new_cluster(name))
    theirs.submitted(*ONE)
    ours.cluster = theirs.cluster
    before = queue(theirs.cluster)
    assert [line.split()[0] for line in before] == numbers  # the numbers are the same
    after = ours.states(*LINE)
    if name == "lab":
        assert (
            after["sft-s0"]["state"] == "failed"
            and f"does not know job {numbers[0]} any more" in after["sft-s0"]["why"]
        )
    else:
        assert {after[run]["state"] for run in ("sft-s0", "evaluate-sft-s0")} == {"unknown"}
        assert after["sft-s0"]["why"].startswith(f"was submitted to cluster lab as job {numbers[0]}, and this is")
    status, out, _ = ours.launch("--cancel", "--yes")
    assert status == 0 and "nothing waits or runs" in out and queue(theirs.cluster) == before
    if name == "other":
        return
    _, out, _ = ours.launch(*LINE)
    assert "submitted 0 runs" in out
    ours.submitted(*LINE, "--retry")
    assert {run["state"] for run in ours.states(*LINE).values()} == {"finished", "waiting"}
    status, out, _ = ours.launch("--cancel", "--yes")
    assert "ended: sft-s0, evaluate-sft-s0" in out and queue(theirs.cluster) == before


# --- the person's environment


def test_variables_that_would_take_a_job_its_environment(study: Make) -> None:
    one = study()
    harmful = {
        "SBATCH_EXPORT": "NONE",
        "SLURM_EXPORT_ENV": "NONE",
        "SLURM_CPU_BIND": "map_cpu:99",
        "SRUN_EXPORT_ENV": "NIL",
        "SBATCH_DEPENDENCY": "singleton",
        "SLURM_CLUSTERS": "elsewhere",
    }
    one.submitted(*ONE, **harmful)
    one.until_over(*ONE)
    assert one.is_whole("sft-s0")


def test_a_setup_command_that_fails_and_gpus_that_are_not_there(study: Make) -> None:
    one = study("[sft]", "timeout_min: 10, signal_s: 30, setup: [export A=1, cd /nowhere/at/all, touch never]")
    one.submitted(*ONE)
    why = one.until_over(*ONE)["sft-s0"]["why"]
    assert "ended as FAILED: its exit code was 1; its log ends: setup failed with exit code 1 at: cd /nowhere" in why
    _, out, _ = one.launch("--status", *ONE)
    assert "at: cd /nowhere/at/all" in out.partition("\n\n")[0].replace("\n", " ")  # not cut in the table
    grid = one.root / "sweeps" / "miniature.yaml"
    grid.write_text(grid.read_text().replace("setup: [export A=1, cd /nowhere/at/all, touch never]", "gpus: 1"))
    one.submitted(*ONE, "--retry", "--yes")
    why = one.until_over(*ONE)["sft-s0"]["why"]
    assert "1 GPUs were requested, and PyTorch" in why and "sees 0 on" in why and "cpu_fallback: true" in why
    one.submitted(*ONE, "--retry", "--yes", "--set", "cpu_fallback=true")
    one.until_over(*ONE)
    assert one.is_whole("sft-s0")


# --- refused only when Slurm refuses


def test_drained_nodes_are_waited_for(study: Make) -> None:
    one = study()
    one.cluster.ask("scontrol", "update", "NodeName=ALL", "State=DRAIN", "Reason=maintenance")
    try:
        status, out, error = one.launch(*ONE)
        assert status == 0 and "submitted 1 runs" in out
        assert "sft would wait, because Slurm says: " in error and "not available" in error
        assert [line.split()[1] for line in queue(one.cluster)] == ["PENDING"]
        one.launch("--cancel", "--yes")
        status, _, error = one.launch(*ONE, "--retry", "--yes", "--set", "gpus=9")
        assert status == 2 and "Slurm would refuse sft: " in error and queue(one.cluster) == []
    finally:
        one.cluster.ask("scontrol", "update", "NodeName=ALL", "State=RESUME")


def test_a_full_queue_is_said_and_can_be_left(study: Make, new_cluster: Callable[..., Cluster]) -> None:
    one = study("[sft, cot_sft]")
    one.cluster = new_cluster()
    conf = one.cluster.folder / "slurm.conf"
    conf.write_text(f"{conf.read_text()}\nMaxJobCount=2\n")
    one.cluster.kill("slurmctld")
    one.cluster.start("slurmctld")
    one.cluster.until_idle()
    one.cluster.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    process = one.start(*LINE)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any("sleeping and retrying (Ctrl-C stops" in line for line in lines)
    process.send_signal(2)
    _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and re.search(
        "[12] of 4 arrays are submitted; the same command submits the rest", error
    )
    assert "Traceback" not in error


# --- Ctrl-C in the middle of a submission

SBATCH = """#!/bin/bash
# sbatch, which interrupts the launcher as soon as Slurm has taken the second job.
{sbatch} "$@" || exit
case " $* " in *" --test-only "*) exit;; esac
echo x >> {count}
[ $(wc -l < {count}) = 2 ] && kill -INT $PPID && exec sleep 300  # the launcher ends it
exit 0
"""


def test_ctrl_c_between_sbatch_and_its_number(study: Make, tmp_path: Path) -> None:
    one = study()
    shim = tmp_path / "bin" / "sbatch"
    shim.parent.mkdir()
    shim.write_text(SBATCH.format(sbatch=shutil.which("sbatch"), count=tmp_path / "count"))
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    with closed(one.cluster):
        path = os.pathsep.join([str(shim.parent), os.environ["PATH"]])
        status, _, error = one.launch(*LINE, PATH=path)
        assert status == 130 and "Traceback" not in error
        assert "1 of 2 arrays are submitted; the same command submits the rest" in error
        records = [json.loads(f.read_text()) for f in (one.root / "runs").glob(".jobs/launches/*/array-*.json")]
        assert sorted(bool(record["job"]) for record in records) == [False, True]
        assert one.states(*LINE)["evaluate-sft-s0"]["state"] == "waiting"  # it was taken, and is known by its comment
        _, out, _ = one.launch(*LINE)
        assert "submitted 0 runs" in out
    after = one.until_over(*LINE)
    assert {run["state"] for run in after.values()} == {"finished"}


# --- time limits


def test_a_lead_too_short_for_a_save_ends_after_the_third_attempt(study: Make) -> None:
    """Each attempt makes its steps, is killed in the midst of its save, and begins again where the first began."""
    one = study("[sft]", "timeout_min: 10, signal_s: 20")
    one.allow(2)
    one.submitted(*ONE, TINY_SLOW="sft-s0", TINY_CHECKPOINT="sft-s0", TINY_SAVE_S="60")
    job = one.cluster.ask("squeue", "-h", "-o", "%i").strip()
    pids: set[int] = set()
    for _ in range(3):
        one.until_logged("sft-s0", 2)
        one.until(lambda: [*one.pids("sft-s0").values()] == [2] and not one.pids("sft-s0").keys() & pids)
        pids.update(one.pids("sft-s0"))
        one.cluster.ask("scontrol", "update", f"JobId={job}", "EndTime=now+20")
        one.cluster.ask("scancel", "--signal=USR2", job)  # as Slurm does, which may look only every 30 s
    run = one.until_over(*ONE)["sft-s0"]
    assert run["state"] == "failed" and "10 min 3 times in a row without saving a new step" in run["why"]
    assert "Its last save took 45 s. signal_s leaves 20 s to end a step and save: set 120 or more" in run["why"]
    assert len(pids) == 3 and [step["step"] for step in one.steps("sft-s0")] == [1, 2]


# --- reasons


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Has a folder be one that nobody can write to, root neither."""
    mounted: list[Path] = []

    def shut(folder: Path) -> None:
        for command in (["--bind", str(folder), str(folder)], ["-o", "remount,bind,ro", str(folder)]):
            subprocess.run(["mount", *command], check=True)
            mounted[:] = [folder]

    yield shut
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_why_a_run_waits_and_why_it_could_not_be_launched(study: Make, read_only: Callable[[Path], None]) -> None:
    one = study("[sft, cot_sft]")
    with closed(one.cluster):
        one.submitted()
        waiting = one.states()
        assert waiting["cot_sft-s0"]["why"] == "Dependency: waits for sft-s0"
        assert waiting["report"]["why"].startswith("Dependency: waits for sft-s0, cot_sft-s0, ")
        (launch,) = [f.parent for f in (one.root / "runs").glob(".jobs/launches/*/array-0000.json")]
        read_only(launch)
    one.until(lambda: one.states()["sft-s0"]["state"] == "failed")
    why = one.states()["sft-s0"]["why"]
    assert "ended as FAILED: node n" in why and f"must see and be able to write {launch}" in why


# --- what was launched is known


def test_an_edited_grid_and_other_settings(study: Make) -> None:
    one = study()
    grid = one.root / "sweeps" / "miniature.yaml"
    (one.root / "runs" / ".jobs" / "launches" / "notes-of mine").mkdir(parents=True)
    with closed(one.cluster):
        one.submitted(*ONE, "--set", "samples=20")
        assert one.states(*ONE)["sft-s0"]["state"] == "waiting"  # as launched, not as the grid file says
        grid.write_text(grid.read_text().replace("profile: miniature", "profile: miniature, steps: 7"))
        one.submitted(*ONE)
        runs_by_name = one.states()
        assert runs_by_name["sft-s0"]["state"] == "waiting"
        older = [run for run in runs_by_name.values() if run["run"].startswith("sft-s0-")]
        assert [run["state"] for run in older] == ["waiting"] and older[0]["folder"].endswith(older[0]["run"])
        _, out, _ = one.launch("--launches")
        lines = [line.split() for line in out.splitlines()[1:]]
        assert len(lines) == 2 and "samples=20" in lines[0] and "samples=20" not in lines[1]
        command = [sys.executable, str(one.root / "sweeps" / "launch.py"), "--status", "--json"]
        environment = os.environ | one.cluster.environment
        pipe = ["bash", "-c", '"$@" | head -c 1; exit ${PIPESTATUS[0]}', "bash", *command]
        done = subprocess.run(pipe, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[", "")
        status, out, _ = one.launch("--cancel", "--yes")
        assert status == 0 and "sft-s0" in out and older[0]["run"] in out and queue(one.cluster) == []
