"""The real study through Slurm, preempted on its way: the numbers of the local run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from gemvg_repro.report.claims.claims import judge
from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.report.numbers.costs import COSTS
from gemvg_repro.runs.layout import CHECKPOINTS, JobFiles
from gemvg_repro.runs.ownership import owner_of
from gemvg_repro.study import profiles
from gemvg_repro.training.checkpointing import newest_checkpoint
from tools import faults
from tools.one_host_slurm import Cluster

from .conftest import ON_A_CLUSTER, PATIENCE_S, Study

pytestmark = [*ON_A_CLUSTER, pytest.mark.slow]

GRID: dict[str, Any] = {
    "scientific": {"mode": ["sft", "cot_sft", "cot", "direct", "hybrid"]},
    "nuisance": {"seed": [0]},
    "fixed": {"profile": "small", "samples": 20},
    "resources": {"mem_gb": 10, "timeout_min": 60},  # so much memory that each run has a node for itself
}
OF_TIME = ("seconds", "tokens_per_second", "peak_", "attempts", "gpu_hours")


@pytest.fixture
def real(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A copy of this project with a profile of small sizes, but of steps enough to be preempted between them."""
    root = faults.Study.lay_out(tmp_path / "checkout").root
    small = root / "gemvg_repro" / "study" / "scales" / "small.yaml"
    profile = yaml.safe_load(small.read_text())
    profile["sft"]["steps"] = 60
    profile["grpo"]["steps"] = 16
    small.write_text(yaml.safe_dump(profile))
    (root / "sweeps" / "miniature.yaml").write_text(yaml.safe_dump(GRID))
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setattr(profiles, "FOLDER", root / "gemvg_repro" / "study" / "scales")
    return Study(root, slurm)


@contextmanager
def held(process: psutil.Process, until: Callable[[], bool]) -> Iterator[None]:
    """Keeps a process stopped until something is so, though Slurm wakes it: SIGCONT comes before any other signal, on a
    busy machine by many steps of a training."""
    freed = Event()

    def hold() -> None:
        with suppress(psutil.NoSuchProcess):
            while not (freed.is_set() or until()):
                process.suspend()
                time.sleep(0.01)
            process.resume()

    process.suspend()
    holder = Thread(target=hold)
    holder.start()
    try:
        yield
    finally:
        freed.set()
        holder.join()


def preempt(one: Study, name: str) -> None:
    """Preempts a training of which at least two steps are done, and looks at what it leaves before it resumes."""
    folder = one.jobs()[name].folder
    one.until_logged(name, 2)
    owner, stop = owner_of(folder / "owner.lock"), JobFiles(folder).stop
    assert owner is not None
    with held(psutil.Process(owner.pid), until=stop.exists):
        assert not (folder / "result.json").exists()
        with one.urgent():
            assert stop.exists() and not (folder / "result.json").exists()
            checkpoint = newest_checkpoint(folder / CHECKPOINTS)
            logged = one.steps(name)
            assert checkpoint is not None and checkpoint.name == f"checkpoint-{len(logged)}"  # no step is lost
            assert 2 <= len(logged) < logged[0]["total_steps"]


def tables(runs: Path) -> dict[str, str]:
    """The report's tables as they are printed, but for those with hours in them, and for the folder in commands.

    The claims' table has hours, too; see `verdicts`.
    """
    files = sorted((runs / "report" / "tables").iterdir())
    texts = {file.name: file.read_text().replace(" --runs local/runs", "") for file in files}
    return {
        name: text
        for name, text in texts.items()
        if not name.startswith(("claims", "costs", "environment", "stages", "step-times", "variants"))
    }


def timeless(measured: pd.DataFrame) -> pd.DataFrame:
    """The report's numbers but for those of time and memory, which no two studies share."""
    return measured[~measured["metric"].str.startswith(OF_TIME)].reset_index(drop=True)


def verdicts(runs: Path) -> list[str]:
    """Every claim as it is judged, with its numbers and without the paths of its runs."""
    return [repr((each.claim, each.score, each.difference, each.verdict, each.reason)) for each in judge(collect(runs))]


def test_the_study_through_slurm_preempted_in_sft_and_in_grpo_has_the_local_runs_numbers(real: Study) -> None:
    here, there = real.root / "local" / "runs", real.root / "runs"
    local = real.start("--cluster", "local", "--runs", str(here))
    out, error = local.communicate(timeout=3 * PATIENCE_S)
    assert (local.returncode, error) == (0, ""), out + error

    real.submitted()
    preempt(real, "sft-s0")
    preempt(real, "hybrid-s0")
    after = real.until_over()
    assert {run["state"] for run in after.values()} == {"finished"}
    for name in ("sft-s0", "hybrid-s0"):
        assert "Restarts=1 " in real.cluster.ask("scontrol", "show", "job", after[name]["job"])

    numbers = faults.Study(real.root).numbers()  # of models, answers, scores, and of every step once
    assert len(numbers) > 50 and numbers == faults.Study(here.parent).numbers()
    assert len(tables(there)) > 5 and tables(there) == tables(here)
    assert verdicts(there) == verdicts(here)
    measured = [pd.read_parquet(runs / "report" / "numbers.parquet") for runs in (there, here)]
    assert {name for name in COSTS if "gpu" not in name} <= set(measured[0]["metric"])
    ours, theirs = map(timeless, measured)
    pd.testing.assert_frame_equal(ours, theirs)


def test_two_nodes_train_one_run_preempted_and_requeued_to_the_undisturbed_numbers(real: Study) -> None:
    file = real.root / "sweeps" / "miniature.yaml"
    of_training = {"scientific": {"mode": ["sft"]}, "fixed": {**GRID["fixed"], "steps": 20}}
    file.write_text(yaml.safe_dump({**GRID, **of_training}))
    here, only = real.root / "local" / "runs", ("--only", "sft-s0", "--only", "!report")
    local = real.start("--cluster", "local", "--runs", str(here), *only, TRAINING_PROCESSES="4")
    out, error = local.communicate(timeout=3 * PATIENCE_S)
    assert (local.returncode, error) == (0, ""), out + error

    nodes = {"nodes": 2, "gpus": 2, "cpu_fallback": True, "setup": ["export TRAINING_PROCESSES=2"]}
    file.write_text(yaml.safe_dump({**GRID, **of_training, "resources": {**GRID["resources"], **nodes}}))
    real.submitted("-y", *only)
    folder = real.jobs()["sft-s0"].folder
    real.until_logged("sft-s0", 1)
    job = real.states(*only)["sft-s0"]["job"]
    steps = real.cluster.ask("squeue", "-h", "-s", "-j", job, "-o", "%N").splitlines()
    assert "n[1-2]" in steps, "the processes are on both nodes"
    preempt(real, "sft-s0")
    assert real.until_over(*only)["sft-s0"]["state"] == "finished"
    assert "Restarts=1 " in real.cluster.ask("scontrol", "show", "job", job)

    assert json.loads((folder / "environment.json").read_text())["processes"] == 4
    alone = here / folder.name
    logs = [pd.read_json(run / "log.jsonl", lines=True) for run in (folder, alone)]
    assert list(logs[0]["step"]) == [*range(1, 21)]
    assert list(logs[0]["loss"]) == list(logs[1]["loss"])
    ours, theirs = (load_file(run / "model" / "model.safetensors") for run in (folder, alone))
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
