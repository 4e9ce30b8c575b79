"""A training that runs out of memory saves what it did, and says what to cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from trl.kernels import ChunkedLogProbFunction

from gemvg_repro.files.validation import Refused
from gemvg_repro.stages.out_of_memory import cuts_named
from gemvg_repro.study.parameters import TrainParameters
from gemvg_repro.study.spec import resolve
from gemvg_repro.training.checkpointing import newest_checkpoint
from gemvg_repro.training.out_of_memory import OutOfMemory

from ..tiny_model import folder
from .test_checkpointing import grpo, sft


@pytest.mark.parametrize(
    ("stage", "calls"), [(sft, 7), pytest.param(grpo, 8, marks=pytest.mark.slow)], ids=["sft", "grpo"]
)
def test_the_steps_before_are_saved(
    stage: Callable[..., Any], calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, _ = stage(tmp_path / "undisturbed")
    backward, count = ChunkedLogProbFunction.backward, [0]

    def fails(*arguments: Any) -> Any:
        """In the midst of the fourth step, behind the checkpoint of the second."""
        count[0] += 1
        if count[0] == calls:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return backward(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ChunkedLogProbFunction, "backward", staticmethod(fails))
        with pytest.raises(OutOfMemory, match=r"step 4 did not fit: CUDA .*; the 3 steps before it are saved"):
            stage(tmp_path / "cut")
    newest = newest_checkpoint(tmp_path / "cut")
    assert newest is not None and newest.name == "checkpoint-3"
    resumed, rest = stage(tmp_path / "cut")
    assert rest[0]["step"] == 4 and resumed == undisturbed


def test_what_to_cut_is_named(tmp_path: Path) -> None:
    spec = resolve(TrainParameters(mode="sft", runs=str(tmp_path)))
    with pytest.raises(Refused, match=r"out of memory: step 4.*micro_batch 1 fits: "):
        with cuts_named(spec, folder()):
            raise OutOfMemory("step 4")
