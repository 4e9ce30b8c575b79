"""Loading a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from gemvg_repro.models.loading import load

from .. import tiny_model


def test_a_loaded_model_does_not_change_with_its_file(tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(tiny_model.folder(), tmp_path / "model"))
    model, _ = load(checkpoint, "float32")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with (checkpoint / "model.safetensors").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(0)
        file.write(b"\x7f" * size)
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight, "tied weights stay one"
