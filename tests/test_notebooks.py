"""The notebooks, really executed by papermill: a study of two steps a stage, from one command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from gemvg_repro.launching.notebook import PAPERMILL
from gemvg_repro.report.numbers.costs import PARTS
from tools.faults import Study

from .stages.test_refusals import snapshot

ROOT = Path(__file__).parents[1]
MODES = ("cot_sft", "hybrid", "sft_more")


# A kernel talks to its notebook by the loopback, which a network of its own does not have up.
ALONE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def papermill_in(
    checkout: Path, notebook: str, output: Path, *before: str, **parameters: object
) -> subprocess.CompletedProcess[str]:
    """Executes a notebook of the project in `checkout`, with its code."""
    command = [*before, sys.executable, "-c", PAPERMILL, str(checkout / "notebooks" / notebook), str(output)]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)


def papermill(notebook: str, output: Path, *before: str, **parameters: object) -> subprocess.CompletedProcess[str]:
    return papermill_in(ROOT, notebook, output, *before, **parameters)


Execute = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Execute:
    """papermill, in a copy of the project whose profile `small` has smaller amounts than the miniature."""
    copy = Study.lay_out(tmp_path_factory.mktemp("a copy") / "checkout").root
    return partial(papermill_in, copy, profile="small")


@pytest.fixture(scope="module")
def runs(small: Execute, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hybrid model of two steps a stage, evaluated on ten samples; all it needs is made on the way.

    Without a network, where that can be had: nothing may depend on one.
    """
    folder = tmp_path_factory.mktemp("a study") / "runs"
    folder.mkdir()
    alone = ALONE if subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0 else []
    done = small("evaluate.ipynb", folder / "out.ipynb", *alone, runs=folder, mode="hybrid", steps=2, samples=10)
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
    cost = json.loads((run / "result.json").read_text())["cost"]
    parts = [cost[f"seconds_{part}"] for part in PARTS]
    assert min(parts) > 0 and 0.5 * cost["seconds_of_steps"] < sum(parts) <= cost["seconds_of_steps"]
    assert cost["tokens_per_second"] == pytest.approx(cost["tokens_trained"] / cost["seconds_of_steps"], rel=0.01)


def test_evaluation_leaves_predictions_scores_and_a_gallery(runs: Path) -> None:
    (run,) = runs.glob("evaluate-hybrid-s0-*")
    for benchmark in ("generalised-direct", "generalised-cot", "understanding-cot", "blind-direct"):
        scores = pd.read_parquet(run / f"scores-{benchmark}.parquet")
        lines = (run / f"predictions-{benchmark}.jsonl").read_text().splitlines()
        assert len(scores) == len(lines) - 1 > 0
    assert len(json.loads((run / "gallery" / "gallery.json").read_text())) >= 5


def test_the_controls_run_from_the_same_notebooks(small: Execute, runs: Path) -> None:
    """More SFT takes the steps that cost what two of GRPO do; the base is scored without any training."""
    done = small("train.ipynb", runs / "more.ipynb", runs=runs, mode="sft_more", steps=2, prerequisites="require")
    assert done.returncode == 0, done.stderr[-3000:]
    costs = {run: json.loads(next(runs.glob(f"{run}-s0-*/result.json")).read_text())["cost"] for run in MODES}
    assert costs["sft_more"]["steps"] > costs["cot_sft"]["steps"] == costs["hybrid"]["steps"] == 2
    parameters = costs["cot_sft"]["flops"] / costs["cot_sft"]["tokens_trained"] / 6
    assert costs["sft_more"]["flops"] == costs["sft_more"]["tokens_trained"] * parameters * 6
    assert costs["hybrid"]["flops_unshared"] == costs["hybrid"]["tokens_trained"] * parameters * 8
    assert costs["hybrid"]["flops"] < costs["hybrid"]["flops_unshared"]
    done = small("evaluate.ipynb", runs / "base.ipynb", runs=runs, mode="base", samples=10)
    assert done.returncode == 0, done.stderr[-3000:]
    (result,) = runs.glob("evaluate-base-*/result.json")
    assert list(json.loads(result.read_text())["prerequisites"]) == ["data"]


def test_a_finished_run_is_left_as_it_is(small: Execute, runs: Path) -> None:
    (result,) = runs.glob("hybrid-s0-*/result.json")
    before = result.stat().st_mtime_ns
    done = small("train.ipynb", runs / "again.ipynb", runs=runs, mode="hybrid", steps=2, prerequisites="require")
    assert done.returncode == 0, done.stderr[-3000:]
    assert result.stat().st_mtime_ns == before


def test_the_data_notebook_draws_samples(small: Execute, runs: Path) -> None:
    done = small("data.ipynb", runs / "data.ipynb", runs=runs, drawn=4)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "image/png" in (runs / "data.ipynb").read_text()


REFUSED: dict[str, tuple[str, dict[str, object], tuple[str, ...]]] = {
    "parameters": (
        "train.ipynb",
        {"mdoe": "hybrid", "mode": "hybird", "seed": -1},
        ("no such parameter; did you mean 'mode'?", "did you mean 'hybrid'?", "greater than or equal to 0"),
    ),
    "prerequisites": (
        "train.ipynb",
        {"mode": "direct", "seed": 5, "prerequisites": "require"},
        ("-p prerequisites train",),
    ),
    "data": ("train.ipynb", {"data": "boxes.json"}, ("boxes.json is no JSON", "is the download complete?")),
    "weights": (
        "evaluate.ipynb",
        {"checkpoint": "weights", "samples": 1},
        ("model.safetensors: has", "by its header; is the copy complete?"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_run_is_refused_with_the_mend(small: Execute, runs: Path, tmp_path: Path, what: str) -> None:
    notebook, parameters, messages = REFUSED[what]
    (tmp_path / "boxes.json").write_text('{"images": [{"id": 1')
    shutil.copytree(next(runs.glob("sft-s0-*")) / "model", tmp_path / "weights")
    with (tmp_path / "weights" / "model.safetensors").open("r+b") as file:
        file.truncate(100_000)
    given = {k: tmp_path / str(v) if k in ("data", "checkpoint") else v for k, v in parameters.items()}
    before = snapshot(runs), snapshot(tmp_path)
    done = small(notebook, runs.parent / "refused.ipynb", runs=runs, **given)
    assert done.returncode == 1
    assert all(message in done.stderr + done.stdout for message in messages), done.stderr[-2000:]
    assert (snapshot(runs), snapshot(tmp_path)) == before
