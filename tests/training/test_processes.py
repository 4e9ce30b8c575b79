"""Any number of processes trains to the same weights, resumes what another number began, and ends as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from gemvg_repro.files.validation import Refused
from gemvg_repro.training import processes
from gemvg_repro.training.checkpointing import newest_checkpoint

from .several import Task, start, write_results

LOGGED = ("loss", "reward", "kl", "tokens", "length_mean", "reward/format", "reward/localisation", "truncated_share")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "weights.safetensors")


def entries(folder: Path) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = json.loads((folder / "entries.json").read_text())
    return content


def assert_same(folder: Path, expected: Path) -> None:
    ours, theirs = weights(folder), weights(expected)
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) < 1e-6
    for one, other in zip(entries(folder), entries(expected)[-len(entries(folder)) :], strict=True):
        logged = [name for name in LOGGED if name in other]
        assert [one[name] for name in logged] == pytest.approx([other[name] for name in logged], rel=1e-5, abs=1e-6)


def train(count: int, *tasks: Task) -> None:
    done = start(count, tasks)
    assert done.returncode == 0, done.stderr[-4000:]


def test_two_processes_are_one(tmp_path: Path) -> None:
    train(2, Task(f"{tmp_path}/two-sft", "sft"), Task(f"{tmp_path}/two-hybrid", "hybrid"))
    for stage in ("sft", "hybrid"):
        write_results(Task(f"{tmp_path}/one-{stage}", stage))
        assert_same(tmp_path / f"two-{stage}", tmp_path / f"one-{stage}")


@pytest.mark.slow
def test_four_processes_are_one_in_every_form(tmp_path: Path) -> None:
    stages = ("sft", "adamw", "cot", "direct", "hybrid", "joint", "shuffled")
    train(4, *(Task(f"{tmp_path}/four-{stage}", stage) for stage in stages))
    train(2, *(Task(f"{tmp_path}/two-{stage}", stage) for stage in stages))
    for stage in stages:
        write_results(Task(f"{tmp_path}/one-{stage}", stage))
        assert_same(tmp_path / f"four-{stage}", tmp_path / f"one-{stage}")
        assert_same(tmp_path / f"two-{stage}", tmp_path / f"one-{stage}")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["sft", "hybrid"])
def test_two_processes_then_four_then_one_resume_a_training(stage: str, tmp_path: Path) -> None:
    write_results(Task(f"{tmp_path}/undisturbed", stage))
    train(2, Task(f"{tmp_path}/run", stage, stop_at=1, late=True))
    train(4, Task(f"{tmp_path}/run", stage, stop_at=2))
    write_results(Task(f"{tmp_path}/run", stage))
    assert [entry["step"] for entry in entries(tmp_path / "run")] == [4]
    assert_same(tmp_path / "run", tmp_path / "undisturbed")


@pytest.mark.slow
def test_four_processes_resume_their_own_training_to_the_bit(tmp_path: Path) -> None:
    stages = ("sft", "adamw", "hybrid")
    train(4, *(Task(f"{tmp_path}/undisturbed-{stage}", stage) for stage in stages))
    train(4, *(Task(f"{tmp_path}/stopped-{stage}", stage, stop_at=2) for stage in stages))
    train(4, *(Task(f"{tmp_path}/stopped-{stage}", stage) for stage in stages))
    for stage in stages:
        ours, theirs = weights(tmp_path / f"stopped-{stage}"), weights(tmp_path / f"undisturbed-{stage}")
        assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.slow
def test_a_seal_waits_for_a_late_process(tmp_path: Path) -> None:
    train(2, Task(f"{tmp_path}/run", late=True))
    newest = newest_checkpoint(tmp_path / "run")  # verifies every file
    assert newest is not None
    assert len(list(newest.glob("optimizer-*-of-2.pt"))) == 2


@pytest.mark.slow
def test_one_killed_process_ends_the_training_with_its_own_error(tmp_path: Path) -> None:
    done = start(2, [Task(f"{tmp_path}/run", killed=True)])
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    assert newest_checkpoint(tmp_path / "run") is not None


def test_a_batch_that_cannot_be_shared_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 8)
    assert processes.micro_batch(128, 4) == 4
    assert processes.micro_batch(128, 64) == 16
    assert processes.micro_batch(120, 4) == 3
    with pytest.raises(Refused, match=r"8 processes cannot share a batch of 20; .* 1, 2, 4, 5, 10, 20"):
        processes.micro_batch(20, 4)
    with pytest.raises(Refused, match=r"8 processes cannot share a batch of 32 in groups of 8; .*: 1, 2, 4\."):
        processes.micro_batch(32, 4, unit=8)
