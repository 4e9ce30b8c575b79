"""The arguments of both trainers."""

from __future__ import annotations

from pathlib import Path

from gemvg_repro.training.sft import sft_arguments
from gemvg_repro.training.trainer_setup import on_one_device

from .made import SFT


def test_a_training_stays_on_one_of_many_devices(tmp_path: Path) -> None:
    arguments = sft_arguments(tmp_path, SFT, seed=0, use_cpu=True)
    assert arguments.n_gpu <= 1
    arguments._n_gpu = 8  # what a Trainer finds where nobody has hidden seven
    assert on_one_device(arguments).n_gpu == 1
