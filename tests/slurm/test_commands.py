"""The launcher's commands on a real cluster: what it prints, refuses, asks and submits."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .. import tiny_project
from ..sweeps.test_launch import cpu_of_children
from .conftest import ON_A_CLUSTER, PATIENCE_S, Study

pytestmark = ON_A_CLUSTER

Make = Callable[..., Study]


@pytest.fixture
def closed(study: Make) -> Callable[..., Study]:
    """Studies on the cluster while no job of it may start."""

    def make(*arguments: str, **named: object) -> Study:
        one = study(*arguments, **named)
        one.cluster.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
        return one

    return make


@pytest.fixture(autouse=True)
def reopened(slurm: object) -> object:
    yield
    slurm.ask("scancel", "-u", "root")  # type: ignore[attr-defined]
    slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")  # type: ignore[attr-defined]


def everything(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def without_names(script: str) -> str:
    """A script without what differs from launch to launch: its folder's name and the numbers of jobs."""
    script = re.sub(r"\d{8}-\d{6}-[0-9a-f]{8}", "LAUNCH", script)
    return re.sub(r"(after\w+):('?)(<[^>]*>|\d+)", r"\1:ID", script).replace("'", "").strip()


def test_a_dry_run_shows_the_very_scripts_and_touches_nothing(closed: Make) -> None:
    one = closed("[sft, cot_sft]", "timeout_min: 30, gpus: 2, setup: [module load cuda], kinds: {report: {gpus: 0}}")
    before = everything(one.root)
    status, out, error = one.launch("-n", "--seeds", "0", "1", "2")
    assert (status, error) == (0, "") and everything(one.root) == before
    assert one.cluster.ask("squeue", "-h") == ""
    printed = [part.partition("\n")[2] for part in out.split("\n# --- ")[1:]]
    one.submitted("--seeds", "0", "1", "2")
    scripts = sorted((one.root / "runs").glob(".jobs/launches/*/array-*.sh"))
    assert list(map(without_names, printed)) == [without_names(f.read_text()) for f in scripts]
    assert "--array=0-2%3" in printed[0] and "--gpus-per-node=2" in printed[0] and "module load cuda" in printed[0]
    assert "gpus" not in printed[-1] and "afterany" in printed[-1] and "aftercorr" in printed[1]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ("partition: nope", "Slurm would refuse data.*nvalid partition"),
        ("gpus: 9", "Slurm would refuse data"),
        ("partition: urgent, timeout_min: 61", "never start data.*partition urgent allows 60 min"),
        ("timeout_min: 2", "timeout_min 2 leaves no time to work.*expected timeout_min 3 or more"),
        ("memory: 1", "resources.memory: Extra inputs"),
        ("kinds: {evalaute: {gpus: 1}}", "no kind 'evalaute'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_submitted(study: Make, resources: str, words: str) -> None:
    one = study("[sft]", resources, data=False)
    status, _, error = one.launch()
    assert status == 2 and re.search(f"(?s){words}", error) and "Traceback" not in error
    assert one.cluster.ask("squeue", "-h") == ""


def test_it_asks_a_person_before_spending_gpu_hours(closed: Make) -> None:
    one = closed("[sft]", "timeout_min: 90, gpus: 4, kinds: {report: {gpus: 0}}")
    ours, theirs = pty.openpty()
    command = [sys.executable, str(one.root / "sweeps" / "launch.py")]
    environment = os.environ | one.cluster.environment
    process = subprocess.Popen(command, env=environment, stdin=theirs, stderr=subprocess.PIPE, text=True)
    os.write(ours, b"n\n")
    _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and "up to 12 GPU hours" in error  # two runs of 1.5 h on 4 GPUs
    assert one.cluster.ask("squeue", "-h") == ""
    one.submitted("--yes", "--set", "gpus=1", "--set", "timeout_min=60")
    assert one.cluster.ask("squeue", "-h", "-o", "%l", "-n", "sft").strip() == "1:00:00"


def test_it_takes_silence_for_no_and_keeps_json_clean(closed: Make) -> None:
    one = closed("[sft]", "timeout_min: 90, gpus: 4")
    ours, theirs = pty.openpty()
    command = [sys.executable, str(one.root / "sweeps" / "launch.py"), "--json"]
    environment = os.environ | one.cluster.environment
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=-1, stderr=-1, text=True)
    os.write(ours, b"\x04")  # Ctrl-D
    out, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130 and out == "" and "18 GPU hours" in error and "Traceback" not in error
    assert one.cluster.ask("squeue", "-h") == ""


def test_the_persons_own_variables_fill_what_the_grid_leaves_open(closed: Make) -> None:
    one = closed("[sft]", "timeout_min: 90, partition: main")
    variables = {"PARTITION": "nope", "TIMELIMIT": "1", "WAIT": "1", "CONSTRAINT": "h200", "JOB_NAME": "mine"}
    one.submitted(**{f"SBATCH_{name}": value for name, value in variables.items()})
    (job,) = one.cluster.ask("squeue", "-h", "-n", "sft", "-o", "%P %l %f").splitlines()
    assert job.split() == ["main", "1:30:00", "h200"]
    _, out, _ = one.launch("--status", "--json", SQUEUE_PARTITION="urgent", SQUEUE_FORMAT="%A")
    assert {run["state"] for run in json.loads(out) if run["run"] != "data"} == {"waiting"}


