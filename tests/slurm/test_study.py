"""The real study through Slurm, preempted on its way: the numbers of the local run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml

from gemvg_repro.report.numbers import COSTS
from gemvg_repro.study import profiles
from gemvg_repro.study.locks import owner_of
from gemvg_repro.study.runs import stop_file
from gemvg_repro.study.stages import CHECKPOINTS
from gemvg_repro.training.resuming import newest_checkpoint

from ..study.tiny import CHECKOUT
from ..test_kills import numbers
from .conftest import PATIENCE_S, Study
from .one_host import Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

STEPS = 6
MODES = ("sft", "cot_sft", "cot", "direct", "hybrid")
OF_TIME = {"seconds", "seconds_in_all", "peak_memory_mb"}

# The miniature with less of everything that takes time, and nothing else changed.
LESS: dict[str, dict[str, Any]] = {
    "threads": {"sft": 1, "cot_sft": 1},
    "data": {"recipe": {"train": 120, "validation": 20, "test": 30, "understanding_test": 10}},
    "sft": {"conversations": 4, "micro_batch": 4},
    "cot_sft": {"conversations": 4, "micro_batch": 4},
    "grpo": {"prompts": 2, "rollouts": 4, "micro_batch": 8, "watched_samples": 10, "divergence_samples": 4},
    "evaluate": {"batch": 30, "shortcut_samples": 10},
}


@pytest.fixture
def real(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A checkout of this project, with a smaller profile of its own."""
    root = tmp_path / "checkout"
    for part in ("gemvg_repro", "notebooks", "sweeps"):
        shutil.copytree(CHECKOUT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
    scales = root / "gemvg_repro" / "study" / "scales"
    small = yaml.safe_load((scales / "miniature.yaml").read_text())
    for section, changes in LESS.items():
        for key, value in changes.items():
            small[section][key] = {**small[section][key], **value} if isinstance(value, dict) else value
    (scales / "smaller.yaml").write_text(yaml.safe_dump(small))
    grid = {
        "scientific": {"mode": list(MODES)},
        "nuisance": {"seed": [0]},
        "fixed": {"profile": "smaller", "steps": STEPS},
        "resources": {"mem_gb": 10, "timeout_min": 60},  # so much memory that each run has a node
    }
    (root / "sweeps" / "miniature.yaml").write_text(yaml.safe_dump(grid))
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setattr(profiles, "FOLDER", scales)
    return Study(root, slurm)


def preempt(one: Study, name: str) -> None:
    """Preempts a training of which at least two steps are done, and looks at what it leaves before it goes on."""
    folder = one.jobs()[name].folder
    one.until_logged(name, 2)
    owner = owner_of(folder / "owner.lock")
    assert owner is not None
    psutil.Process(owner.pid).suspend()  # however fast this machine is: Slurm itself wakes what it preempts
    assert not (folder / "result.json").exists()
    with one.urgent():
        assert stop_file(folder).exists() and not (folder / "result.json").exists()
        checkpoint = newest_checkpoint(folder / CHECKPOINTS)
        logged = len(one.steps(name))
        assert checkpoint is not None and checkpoint.name == f"checkpoint-{logged}"  # no step is lost
        assert 2 <= logged < STEPS


def tables(runs: Path) -> dict[str, str]:
    """The report's tables as they are printed, less what they say of time."""
    found = {file.name: file.read_text() for file in sorted((runs / "report" / "tables").iterdir())}
    return {name: text for name, text in found.items() if not name.startswith(("costs", "environment"))}


def test_the_study_through_slurm_preempted_in_sft_and_in_grpo_has_the_local_runs_numbers(real: Study) -> None:
    local = real.start("--cluster", "local", "--runs", str(real.root / "local"))
    out, error = local.communicate(timeout=PATIENCE_S)
    assert (local.returncode, error) == (0, ""), out + error

    real.submitted()
    preempt(real, "sft-s0")
    preempt(real, "hybrid-s0")
    after = real.until_over()
    assert {run["state"] for run in after.values()} == {"finished"}
    for name in ("sft-s0", "hybrid-s0"):
        assert "Restarts=1 " in real.cluster.ask("scontrol", "show", "job", after[name]["job"])
        assert [step["step"] for step in real.steps(name)] == [*range(1, STEPS + 1)]

    here, there = real.root / "local", real.root / "runs"
    assert len(numbers(there)) > 20 and numbers(there) == numbers(here)
    assert len(tables(there)) > 5 and tables(there) == tables(here)
    measured = [pd.read_parquet(runs / "report" / "numbers.parquet") for runs in (there, here)]
    assert set(COSTS) <= set(measured[0]["metric"])
    pd.testing.assert_frame_equal(*(table[~table["metric"].isin(OF_TIME)].reset_index(drop=True) for table in measured))
