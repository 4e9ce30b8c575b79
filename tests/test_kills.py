"""kill -9 of the kernel in the middle of every stage, then the same command: the undisturbed study's numbers."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.study.locks import owner_of

from .test_notebooks import ROOT

STEPS, SAMPLES = 14, 150  # the miniature keeps a checkpoint every 10 steps and answers 100 samples at a time
STAGES = {"sft-s0": "log.jsonl", "cot_sft-s0": "log.jsonl", "hybrid-s0": "log.jsonl"}
EVALUATION = "evaluate-hybrid-s0"


def start(runs: Path) -> subprocess.Popen[str]:
    """The one command that makes the whole study: hybrid, its prerequisites and its evaluation."""
    given = {"runs": runs, "mode": "hybrid", "steps": STEPS, "samples": SAMPLES}
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / "evaluate.ipynb"), str(runs / "out.ipynb")]
    for name, value in given.items():
        command += ["-p", name, str(value)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lines(runs: Path, name: str, file: str) -> int:
    found = [path for path in runs.glob(f"{name}-*/{file}") if path.parent.name.rpartition("-")[0] == name]
    return sum(path.read_text().count("\n") for path in found)


def kill_the_kernel(process: subprocess.Popen[str], runs: Path, name: str, file: str, after: int) -> None:
    """Waits for so many lines of a file of the run, then kills the process that owns the run."""
    deadline = time.monotonic() + 400
    while lines(runs, name, file) < after:
        assert process.poll() is None and time.monotonic() < deadline, f"{name} never came to {after} lines of {file}"
        time.sleep(0.02)
    (folder,) = (path for path in runs.glob(f"{name}-*") if path.name.rpartition("-")[0] == name)
    owner = owner_of(folder / "owner.lock")
    assert owner is not None and not (folder / "result.json").exists(), "killed too late to prove anything"
    os.kill(owner.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert not (folder / "result.json").exists()


def numbers(runs: Path) -> dict[str, str]:
    """The hash of every model and of every table of scores and rewards, by run and name."""
    found = {}
    for path in sorted(runs.glob("*/*.parquet")):
        if path.parent.name.startswith(("data", "report")):
            continue
        table = pd.util.hash_pandas_object(pd.read_parquet(path), index=False)
        found[f"{path.parent.name}/{path.name}"] = hashlib.sha256(table.to_numpy().tobytes()).hexdigest()
    for path in sorted(runs.glob("*/model/model.safetensors")):
        found[f"{path.parents[1].name}/model"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.slow
def test_a_study_that_is_killed_in_every_stage_ends_with_the_undisturbed_numbers(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = start(tmp_path / "whole")
    out, _ = whole.communicate(timeout=900)
    assert whole.returncode == 0, out[-3000:]

    runs = tmp_path / "killed"
    for name, file in STAGES.items():
        kill_the_kernel(start(runs), runs, name, file, after=12)
    first = "predictions-generalised-direct.jsonl"
    kill_the_kernel(start(runs), runs, EVALUATION, first, after=101)  # the header and the first batch
    again = start(runs)
    out, _ = again.communicate(timeout=900)
    assert again.returncode == 0, out[-3000:]

    assert len(numbers(runs)) > 10
    assert numbers(runs) == numbers(tmp_path / "whole")
    log = pd.read_json(next(runs.glob("hybrid-s0-*/log.jsonl")), lines=True)
    assert list(log["step"]) == list(range(1, STEPS + 1))