def test_what_is_in_slurms_hands_is_not_started_here(closed: Make) -> None:
    one = closed("[sft]")
    one.submitted("--only", "sft-s0", "--only", "!report")
    status, _, error = one.launch("--cluster", "local")
    assert status == 2 and "in Slurm's hands already: sft-s0; leave them" in error
    status, _, error = one.launch("--cluster", "local", SLURM_CONF=os.devnull)
    assert status == 2 and "Runs were submitted to Slurm, and only it can say" in error


@pytest.mark.parametrize("name", ["100%j", "back\\slash"])
def test_a_path_that_slurm_would_read_as_its_own_is_refused(closed: Make, tmp_path: Path, name: str) -> None:
    one = closed("[sft]")
    status, _, error = one.launch("--runs", str(tmp_path / name))
    assert status == 2 and "Slurm reads a % or a backslash in a path" in error and not (tmp_path / name).exists()


def test_cancel_ends_a_line_and_retry_takes_it_up(study: Make) -> None:
    one = study("[sft]")
    one.allow(1)
    one.submitted("--only", "!report", TINY_SLOW="sft-s0")
    one.until_logged("sft-s0", 1)
    status, out, error = one.launch("--logs", "sft-s0")
    assert status == 0 and "Executing Cell" in out, error
    status, out, _ = one.launch("--cancel", "--only", "sft-s0")
    assert status == 0 and "ended: sft-s0, evaluate-sft-s0" in out
    after = one.until_over("--only", "!report")
    assert {run: after[run]["state"] for run in ("sft-s0", "evaluate-sft-s0")} == dict.fromkeys(
        after.keys() - {"data"}, "failed"
    )
    assert "--cancel" in after["sft-s0"]["why"]
    one.submitted("--only", "!report", "--retry")
    one.until_over()
    assert one.is_whole("sft-s0") and one.is_whole("evaluate-sft-s0")


def test_the_code_that_runs_is_the_code_that_was_launched(closed: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = closed("[sft]", data=False)
    package = one.root / "gemvg_repro"
    shutil.copytree(tiny_project.CHECKOUT / "gemvg_repro", package, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-C", str(one.root), "-c", "user.name=n", "-c", "user.email=e"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    (package / "study" / "idea.py").write_text("A_NEW_IDEA = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(one.root))
    one.submitted("--only", "sft-s0", "--only", "!report")
    for file in (package / "runs" / "directory.py", package / "launching" / "notebook.py"):
        file.write_text("raise RuntimeError('this was edited while jobs waited')\n")
    (one.root / "notebooks" / "train.ipynb").write_text("{}")
    one.cluster.ask("scontrol", "update", "PartitionName=main", "State=UP")
    one.until(lambda: not one.cluster.ask("squeue", "-h"))
    assert tiny_project.result(one.root, "sft-s0")["metrics"] == {"steps": tiny_project.STEPS}
    (folder,) = (one.root / "runs").glob("sft-s0-*")
    environment = json.loads((folder / "environment.json").read_text())
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert (environment["commit"], environment["dirty"]) == (head, True)
    assert "+A_NEW_IDEA = 1" in (folder / environment["difference"]).read_text()


def test_two_hundred_runs_are_submitted_by_variants(closed: Make) -> None:
    one = closed("[sft, cot_sft, cot, direct, hybrid]")
    seeds = ("--seeds", *map(str, range(20)))
    begun = cpu_of_children()
    one.submitted(*seeds)
    spent = cpu_of_children() - begun
    assert len(one.cluster.ask("squeue", "-h", "-r").splitlines()) == 201
    arrays = list((one.root / "runs").glob(".jobs/launches/*/array-*.json"))
    assert len(arrays) == 11  # 5 trainings, 5 evaluations, the report: as for one seed
    begun = cpu_of_children()
    states = one.states(*seeds)
    looked = cpu_of_children() - begun
    assert sum(run["state"] == "waiting" for run in states.values()) == 201
    print(f"200 runs: submitted in {spent:.2f} s, looked at in {looked:.2f} s of processor time")  # noqa: T201
    assert spent < 5 and looked < 3


def test_seeds_that_are_added_wait_for_nobody_and_runs_wait_for_those_of_an_earlier_launch(closed: Make) -> None:
    one = closed("[sft, cot_sft]")
    one.submitted("--only", "sft-*", "--only", "!report", "--seeds", "0", "1")
    one.submitted("--seeds", "0", "1", "2")
    jobs: dict[str, list[tuple[str, str]]] = {}
    for line in one.cluster.ask("squeue", "-h", "-r", "-o", "%i|%j|%E").splitlines():
        number, name, dependencies = line.split("|")
        jobs.setdefault(name, []).append((number, dependencies))
    (first, second, third) = sorted(number for number, _ in jobs["sft"])
    array = first.partition("_")[0]
    assert (first, second) == (f"{array}_0", f"{array}_1") and "_" not in third
    waits = sorted(waits for _, waits in jobs["cot_sft"])
    assert [re.sub(r"\(.*\)", "", w) for w in waits] == sorted(
        [f"afterok:{first}", f"afterok:{second}", f"afterok:{third}"]
    )
