"""The launcher as a person uses it: a process, real notebooks, real submitit."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from .. import tiny_project


def start(root: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(root / "sweeps" / "launch.py"), *arguments]
    return subprocess.Popen(
        command, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip


def hears_ctrl_c() -> None:
    """As on a terminal, also where the tests run in the background of a script, whose shell has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def launch(root: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = start(root, *arguments, **environment)
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error


def until_logged(root: Path, name: str, lines: int, launcher: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not any(f.read_text().count("\n") >= lines for f in (root / "runs").glob(f"{name}-*/log.jsonl")):
        assert launcher is None or launcher.poll() is None, launcher.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def everything(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def test_a_failure_stops_what_needs_it_and_the_same_command_goes_on(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path / "my studies")
    status, out, error = launch(root, TINY_FAIL="sft-s0")
    assert status == 1
    for line in (
        "data finished",
        "sft-s0 failed",
        "evaluate-sft-s0 blocked: needs sft-s0",
        "report finished",
    ):
        assert line in out.splitlines()
    for words in ("sft-s0 failed.", "in cell [4]: ValueError: the loss is not finite", "  | ", "log: "):
        assert words in error
    log = Path(error.rpartition("log: ")[2].splitlines()[0])
    assert log.is_file() and "the loss is not finite" in log.read_text()
    html = Path(out.splitlines()[-1])
    assert html == root / "runs" / "report" / "report.html"
    assert "data-" in html.read_text() and "asked.runs_folder" not in html.read_text()

    status, out, _ = launch(root, "--status")
    assert status == 1 and "sft-s0 failed." in out and "the loss is not finite" in out

    status, out, error = launch(root, "--only", "!report")
    assert (status, error) == (0, "")
    assert "data finished" in out.splitlines()[0]  # from the first launch
    assert tiny_project.result(root, "sft-s0")["first"] == 4
    assert tiny_project.result(root, "evaluate-sft-s0")["metrics"] == {"steps": tiny_project.STEPS}


def cpu_of_children() -> float:
    """Seconds of processor time, which a busy machine does not stretch as it does the clock's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_dry_run_shows_the_plan_fast_and_touches_nothing(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path, "[hybrid]")
    before = everything(root)
    began = cpu_of_children()
    status, out, _ = launch(root, "-n", "--seeds", "0", "1", "--only", "hybrid-s1")
    assert cpu_of_children() - began < 3  # without torch and papermill
    assert status == 0 and "4 missing" not in out and "5 missing" in out
    assert f"train.ipynb -> {root / 'runs'}/hybrid-s1-" in out
    assert everything(root) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "hybird*"], "matches no run"),
        (["--seeds", "-1"], "seed = -1"),
        (["nowhere.yaml"], "there is no grid"),
        (["-j", "0"], "expected 1 or more"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_starts(tmp_path: Path, arguments: list[str], words: str) -> None:
    root = tiny_project.project(tmp_path)
    before = everything(root)
    status, _, error = launch(root, *arguments)
    assert status == 2 and words in error and "Traceback" not in error
    assert everything(root) == before


def test_what_a_killed_launcher_leaves_running_is_waited_for_and_never_doubled(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    gate = tiny_project.Gate(tmp_path / "gate", step=1)
    first = start(root, "--only", "sft-s0", "--only", "!report", TINY_SLOW="sft-s0", **gate.environment)
    until_logged(root, "sft-s0", 1)
    first.kill()
    first.wait()
    status, out, _ = launch(root, "--status")
    assert status == 0 and "running" in out
    gate.open()
    status, out, error = launch(root, "--only", "sft-s0", "--only", "!report")
    assert (status, error) == (0, "")
    (log,) = (root / "runs").glob("sft-s0-*/log.jsonl")
    assert len({line.partition('"pid": ')[2] for line in log.read_text().splitlines()}) == 1  # one writer
    assert tiny_project.result(root, "sft-s0")["first"] == 1


def test_ctrl_c_ends_all_children_and_says_how_to_go_on(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    gate = tiny_project.Gate(tmp_path / "gate", step=2)
    process = start(root, TINY_SLOW="sft-s0", **gate.environment)
    until_logged(root, "sft-s0", 2)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130 and "the same command resumes" in error
    assert len(family) >= 4 and psutil.wait_procs(family, timeout=60)[1] == []


def test_from_another_shell_it_is_looked_at_and_ended(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    gate = tiny_project.Gate(tmp_path / "gate", step=2)
    process = start(root, TINY_SLOW="sft-s0", **gate.environment)
    until_logged(root, "sft-s0", 2, process)
    _, out, _ = launch(root, "--status", "--json")
    states = {run["run"]: run["state"] for run in json.loads(out)}
    assert (states["data"], states["sft-s0"], states["report"]) == ("finished", "running", "missing")
    status, out, _ = launch(root, "--logs", "sft-s0")
    assert status == 0 and "Executing Cell" in out
    status, out, _ = launch(root, "--cancel")
    assert status == 0 and "ended: sft-s0" in out
    _, error = process.communicate(timeout=300)
    assert process.returncode == 130 and "the same command resumes" in error


def test_all_that_runs_side_by_side_is_ended_or_one_run_alone(tmp_path: Path) -> None:
    """One signal a launcher, not one a run: a second would end it before it has ended what it started."""
    root = tiny_project.project(tmp_path, "[sft]")
    gate = tiny_project.Gate(tmp_path / "gate", step=2)
    only = ("--only", "sft*", "--only", "!report")
    process = start(root, "--seeds", "0", "1", "2", "-j", "6", *only, TINY_SLOW="sft*", **gate.environment)
    for seed in range(3):
        until_logged(root, f"sft-s{seed}", 2, process)
    status, out, _ = launch(root, "--seeds", "0", "1", "2", "--cancel", "--only", "sft-s1")
    assert (status, out) == (0, "ended: sft-s1\n") and process.poll() is None
    family = psutil.Process(process.pid).children(recursive=True)
    status, out, _ = launch(root, "--seeds", "0", "1", "2", "--cancel")
    assert (status, out) == (0, "ended: sft-s0, sft-s2\n")
    out, error = process.communicate(timeout=300)
    assert process.returncode == 130 and "sft-s1 failed" in out and "Traceback" not in error
    assert family and psutil.wait_procs(family, timeout=60)[1] == []


def test_settings_replace_the_grids_and_reach_the_report(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path, "[sft, hybrid]")
    status, out, _ = launch(root, "-n", "--set", "mode=sft", "--set", "steps=3")
    assert status == 0 and "hybrid" not in out and "sft-s0" in out
    status, _, error = launch(root, "-n", "--set", "partitoin=gpu")
    assert status == 2 and "did you mean 'partition'" in error
