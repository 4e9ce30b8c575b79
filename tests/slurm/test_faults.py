"""Faults of a cluster, each really done to a real one: what a study loses, and how it resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .. import tiny_project
from .conftest import ON_A_CLUSTER, PATIENCE_S, Study

pytestmark = ON_A_CLUSTER

Make = Callable[..., Study]
ONE = ("--only", "sft-s0", "--only", "!report")


# --- heals alone


def test_preemption_loses_no_step(study: Make) -> None:
    one = study()
    one.allow(tiny_project.STEPS - 1)
    one.submitted(*ONE, TINY_SLOW="sft-s0")
    one.until_logged("sft-s0", 2)
    with one.urgent():
        assert "Exiting gracefully" in job_log(one)  # and not killed at the end of its grace
        one.allow(tiny_project.STEPS)
    one.until_over(*ONE)
    assert one.is_whole("sft-s0") and len(one.pids("sft-s0")) == 2


def job_log(one: Study) -> str:
    """The log of the study's only job."""
    (log,) = (one.root / "runs").glob(".jobs/launches/*/*_log.out")
    return log.read_text()


def test_preemption_before_the_job_listens(study: Make, tmp_path: Path) -> None:
    one = study()
    begun, go = tmp_path / "begun", tmp_path / "go"
    begin_late = f"""
import os, sys, time
from pathlib import Path
if "submitit.core._submit" in sys.orig_argv and not Path({str(go)!r}).exists():
    Path({str(begun)!r}).write_text(str(os.getpid()))
    while not Path({str(go)!r}).exists():
        time.sleep(0.05)
"""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "sitecustomize.py").write_text(begin_late)
    one.submitted(*ONE, PYTHONPATH=os.pathsep.join([str(tmp_path / "late"), os.environ.get("PYTHONPATH", "")]))
    one.until(lambda: begun.is_file() and begun.read_text() != "")
    status = Path("/proc") / begun.read_text() / "status"
    urgent = ["-p", "urgent", "-N3", "--exclusive", "-o", "/dev/null", "--wrap", "true"]
    one.cluster.ask("sbatch", *urgent)
    one.until(lambda: int(status.read_text().partition("ShdPnd:")[2].split()[0], 16) >> signal.SIGUSR2 - 1 & 1 == 1)
    go.touch()
    one.until_over(*ONE)
    assert "Exiting gracefully" in job_log(one) and one.is_whole("sft-s0")


def test_the_time_limit_is_reached_twice(study: Make) -> None:
    one = study()
    one.allow(1)
    one.submitted(*ONE, TINY_SLOW="sft-s0")
    job = one.cluster.ask("squeue", "-h", "-o", "%i").strip()
    for attempt in (1, 2):
        one.until_logged("sft-s0", attempt)  # by this attempt: it runs, and listens
        # The controller looks every 30 s whether the signal of 30 s before the end is due before it looks again.
        one.cluster.ask("scontrol", "update", f"JobId={job}", "EndTime=now+60")
        one.until(lambda: f"Restarts={attempt} " in one.cluster.ask("scontrol", "show", "job", job))  # noqa: B023
        one.cluster.ask("scontrol", "update", f"JobId={job}", "TimeLimit=10")
        one.allow(attempt + 1)  # so each attempt makes one step, and the last one all others
    one.allow(tiny_project.STEPS)
    one.until_over()
    assert one.is_whole("sft-s0")
    assert [*one.pids("sft-s0").values()] == [1, 1, tiny_project.STEPS - 2]


def test_a_node_fails_whose_process_lives_and_there_is_one_writer(study: Make) -> None:
    one = study()
    one.allow(1)
    one.submitted(*ONE, TINY_SLOW="sft-s0")
    one.until_logged("sft-s0", 1)
    node = one.states(*ONE)["sft-s0"]["node"]
    one.cluster.kill(f"slurmd.{node}")
    try:
        log = one.root / "runs" / ".jobs" / "launches"
        one.until(lambda: any("waiting for process" in file.read_text() for file in log.glob("*/*_log.out")))
        assert one.states(*ONE)["sft-s0"]["node"] != node
        one.allow(tiny_project.STEPS)
        one.until_over()
    finally:
        one.cluster.start("slurmd", "-N", node)
        one.until(lambda: one.cluster.ask("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N").count("n") == 3)
    assert one.is_whole("sft-s0") and len(one.pids("sft-s0")) == 1


