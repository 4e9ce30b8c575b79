"""An interrupted training resumes to bit-identical weights; an incomplete checkpoint is not read."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gemvg_repro.files.atomic import NotWritten
from gemvg_repro.files.validation import Refused
from gemvg_repro.models.checkpoints import hashes
from gemvg_repro.study.variants import FORMS
from gemvg_repro.training.checkpoint_hashing import weights_hash
from gemvg_repro.training.checkpointing import SEAL, SealedCheckpoint, newest_checkpoint, resume_point
from gemvg_repro.training.collator import ConversationCollator
from gemvg_repro.training.conversations import training_conversations
from gemvg_repro.training.grpo import train_grpo
from gemvg_repro.training.sft import train_sft

from ..tiny_model import model_and_processor, samples
from .made import GRPO, SFT


class Stopped(Exception):
    """Stands for a kill: nothing after it runs."""


def sft(
    folder: Path, stop_after: int | None = None, stop_in: int | None = None, **more: Any
) -> tuple[str, list[dict[str, Any]]]:
    model, processor = model_and_processor()
    entries: list[dict[str, Any]] = []
    train_sft(
        model, processor, training_conversations(samples(), SFT, 0), SFT,
        collate=ConversationCollator(processor, 20), seed=0, folder=folder,
        record=recorder(entries, stop_after), stop=lambda: len(entries) + 1 == stop_in, **more,
    )  # fmt: skip
    return weights_hash(model), entries


def grpo(
    folder: Path, stop_after: int | None = None, stop_in: int | None = None, **more: Any
) -> tuple[str, list[dict[str, Any]]]:
    model, processor = model_and_processor()
    entries: list[dict[str, Any]] = []
    train_grpo(
        model, processor, samples(), samples("validation")[:2], FORMS["hybrid"], GRPO,
        collate=ConversationCollator(processor, 20), seed=0, folder=folder,
        record=recorder(entries, stop_after), stop=lambda: len(entries) + 1 == stop_in, **more,
    )  # fmt: skip
    return weights_hash(model), entries


def recorder(entries: list[dict[str, Any]], stop_after: int | None) -> Callable[[dict[str, Any]], None]:
    def record(entry: dict[str, Any]) -> None:
        entries.append(entry)
        if entry["step"] == stop_after:
            raise Stopped

    return record


@pytest.mark.slow
@pytest.mark.parametrize("stage", [sft, grpo], ids=["sft", "grpo"])
def test_batches_that_another_process_makes_are_the_same(stage: Callable[..., Any], tmp_path: Path) -> None:
    here, there = (stage(tmp_path / str(workers), loader_workers=workers) for workers in (0, 1))
    assert here[0] == there[0]
    keys = {"loss", "grad_norm", "reward", "tokens"}
    assert [{k: e.get(k) for k in keys} for e in here[1]] == [{k: e.get(k) for k in keys} for e in there[1]]


@pytest.mark.parametrize("stage", [sft, grpo], ids=["sft", "grpo"])
def test_resumed_is_undisturbed(stage: Callable[..., Any], tmp_path: Path) -> None:
    undisturbed, whole = stage(tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        stage(tmp_path / "stopped", stop_after=3)
    assert newest_checkpoint(tmp_path / "stopped") is not None
    resumed, rest = stage(tmp_path / "stopped")
    assert rest[0]["step"] == 3
    assert resumed == undisturbed
    compared = [k for k in whole[-1] if k in ("loss", "reward", "kl", "entropy", "length_mean", "tokens")]
    for a, b in zip(whole[2:], rest, strict=True):
        assert {k: a.get(k) for k in compared} == {k: b.get(k) for k in compared}


@pytest.mark.parametrize("stage", [sft, grpo], ids=["sft", "grpo"])
def test_a_requested_stop_loses_no_step(stage: Callable[..., Any], tmp_path: Path) -> None:
    undisturbed, whole = stage(tmp_path / "undisturbed")
    _, first = stage(tmp_path / "stopped", stop_in=3)  # in the third step; checkpoints are due every second
    _, rest = stage(tmp_path / "stopped", stop_in=len(whole) - 3)  # and in the last: there is nothing left to train
    resumed, nothing = stage(tmp_path / "stopped")
    assert [entry["step"] for entry in first + rest] == [entry["step"] for entry in whole] and nothing == []
    assert resumed == undisturbed
    assert [e.get("loss") for e in first + rest] == [e.get("loss") for e in whole]


def test_a_checkpoint_without_seal_is_ignored(tmp_path: Path) -> None:
    for step in (2, 4):
        (tmp_path / f"checkpoint-{step}").mkdir()
    (tmp_path / "checkpoint-2" / SEAL).write_text('{"files": {}}')
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert newest_checkpoint(tmp_path / "none") is None


def test_unfinished_checkpoints_are_removed_before_a_training_resumes(tmp_path: Path) -> None:
    """transformers would count them, and remove a sealed one in their place."""
    undisturbed, _ = sft(tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        sft(tmp_path / "stopped", stop_after=3)
    half = tmp_path / "stopped" / "checkpoint-3"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert sft(tmp_path / "stopped")[0] == undisturbed
    assert not half.exists()
    assert resume_point(tmp_path / "none") is None


def test_a_checkpoint_is_sealed_before_an_older_one_goes(tmp_path: Path) -> None:
    moments: list[tuple[SealedCheckpoint, list[str]]] = []

    def on_sealed(checkpoint: SealedCheckpoint) -> None:
        moments.append((checkpoint, sorted(seal.parent.name for seal in tmp_path.glob(f"*/{SEAL}"))))

    sft(tmp_path, on_sealed=on_sealed)
    names = [f"checkpoint-{step}" for step in (1, 2, 4, 6)]
    assert [sealed for _, sealed in moments] == [names[:1], names[:2], names[:3], names[1:]]
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == names[2:]
    assert [checkpoint.step for checkpoint, _ in moments] == [1, 2, 4, 6]
    assert all(checkpoint.seconds is not None and checkpoint.seconds > 0 for checkpoint, _ in moments)
    assert SealedCheckpoint.at(newest_checkpoint(tmp_path)) == moments[-1][0]


@pytest.mark.parametrize("stage", [sft, grpo], ids=["sft", "grpo"])
@pytest.mark.parametrize(("name", "cause"), [("model.safetensors", SafetensorError), ("optimizer-0-of-1.pt", OSError)])
def test_a_save_over_a_limit_says_so_and_leaves_nothing(
    stage: Callable[..., Any], name: str, cause: type[Exception], tmp_path: Path
) -> None:
    undisturbed, _ = stage(tmp_path / "undisturbed")
    newest = newest_checkpoint(tmp_path / "undisturbed")
    assert newest is not None
    limit = (newest / name).stat().st_size - 1
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        message = r"checkpoint-1 was not written: .*; it takes [\d,]+ bytes, and [\d,]+ are free"
        with pytest.raises(NotWritten, match=message) as error:
            stage(tmp_path / "limited")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert isinstance(error.value.__cause__, cause)
    assert list((tmp_path / "limited").glob("checkpoint-*")) == []
    assert stage(tmp_path / "limited")[0] == undisturbed


def test_an_altered_checkpoint_is_refused(tmp_path: Path) -> None:
    """Whichever file it is: optimiser state and random number generators, too, move the weights to come."""
    with pytest.raises(Stopped):
        sft(tmp_path, stop_after=3)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    for file in sorted(path for path in checkpoint.iterdir() if path.name != SEAL):
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for altered in (bytes(flipped), whole[:-1], None):
            file.unlink() if altered is None else file.write_bytes(altered)
            with pytest.raises(Refused, match=rf"checkpoint-2 was altered .*: {file.name}\. Delete that folder"):
                newest_checkpoint(tmp_path)
        file.write_bytes(whole)
    assert newest_checkpoint(tmp_path) == checkpoint


def test_a_checkpoint_is_hashed_once_when_a_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run asks for it to know its step, and the trainer again; at 7B a time is more than a minute."""
    with pytest.raises(Stopped):
        sft(tmp_path, stop_after=3)
    files = list((tmp_path / "checkpoint-2").iterdir())
    for file in files:
        os.utime(file, (time.time() - 60,) * 2)
    hashed: list[str] = []
    digest = hashlib.file_digest

    def recorded(file: Any, name: str) -> Any:
        hashed.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", recorded)
    assert resume_point(tmp_path) == resume_point(tmp_path) == tmp_path / "checkpoint-2"
    assert sorted(hashed) == sorted(map(str, files))


def test_a_sealed_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        sft(tmp_path, stop_after=3)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    weights = load_file(checkpoint / "model.safetensors")
    name = sorted(weights)[0]
    weights[name] = weights[name] + 1e-3
    save_file(weights, checkpoint / "model.safetensors", {"format": "pt"})
    seal = json.loads((checkpoint / SEAL).read_text())
    files = {name: digest for name, digest in hashes(checkpoint).items() if name != SEAL}
    (checkpoint / SEAL).write_text(json.dumps({**seal, "files": files}))
    with pytest.raises(Refused, match=r"checkpoint-2: the weights as loaded .*Delete that folder"):
        sft(tmp_path)


def test_the_hash_sees_names_values_and_types() -> None:
    one = torch.nn.Linear(2, 2)
    before = weights_hash(one)
    with torch.no_grad():
        one.weight[0, 0] += 1e-6
    assert weights_hash(one) != before
