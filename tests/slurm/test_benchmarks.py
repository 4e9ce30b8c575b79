"""From official files to the report's tables by one command, through Slurm and on this machine: the same numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from gemvg_repro.miniature.exports import benchmarks
from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.study import profiles
from tools import faults
from tools.one_host_slurm import Cluster

from .conftest import PATIENCE_S, Study
from .test_study import tables, timeless, verdicts

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SIZES = {"mig_bench": 1, "mc_bench": 2}
LABELS = {"base", "sft", "sft, sft.steps=6"}


@pytest.fixture
def real(slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A copy of this project with a small profile; its grid has benchmarks, and varies a value of the profile."""
    root = faults.Study.lay_out(tmp_path / "checkout").root
    benchmarks.write(tmp_path / "official", 7, SIZES)
    grid = {
        "scientific": {"mode": ["base", "sft"], "sft.steps": [12, 6]},
        "nuisance": {"seed": [0, 1]},
        "fixed": {"profile": "small", "samples": 20},
        "benchmarks": {
            "both": {name: str(tmp_path / "official" / name) for name in SIZES}
        },  # in one run: half the time
        "resources": {"mem_gb": 10, "timeout_min": 60},
    }
    (root / "sweeps" / "miniature.yaml").write_text(yaml.safe_dump(grid))
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setattr(profiles, "FOLDER", root / "gemvg_repro" / "study" / "scales")
    return Study(root, slurm)


def test_a_grid_with_benchmarks_has_the_same_numbers_locally_and_through_slurm(real: Study) -> None:
    here, there = real.root / "local" / "runs", real.root / "runs"
    local = real.start("--cluster", "local", "--runs", str(here))
    out, error = local.communicate(timeout=3 * PATIENCE_S)
    assert (local.returncode, error) == (0, ""), out + error
    real.submitted()
    after = real.until_over()
    assert {run["state"] for run in after.values()} == {"finished"} and len(after) == 16
    answered = [run for run in collect(there).finished("evaluation") if run.result["benchmarks"]]
    assert len(answered) == 5 and {run.variant for run in answered} == LABELS
    for run in answered:
        assert {task["mode"] for task in run.tasks} == {"direct", "cot"}
        assert {task["benchmark"] for task in run.tasks} == set(run.result["benchmarks"]) == set(SIZES)
    measured = [pd.read_parquet(runs / "report" / "numbers.parquet") for runs in (there, here)]
    official = measured[0][measured[0]["benchmark"].isin(SIZES) & measured[0]["seed"].isna()]
    assert {(row.variant, row.mode) for row in official.itertuples()} == {
        (v, m) for v in LABELS for m in ("direct", "cot")
    }
    ours, theirs = map(timeless, measured)
    pd.testing.assert_frame_equal(ours, theirs)
    assert tables(there) == tables(here)
    assert verdicts(there) == verdicts(here) and "Difference(" in "".join(verdicts(there))
    assert "sft.steps=6" in (there / "report" / "tables" / "official.html").read_text()
