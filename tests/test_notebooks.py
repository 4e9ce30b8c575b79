"""The notebooks, really executed by papermill: a study of two steps a stage, from one command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
MODES = ("cot_sft", "hybrid", "sft_more")


def papermill(notebook: str, output: Path, **parameters: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / notebook), str(output)]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hybrid model of two steps a stage, evaluated on ten samples; all it needs is made on the way."""
    folder = tmp_path_factory.mktemp("a study") / "runs"
    folder.mkdir()
    done = papermill("evaluate.ipynb", folder / "out.ipynb", runs=folder, mode="hybrid", steps=2, samples=10)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_one_command_makes_all_that_it_needs(runs: Path) -> None:
    finished = {p.parent.name.rpartition("-")[0] for p in runs.glob("*/result.json")}
    assert finished == {"data", "sft-s0", "cot_sft-s0", "hybrid-s0", "evaluate-hybrid-s0"}


def test_training_leaves_a_model_a_log_and_rewards(runs: Path) -> None:
    (run,) = runs.glob("hybrid-s0-*")
    log = pd.read_json(run / "log.jsonl", lines=True)
    assert list(log["step"]) == [1, 2]
    assert {"reward", "reward/count", "zero_variance_share", "clip_share", "length_mean", "kl"} <= set(log)
    rewards = pd.read_parquet(run / "validation-reward.parquet")
    assert set(rewards["when"]) == {"before", "after"} and set(rewards["mode"]) == {"direct", "cot"}
    assert (run / "model" / "model.safetensors").is_file()
    assert not (run / "checkpoints").exists()


def test_evaluation_leaves_predictions_scores_and_a_gallery(runs: Path) -> None:
    (run,) = runs.glob("evaluate-hybrid-s0-*")
    for benchmark in ("generalised-direct", "generalised-cot", "understanding-cot", "mig_bench-direct", "blind-direct"):
        scores = pd.read_parquet(run / f"scores-{benchmark}.parquet")
        lines = (run / f"predictions-{benchmark}.jsonl").read_text().splitlines()
        assert len(scores) == len(lines) - 1 > 0
    assert len(json.loads((run / "gallery" / "gallery.json").read_text())) >= 5


def test_the_controls_run_from_the_same_notebooks(runs: Path) -> None:
    """More SFT takes the steps that cost what two of GRPO do; the base is scored without any training."""
    done = papermill("train.ipynb", runs / "more.ipynb", runs=runs, mode="sft_more", steps=2, prerequisites="require")
    assert done.returncode == 0, done.stderr[-3000:]
    costs = {run: json.loads(next(runs.glob(f"{run}-s0-*/result.json")).read_text())["cost"] for run in MODES}
    assert costs["sft_more"]["steps"] > costs["cot_sft"]["steps"] == costs["hybrid"]["steps"] == 2
    parameters = costs["cot_sft"]["flops"] / costs["cot_sft"]["tokens_trained"] / 6
    assert costs["sft_more"]["flops"] == costs["sft_more"]["tokens_trained"] * parameters * 6
    assert costs["hybrid"]["flops"] == costs["hybrid"]["tokens_trained"] * parameters * 8
    done = papermill("evaluate.ipynb", runs / "base.ipynb", runs=runs, mode="base", samples=10)
    assert done.returncode == 0, done.stderr[-3000:]
    (result,) = runs.glob("evaluate-base-*/result.json")
    assert list(json.loads(result.read_text())["prerequisites"]) == ["data"]


def test_a_finished_run_is_left_as_it_is(runs: Path) -> None:
    (result,) = runs.glob("hybrid-s0-*/result.json")
    before = result.stat().st_mtime_ns
    done = papermill("train.ipynb", runs / "again.ipynb", runs=runs, mode="hybrid", steps=2, prerequisites="require")
    assert done.returncode == 0, done.stderr[-3000:]
    assert result.stat().st_mtime_ns == before


def test_the_data_notebook_draws_samples(runs: Path) -> None:
    done = papermill("data.ipynb", runs / "data.ipynb", runs=runs, drawn=4)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "image/png" in (runs / "data.ipynb").read_text()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mdoe": "hybrid"}, "no such parameter; did you mean 'mode'?"),
        ({"mode": "hybird"}, "did you mean 'hybrid'?"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"mode": "direct", "seed": 5, "prerequisites": "require"}, "-p prerequisites train"),
    ],
)
def test_what_cannot_run_is_refused_with_the_mend(runs: Path, parameters: dict[str, object], message: str) -> None:
    before = sorted(runs.iterdir())
    done = papermill("train.ipynb", runs.parent / "refused.ipynb", runs=runs, **parameters)
    assert done.returncode != 0
    assert message in done.stderr + done.stdout
    assert sorted(runs.iterdir()) == before