def test_the_controller_is_killed_and_comes_back(study: Make) -> None:
    one = study()
    one.allow(1)
    one.submitted("--only", "!report", TINY_SLOW="sft-s0")
    one.until_logged("sft-s0", 1)
    saved_state, begun = one.cluster.folder / "state" / "job_state", time.time()
    one.cluster.ask("scontrol", "update", f"JobId={one.states()['sft-s0']['job']}", "TimeLimit=9")
    one.until(lambda: saved_state.stat().st_mtime > begun)  # within 5 s the controller writes down what it knows
    one.cluster.kill("slurmctld")
    status, _, error = one.launch("--status")
    assert status == 2 and "squeue" in error and "Traceback" not in error
    one.allow(tiny_project.STEPS)
    one.cluster.start("slurmctld")
    assert {run["state"] for run in one.until_over("--only", "!report").values()} == {"finished"}
    assert one.is_whole("sft-s0") and len(one.pids("sft-s0")) == 1


# --- heals by one --retry


def test_a_cancelled_run_stops_its_line_until_it_is_tried_again(study: Make) -> None:
    one = study()
    one.allow(2)
    one.submitted("--only", "!report", TINY_SLOW="sft-s0")
    one.until_logged("sft-s0", 2)
    one.cluster.ask("scancel", one.states()["sft-s0"]["job"])
    after = one.until_over()
    assert after["sft-s0"]["state"] == "failed" and "it was cancelled" in after["sft-s0"]["why"]
    assert (after["evaluate-sft-s0"]["state"], after["evaluate-sft-s0"]["why"]) == ("blocked", "sft-s0")
    status, out, _ = one.launch("--only", "!report")
    assert status == 1 and "submitted 0 runs" in out  # nothing is repeated blindly
    one.submitted("--only", "!report", "--retry")
    one.until_over()
    assert one.is_whole("sft-s0") and one.is_whole("evaluate-sft-s0")
    assert [*one.pids("sft-s0").values()] == [2, tiny_project.STEPS - 2]  # it went on, it did not begin again


def test_killed_processes(study: Make) -> None:
    one = study()
    runs = {"sft-s0": "submitit", "sft-s1": "papermill", "sft-s2": "ipykernel"}
    selection = ("--seeds", "0", "1", "2", "--only", "sft-*", "--only", "!report")
    one.allow(1)
    one.submitted(*selection, TINY_SLOW="sft-s*")
    for name, word in runs.items():
        one.until_logged(name, 1)
        one.processes(name, word)[0].kill()
    after = one.until_over(*selection)
    assert {after[name]["state"] for name in runs} == {"failed"}
    assert "its process was killed" in after["sft-s0"]["why"]
    assert "status -9" in after["sft-s1"]["why"] and "was its kernel killed" in after["sft-s2"]["why"]
    one.submitted(*selection, "--retry")
    one.until_over()
    assert all(one.is_whole(name) and tiny_project.result(one.root, name)["first"] == 2 for name in runs)


def test_a_full_disk(study: Make) -> None:
    one = study(data=False)
    runs = one.root / "runs"
    runs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(runs)], check=True)
    try:
        one.allow(2)
        one.submitted(*ONE, TINY_SLOW="sft-s0")
        one.until_logged("sft-s0", 2)
        ballast = runs / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        one.allow(tiny_project.STEPS)
        after = one.until_over(*ONE)
        assert after["sft-s0"]["state"] == "failed"
        ballast.unlink()
        one.submitted(*ONE, "--retry")
        one.until_over()
        assert one.is_whole("sft-s0")
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=True)


