"""The log for TensorBoard is a switch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gemvg_repro.files.validation import Refused
from gemvg_repro.stages.tensorboard import TensorBoard

ENTRY = {"step": 3, "total_steps": 9, "loss": 0.5}


def test_it_is_off_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRAINING_TENSORBOARD", raising=False)
    TensorBoard(tmp_path).write(ENTRY)
    assert not list(tmp_path.iterdir())


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_TENSORBOARD", "1")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(Refused, match="pip install tensorboard, or unset it"):
        TensorBoard(tmp_path)