def test_a_launcher_killed_half_way_submits_nothing_twice(study: Make, tmp_path: Path) -> None:
    one = study("[sft, cot_sft]")
    real = one_path("sbatch")
    shim = tmp_path / "bin" / "sbatch"  # the real one, after whose second submission the launcher is gone
    shim.parent.mkdir()
    count = tmp_path / "count"
    shim.write_text(
        f'#!/bin/bash\n{real} "$@" || exit 1\n[ "$1" = --test-only ] && exit 0\necho >> "{count}"\n'
        f'[ $(wc -l < "{count}") = 2 ] && kill -9 $PPID\nexit 0\n'
    )
    shim.chmod(0o755)
    earlier = set(one.cluster.ask("squeue", "-h", "-t", "all", "-o", "%F").split())
    status, *_ = one.launch("--seeds", "0", "1", PATH=f"{shim.parent}:{os.environ['PATH']}")
    assert status == -9
    assert one.launch("--seeds", "0", "1")[0] == 0
    queued = [line.split() for line in one.cluster.ask("squeue", "-hr", "-t", "all", "-o", "%F %j").splitlines()]
    names = Counter(name for job, name in queued if job not in earlier and name != "report")
    assert names == dict.fromkeys(("sft", "cot_sft", "evaluate-sft", "evaluate-cot_sft"), 2)
    one.until_over("--seeds", "0", "1")
    one.launch("--seeds", "0", "1", "--retry")  # what was submitted had lost its orders
    after = one.until_over("--seeds", "0", "1")
    assert {run["state"] for run in after.values()} == {"finished"}


def one_path(program: str) -> str:
    return subprocess.run(["which", program], capture_output=True, text=True, check=True).stdout.strip()


def test_two_launchers_at_once(study: Make) -> None:
    one = study("[sft, cot_sft]")
    launchers = [one.start("--seeds", "0", "1") for _ in range(2)]
    outputs = [launcher.communicate(timeout=PATIENCE_S) for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0, 0], outputs
    counts = sorted(out.rpartition("submitted ")[2].split()[0] for out, _ in outputs)
    assert counts == ["0", "9"]
    after = one.until_over("--seeds", "0", "1")
    assert {run["state"] for run in after.values()} == {"finished"}


# --- ends truthfully


def test_a_partition_that_cancels_what_it_preempts(study: Make) -> None:
    one = study("[sft]", "timeout_min: 10, signal_s: 30, partition: cheap")
    conf = one.cluster.folder / "slurm.conf"
    before = conf.read_text()
    conf.write_text(before.replace("SlurmctldParameters=preempt_send_user_signal", ""))  # else a run requeues itself
    one.cluster.ask("scontrol", "reconfigure")
    try:
        one.allow(1)
        one.submitted(*ONE, TINY_SLOW="sft-s0")
        one.until_logged("sft-s0", 1)
        with one.urgent():
            after = one.states(*ONE)["sft-s0"]
            assert after["state"] == "failed" and "PREEMPTED: it made room for another job" in after["why"]
    finally:
        conf.write_text(before)
        one.cluster.ask("scontrol", "reconfigure")
    one.submitted(*ONE, "--retry")
    one.until_over(*ONE)
    assert one.is_whole("sft-s0")


def test_a_run_that_fails_for_good_stops_its_line_only(study: Make) -> None:
    one = study("[sft, cot_sft]")
    seeds = ("--seeds", "0", "1")
    one.submitted(*seeds, TINY_FAIL="sft-s0")
    after = one.until_over(*seeds)
    lost = {"cot_sft-s0", "evaluate-sft-s0", "evaluate-cot_sft-s0"}
    assert {name for name, run in after.items() if run["state"] == "finished"} == after.keys() - lost - {"sft-s0"}
    assert after["sft-s0"]["state"] == "failed" and "the loss is not finite" in after["sft-s0"]["why"]
    assert all((after[name]["state"], after[name]["why"]) == ("blocked", "sft-s0") for name in lost)
    status, out, _ = one.launch("--status", *seeds)
    assert status == 1
    for words in ("in cell [4]: ValueError: the loss is not finite", "  | ", "log: ", "needs sft-s0"):
        assert words in out
    page = (one.root / "runs" / "report" / "report.html").read_text()
    assert "evaluate-cot_sft-s1-" in page and "evaluate-cot_sft-s0-" not in page
